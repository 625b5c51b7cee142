"""Attention rollout: products of attention matrices by hand, whatever code computes the attention."""

import pytest
import torch
from skimage import data
from torch import nn
from torch.nn import functional

import pellucid as pl
from engine.focus_vit import DEVIATIONS, MEANS, focus_vit_file, load_focus_vit
from engine.networks import seeded
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.methods.attribution.attention_rollout import AttentionRollout

WIDTH, HEADS = 6, 2


class SelfAttention(nn.Module):
    """Softmax attention in plain products, or by torch's function; no mask."""

    def __init__(self, fused=False, windows=1):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.fused, self.windows = fused, windows

    def heads(self, tokens):
        return (
            part(tokens).unflatten(-1, (HEADS, -1)).transpose(-3, -2) for part in (self.query, self.key, self.value)
        )

    def weights(self, tokens):
        query, key, _ = self.heads(tokens)
        return (query @ key.transpose(-1, -2) / (WIDTH / HEADS) ** 0.5).softmax(-1)

    def forward(self, tokens):
        cut = tokens.unflatten(1, (self.windows, -1)) if self.windows > 1 else tokens
        *_, value = self.heads(cut)
        mixed = functional.scaled_dot_product_attention(*self.heads(cut)) if self.fused else self.weights(cut) @ value
        mixed = mixed.transpose(-3, -2).flatten(-2)
        return self.out(mixed.flatten(1, 2) if self.windows > 1 else mixed)


class Reader(nn.Module):
    """Two blocks of attention and a head that reads one token, or the mean of all."""

    def __init__(self, reads=0, **fields):
        super().__init__()
        self.embed = nn.Linear(WIDTH, WIDTH)
        self.first, self.second = SelfAttention(**fields), SelfAttention(**fields)
        self.norm, self.mlp = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)
        self.head, self.reads = nn.Linear(WIDTH, 3), reads

    def matrices(self, tokens):
        tokens = self.embed(tokens)
        one = self.first.weights(tokens)
        tokens = tokens + self.first(tokens)
        return one[0], self.second.weights(tokens)[0]

    def forward(self, tokens):
        tokens = self.embed(tokens)
        tokens = tokens + self.first(tokens)
        tokens = tokens + self.second(tokens)
        tokens = tokens + self.mlp(self.norm(tokens)).relu()
        return self.head(tokens.mean(1) if self.reads is None else tokens[:, self.reads])


class Patches(nn.Module):
    """A small vision transformer: patches, perhaps overlapping, a class token first or last."""

    def __init__(self, stride=4, last=False, spread=False):
        super().__init__()
        self.patches = nn.Conv2d(1, WIDTH, 4, stride)
        self.token = nn.Parameter(torch.ones(1, 1, WIDTH))
        self.block, self.head, self.last = SelfAttention(), nn.Linear(WIDTH, 2), last

    def tokens(self, pixels):
        found = self.patches(pixels).flatten(2).transpose(1, 2)
        token = self.token.expand(len(pixels), -1, -1)
        return torch.cat([found, token] if self.last else [token, found], 1)

    def forward(self, pixels):
        tokens = self.tokens(pixels)
        return self.head((tokens + self.block(tokens))[:, -1 if self.last else 0])


def tokens(batch=2, number=5, seed=0):
    return torch.randn(batch, number, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2


def rolled(matrices, reading, residual=0.5, heads="mean"):
    """The same product, written out again."""
    for matrix in reversed(matrices):
        mixing = matrix.mean(0) if heads == "mean" else getattr(matrix, heads)(0).values
        mixing = residual * torch.eye(len(mixing), dtype=torch.float64) + (1 - residual) * mixing
        reading = reading @ (mixing / mixing.sum(1, keepdim=True))
    return reading


def by_token(answer, example=0):
    return answer.scores[example].sum(-1)


@pytest.fixture(scope="module")
def reader():
    return seeded(Reader)


@pytest.mark.parametrize("heads", ["mean", "max", "min"])
@pytest.mark.parametrize("residual", [0.0, 0.5, 0.9])
def test_two_layers_are_the_product_of_their_matrices_seen_from_the_token_that_is_read(reader, heads, residual):
    found = AttentionRollout(residual=residual, heads=heads)(pl.wrap(reader), pl.Decision(tokens(), target=1))
    start = torch.eye(5, dtype=torch.float64)[0]
    for example in range(2):
        with torch.no_grad():
            matrices = reader.matrices(tokens()[example : example + 1])
        torch.testing.assert_close(by_token(found, example), rolled(matrices, start, residual, heads))
    torch.testing.assert_close(found.scores.sum((1, 2)), torch.ones(2).double())
    assert torch.equal(found.scores, found.scores[..., :1].expand_as(found.scores))
    torch.testing.assert_close(found.quality["positions read"], torch.ones(2))
    assert "one position" in found.notes[0]
    with torch.no_grad():
        torch.testing.assert_close(found.value, reader(tokens())[:, 1])


def test_known_attention_gives_known_shares():
    """Without keys attention is even; a class token of three then has 1/2 + 1/2 · 1/3 of itself after one layer."""
    network = seeded(Reader)
    for block in (network.first, network.second):
        block.key.weight.data.zero_()
    found = AttentionRollout()(pl.wrap(network), pl.Decision(tokens(1, 3), target=0))
    one = torch.full((3, 3), 1 / 6).double() + 0.5 * torch.eye(3).double()
    torch.testing.assert_close(by_token(found), (one @ one)[0])
    torch.testing.assert_close(by_token(found), torch.tensor([1 / 2, 1 / 4, 1 / 4]).double())


def test_where_the_score_reads_the_mean_of_tokens_without_more_the_reading_is_even():
    class Mean(Reader):
        def forward(self, tokens):
            tokens = self.embed(tokens)
            tokens = tokens + self.first(tokens)
            return self.head((tokens + self.second(tokens)).mean(1))

    network = seeded(Mean)
    found = AttentionRollout()(pl.wrap(network), pl.Decision(tokens(1), target=2))
    with torch.no_grad():
        matrices = network.matrices(tokens(1))
    torch.testing.assert_close(by_token(found), rolled(matrices, torch.full((5,), 0.2).double()))
    assert found.quality["positions read"].item() == pytest.approx(5, rel=1e-6)


def test_tokens_are_read_by_how_much_the_score_changes_with_them():
    network = seeded(lambda: Reader(reads=None))
    found = AttentionRollout()(pl.wrap(network), pl.Decision(tokens(1), target=0))
    states = []
    hook = network.second.register_forward_hook(lambda module, given, output: states.append(output))
    output = network(tokens(1))[0, 0]
    hook.remove()
    (gradient,) = torch.autograd.grad(output, states[-1])
    size = gradient[0].norm(dim=1)
    with torch.no_grad():
        matrices = network.matrices(tokens(1))
    torch.testing.assert_close(by_token(found), rolled(matrices, size / size.sum()))
    assert float(size.max() / size.min()) > 1.1


def test_weak_weights_are_dropped_and_the_rest_grows():
    network = seeded(Reader)
    found = AttentionRollout(discard=0.5, residual=0.0)(pl.wrap(network), pl.Decision(tokens(1), target=0))
    with torch.no_grad():
        matrices = network.matrices(tokens(1))
    kept = []
    for matrix in matrices:
        mean = matrix.mean(0)
        border = mean.flatten().sort().values[12]
        kept.append(torch.where(mean >= border, mean, 0)[None])
    assert all(bool(matrix[0].any(1).all()) for matrix in kept)
    torch.testing.assert_close(by_token(found), rolled(kept, torch.eye(5, dtype=torch.float64)[0], 0.0))


def test_a_token_that_lost_all_its_weights_stays_where_it_is():
    found = AttentionRollout(discard=0.99, residual=0.0)(pl.wrap(seeded(Reader)), pl.Decision(tokens(1), target=0))
    assert found.scores.sum().item() == pytest.approx(1)


class Blocks(nn.Module):
    """An encoder of torch's own layers, and a head that reads the first token."""

    def __init__(self, encoder, first=False):
        super().__init__()
        self.encoder, self.head, self.first = encoder, nn.Linear(WIDTH, 3), first

    def forward(self, tokens):
        found = self.encoder(tokens.transpose(0, 1)).transpose(0, 1) if self.first else self.encoder(tokens)
        return self.head(found[:, 0])


class Crossing(nn.Module):
    """Attention of torch's own, called as a function of its module alone."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, tokens):
        return self.norm(tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0])


def of_encoder_layers(encoder, tokens):
    """The attention matrices of torch's encoder layers, one module at a time."""
    found = []
    for layer in encoder.layers:
        given = layer.norm1(tokens) if layer.norm_first else tokens
        weights = layer.self_attn(given, given, given, need_weights=True, average_attn_weights=False)[1]
        found.append(weights[0])
        tokens = layer(tokens)
    return found


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_the_encoder_layers_of_torch(norm_first, batch_first):
    def make():
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 8, batch_first=batch_first, norm_first=norm_first)
        return Blocks(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), first=not batch_first)

    network = seeded(make)
    found = AttentionRollout()(pl.wrap(network), pl.Decision(tokens(3), target=0))
    points = tokens(3)[1:2]
    with torch.no_grad():
        matrices = of_encoder_layers(network.encoder, points if batch_first else points.transpose(0, 1))
    torch.testing.assert_close(by_token(found, 1), rolled(matrices, torch.eye(5, dtype=torch.float64)[0]))


def test_attention_modules_and_the_fused_function_are_found_where_they_happen():
    network = seeded(lambda: Blocks(nn.Sequential(Crossing(), Crossing())))
    found = AttentionRollout()(pl.wrap(network), pl.Decision(tokens(1), target=0))
    given, matrices = tokens(1), []
    with torch.no_grad():
        for block in network.encoder:
            matrices.append(block.attention(given, given, given, average_attn_weights=False)[1][0])
            given = block(given)
    torch.testing.assert_close(by_token(found), rolled(matrices, torch.eye(5, dtype=torch.float64)[0]))
    fused = seeded(lambda: Reader(fused=True))
    plain = seeded(Reader)
    answers = [AttentionRollout()(pl.wrap(one), pl.Decision(tokens(), target=0)) for one in (plain, fused)]
    torch.testing.assert_close(answers[0].scores, answers[1].scores)


def test_weights_may_stand_on_either_side_of_the_values():
    class TurnedAttention(SelfAttention):
        def forward(self, tokens):
            *_, value = self.heads(tokens)
            mixed = value.transpose(-1, -2) @ self.weights(tokens).transpose(-1, -2)
            return self.out(mixed.transpose(-1, -2).transpose(-3, -2).flatten(-2))

    plain, turned = seeded(Reader), seeded(Reader)
    for name in ("first", "second"):
        block = TurnedAttention().double()
        block.load_state_dict(getattr(plain, name).state_dict())
        setattr(turned, name, block.eval())
    turned.load_state_dict(plain.state_dict())
    answers = [AttentionRollout()(pl.wrap(one), pl.Decision(tokens(), target=0)) for one in (plain, turned)]
    torch.testing.assert_close(answers[0].scores, answers[1].scores)


@pytest.mark.parametrize("last", [False, True])
def test_the_share_of_a_patch_lies_evenly_on_its_pixels_and_that_of_the_class_token_on_none(last):
    network = seeded(lambda: Patches(last=last))
    pixels = torch.randn(2, 1, 16, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = AttentionRollout()(pl.wrap(network), pl.Decision(pixels, target=0))
    with torch.no_grad():
        matrix = network.block.weights(network.tokens(pixels))[1]
    place = -1 if last else 0
    shares = rolled([matrix], torch.eye(13, dtype=torch.float64)[place])
    patches = (shares[:-1] if last else shares[1:]).view(4, 3)
    grown = patches.repeat_interleave(4, 0).repeat_interleave(4, 1) / 16
    torch.testing.assert_close(found.scores[1, 0], grown)
    assert found.quality["other tokens"][1].item() == pytest.approx(shares[place].item())


def test_a_module_that_returns_the_weights_is_not_taken_for_a_layer_of_tokens():
    class OneHeadAttention(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.softmax = nn.Linear(WIDTH, WIDTH), nn.Softmax(-1)

        def forward(self, tokens):
            return self.softmax(self.query(tokens) @ tokens.transpose(1, 2)) @ tokens

    class Patched(Patches):
        def __init__(self):
            super().__init__()
            self.block = OneHeadAttention()
            self.out = nn.Linear(WIDTH, WIDTH)

        def forward(self, pixels):
            return self.head(self.out(self.block(self.tokens(pixels)))[:, 0])

    network = seeded(Patched)
    pixels = torch.randn(1, 1, 16, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = AttentionRollout(residual=0.0)(pl.wrap(network), pl.Decision(pixels, target=0))
    with torch.no_grad():
        given = network.tokens(pixels)
        weights = (network.block.query(given) @ given.transpose(1, 2)).softmax(-1)[0, 0]
    patches = found.scores[0, 0].unfold(0, 4, 4).unfold(1, 4, 4).sum((2, 3))
    torch.testing.assert_close(patches.flatten(), weights[1:])


def test_columns_that_are_no_patch_get_nothing():
    network = seeded(Patches)
    pixels = torch.randn(1, 1, 18, 14, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = AttentionRollout()(pl.wrap(network), pl.Decision(pixels, target=0))
    assert not found.scores[0, 0, 16:].any()
    assert not found.scores[0, 0, :, 12:].any()
    assert (found.scores[0, 0, :16, :12] > 0).all()


def test_patches_that_overlap_are_answered_at_the_layer_of_tokens_only():
    network = seeded(lambda: Patches(stride=2))
    pixels = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with pytest.raises(NotAnswerable, match="feeds several tokens; ask at a layer of tokens"):
        AttentionRollout()(pl.wrap(network), pl.Decision(pixels, target=0))


def test_at_a_layer_only_the_attention_behind_it_counts(reader):
    subject = pl.wrap(reader)
    with torch.no_grad():
        matrices = reader.matrices(tokens(1))
    start = torch.eye(5, dtype=torch.float64)[0]
    for layer, expected in (("embed", matrices), ("first", matrices[1:]), ("first.out", matrices[1:])):
        found = AttentionRollout()(subject, pl.Decision(tokens(1), target=0, at=layer))
        torch.testing.assert_close(by_token(found), rolled(list(expected), start))
    with pytest.raises(NotAnswerable, match=r"no attention between 'second' and the score"):
        AttentionRollout()(subject, pl.Decision(tokens(1), target=0, at="second"))
    with pytest.raises(UsageError, match=r"no layer 'third'"):
        AttentionRollout()(subject, pl.Decision(tokens(1), target=0, at="third"))


def test_padding_gets_nothing_and_changes_nothing():
    subject = pl.load("minilm-sentiment")
    texts = ["A warm film.", "Dull and far too long, sadly, for anyone who has seen a film before!"]
    together = AttentionRollout(discard=0.3)(subject, pl.Decision(texts, target=1))
    alone = AttentionRollout(discard=0.3)(subject, pl.Decision(texts[0], target=1))
    assert not together.scores[0][~together.mask[0]].any()
    torch.testing.assert_close(together.scores[0][together.mask[0]], alone.scores[0], rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(together.scores.sum((1, 2)), torch.ones(2))


def test_what_is_no_mixture_of_the_same_tokens_is_refused():
    class Decoder(Reader):
        def forward(self, tokens):
            tokens = self.embed(tokens)
            mixed = self.first.weights(tokens)[:, :, :2] @ self.first.value(tokens).unflatten(-1, (HEADS, -1)).mT
            return mixed.flatten(1)[:, :3]

    class Lost(Reader):
        def forward(self, tokens):
            weights = self.first.weights(self.embed(tokens))
            return self.head(tokens.mean(1)) + (weights**2).sum((1, 2, 3))[:, None]

    points = pl.Decision(tokens(1, 6), target=0)
    with pytest.raises(NotAnswerable, match="attends within windows"):
        AttentionRollout()(pl.wrap(seeded(lambda: Reader(windows=2))), points)
    with pytest.raises(NotAnswerable, match="what becomes of the attention weights"):
        AttentionRollout()(pl.wrap(seeded(Lost)), points)


def test_attention_from_one_sequence_to_another_is_refused():
    class Cross(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.head = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True), nn.Linear(WIDTH, 3)

        def forward(self, tokens):
            return self.head(self.attention(tokens[:, :2], tokens, tokens)[0][:, 0])

    with pytest.raises(NotAnswerable, match="attends from 2 tokens to 5 others"):
        AttentionRollout()(pl.wrap(seeded(Cross)), pl.Decision(tokens(1), target=0))


def test_a_foil_and_a_network_without_attention_are_refused(reader):
    with pytest.raises(NotAnswerable, match="it knows no foil"):
        AttentionRollout()(pl.wrap(reader), pl.Decision(tokens(1), target=0, foil=1))
    with pytest.raises(NotAnswerable, match="needs attention, which this subject does not have"):
        AttentionRollout()(pl.wrap(nn.Linear(4, 2)), pl.Decision(torch.ones(1, 4)))


def test_what_stands_before_the_score_must_read_tokens():
    class Skips(Reader):
        def forward(self, tokens):
            found = self.first(self.embed(tokens))
            return self.head(tokens.mean(1)) + 0 * found.sum()

    with pytest.raises(NotAnswerable, match="the score reads no token"):
        AttentionRollout()(pl.wrap(seeded(Skips)), pl.Decision(tokens(1), target=0))


@pytest.mark.slow
@pytest.mark.skipif(not focus_vit_file(), reason="the package with the vision transformer is not installed")
def test_of_a_real_vision_transformer_every_patch_gets_its_own_share():
    task = pl.tasks.Image(224, mean=MEANS, deviation=DEVIATIONS, output="value")
    subject = pl.wrap(load_focus_vit(), task, name="focus-vit")
    found = AttentionRollout()(subject, pl.Decision(data.chelsea(), target=(0, 112, 112)))
    patches = found.scores[0].unfold(1, 14, 14).unfold(2, 14, 14)
    assert patches.shape[1:3] == (16, 16)
    assert torch.equal(patches, patches[:1, :, :, :1, :1].expand_as(patches))
    assert len(patches[0, :, :, 0, 0].unique()) == 256
    assert float(found.scores.sum() + found.quality["other tokens"][0]) == pytest.approx(1, abs=1e-5)
    # Another pixel reads other positions.
    other = AttentionRollout()(subject, pl.Decision(data.chelsea(), target=(0, 20, 20)))
    assert not torch.allclose(found.scores, other.scores, rtol=0.1)
    assert found.quality["positions read"].item() < 16
