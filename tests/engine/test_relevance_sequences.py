"""Relevance through recurrent layers, attention and norms: published numbers, closed forms, and every unit accounted for."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.networks import LRP0, closes, explained, seeded
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.engine.relevance import propagate
from pellucid.engine.rules import COMPOSITES, Attention, Composite, Epsilon, Gate, Norm, NormLayer
from pellucid.engine.tape import Tape


class Recurrent(nn.Module):
    """A recurrent layer whose initial state is an input, and a head on its last output."""

    def __init__(self, kind=nn.LSTM, inputs=5, hidden=4, outputs=3, bias=True, **settings):
        super().__init__()
        self.layer = kind(inputs, hidden, batch_first=True, **settings)
        self.head = nn.Linear(hidden * (2 if settings.get("bidirectional") else 1), outputs, bias=bias)

    def forward(self, x, *states):
        given = () if not states else (states,) if isinstance(self.layer, nn.LSTM) else states
        return self.head(self.layer(x, *given)[0][:, -1])


def published():
    """The LSTM of one unit over two steps whose relevance arras2017explaining's rules give below."""
    network = Recurrent(nn.LSTM, 1, 1, 1, bias=False).double()
    layer = network.layer
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.tensor([0.5, 0.3, 1.0, 0.8])[:, None])
        layer.weight_hh_l0.copy_(torch.tensor([0.1, -0.2, 0.6, 0.4])[:, None])
        layer.bias_ih_l0.copy_(torch.tensor([0.0, 0.5, 0.1, 0.0]))
        layer.bias_hh_l0.zero_()
        network.head.weight.fill_(1.5)
    return network


@pytest.mark.parametrize("bias_factor", [0.0, 1.0])
def test_an_lstm_gets_the_published_relevance(bias_factor):
    network, point = published(), torch.tensor([[[1.0], [-0.5]]]).double()
    states = {name: torch.zeros(1, 1, 1).double() for name in ("hidden", "cell")}
    with Tape(point, network, others=states) as tape:
        score = network(point, *states.values())
    # The sum of both products is stabilised once, as a whole; 1e-12 only keeps the division of a zero term defined.
    composite = Composite(
        "arras",
        convolution=Epsilon(),
        linear=Epsilon(1e-12 * bias_factor, bias_factor=bias_factor),
        sum=Norm(0.001, bias_factor=bias_factor),
    )
    found = propagate(tape, score, score, composite, {"head": Epsilon(0.001, bias_factor=bias_factor)})
    assert abs(float(score) - 0.12338065) < 1e-8
    if bias_factor:
        assert set(found.absorbed) == {"hidden", "cell"}
        assert abs(float(found.total + found.absorbed["hidden"] + found.absorbed["cell"] - score)) < 1e-15
    else:
        expected = torch.tensor([0.21079371, -0.13814581]).double()
        torch.testing.assert_close(found.scores.flatten(), expected, rtol=0, atol=1e-8)


RECURRENT = {
    "LSTM": lambda: Recurrent(nn.LSTM),
    "GRU": lambda: Recurrent(nn.GRU),
    "tanh": lambda: Recurrent(nn.RNN),
    "rectified": lambda: Recurrent(nn.RNN, nonlinearity="relu"),
    "two layers, both ways": lambda: Recurrent(nn.LSTM, num_layers=2, bidirectional=True),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_layers_account_for_every_unit(kind, dtype):
    network, point = seeded(RECURRENT[kind], dtype=dtype), torch.randn(2, 6, 5, dtype=dtype)
    with torch.no_grad():
        plain = network(point)
    found = explained(network, point)
    assert closes(found, 1e-4 if dtype is torch.float32 else 1e-10)
    torch.testing.assert_close(found.value, plain[:, 0].double(), rtol=1e-4, atol=1e-6)
    assert (found.scores.abs().sum((1, 2)) > 0).all()


def test_examples_of_a_batch_do_not_touch():
    network, point = seeded(RECURRENT["two layers, both ways"]), torch.randn(3, 6, 5, dtype=torch.float64)
    together = explained(network, point)
    for row in range(3):
        alone = explained(network, point[row : row + 1].clone())
        torch.testing.assert_close(together.scores[row], alone.scores[0], rtol=1e-8, atol=1e-12)


def test_gates_take_part_only_as_they_are_asked_to():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.signal, self.gate = nn.Linear(4, 3, bias=False), nn.Linear(4, 3, bias=False)

        def forward(self, x):
            return self.signal(x[:, :4]) * (1 - torch.sigmoid(self.gate(x[:, 4:])))

    network, point = seeded(Gated), torch.randn(2, 8, dtype=torch.float64)
    found = explained(network, point, LRP0)
    assert (found.scores[:, 4:] == 0).all()
    torch.testing.assert_close(found.scores.sum(1), found.value, rtol=1e-8, atol=1e-10)
    even = explained(network, point, LRP0, rules={"*": Gate(0.5)})
    torch.testing.assert_close(even.scores[:, :4].sum(1), found.value / 2, rtol=1e-8, atol=1e-10)


class Tokens(nn.Module):
    """Something for tokens between two linear maps, and a mean over tokens."""

    def __init__(self, inner):
        super().__init__()
        self.embed, self.inner, self.last = nn.Linear(6, 8), inner, nn.Linear(8, 2)

    def forward(self, x):
        found = self.embed(x)
        attends = isinstance(self.inner, nn.MultiheadAttention)
        return self.last((self.inner(found, found, found)[0] if attends else self.inner(found)).mean(1))


class Causal(nn.Module):
    """Attention with a mask of −∞, by the fused function."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x):
        split = self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        return functional.scaled_dot_product_attention(*split, is_causal=True).transpose(1, 2).flatten(2)


class Einsum(nn.Module):
    """Attention written with einsum, its mask added as a large negative number."""

    def forward(self, x):
        mask = torch.triu(torch.full((x.shape[1], x.shape[1]), -1e30, dtype=x.dtype), 1)
        weights = (torch.einsum("bid,bjd->bij", x, x) / 8**0.5 + mask).softmax(-1)
        return torch.einsum("bij,bjd->bid", weights, x)


class WrittenOut(nn.Module):
    """A layer norm written out with a mean, a power and a square root."""

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()


def transformer(**settings):
    return nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **settings), 2, enable_nested_tensor=False
    )


TOKENS = {
    "nn.MultiheadAttention": lambda: nn.MultiheadAttention(8, 2, batch_first=True),
    "nn.TransformerEncoder": transformer,
    "norm first, gelu": lambda: transformer(norm_first=True, activation="gelu"),
    "causal": Causal,
    "einsum": Einsum,
    "layer norm": lambda: nn.LayerNorm(8),
    "layer norm written out": WrittenOut,
    "root-mean-square norm": lambda: nn.RMSNorm(8),
    "group norm": lambda: nn.GroupNorm(5, 5),
    "instance norm": lambda: nn.InstanceNorm1d(5, affine=True),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", TOKENS)
def test_attention_and_norms_account_for_every_unit(kind, dtype):
    network, point = seeded(lambda: Tokens(TOKENS[kind]()), dtype=dtype), torch.randn(3, 5, 6, dtype=dtype)
    with torch.no_grad():
        network(point)
    found = explained(network, point)
    assert closes(found, 1e-4 if dtype is torch.float32 else 1e-9)
    alone = explained(network, point[1:2].clone())
    torch.testing.assert_close(
        found.scores[1], alone.scores[0], rtol=1e-3 if dtype is torch.float32 else 1e-7, atol=1e-5
    )


def test_a_layer_norm_written_out_is_a_layer_norm():
    written, module = (seeded(lambda inner=inner: Tokens(inner())) for inner in (WrittenOut, lambda: nn.LayerNorm(8)))
    point = torch.randn(3, 5, 6, dtype=torch.float64)
    found = [explained(network, point, LRP0).scores for network in (written, module)]
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("split", ["nn.MultiheadAttention", "causal"])
def test_fixed_attention_weights_make_attention_linear_in_the_values(split):
    network, point = seeded(lambda: Tokens(TOKENS[split]())), torch.randn(2, 5, 6, dtype=torch.float64)
    found = explained(network, point, dataclasses.replace(LRP0, attention=Attention("cp-lrp")))
    assert "softmax" not in found.absorbed
    assert closes(found, 1e-9)


def test_relevance_passes_an_identity_norm_unchanged():
    network, point = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8))), torch.randn(2, 6).double()
    with Tape(point, network) as tape:
        scores = network(point)
    composite = dataclasses.replace(LRP0, norm=NormLayer("identity"))
    found = propagate(tape, scores, scores, composite, at="0")
    torch.testing.assert_close(found.scores, scores.detach(), rtol=1e-12, atol=0)


def test_a_layer_norm_is_linear_with_its_scale_held_fixed():
    norm, point = nn.LayerNorm(4).double(), torch.tensor([[1.0, 2.0, 4.0, -1.0]]).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 2.0, -1.0, 1.0]))
        norm.bias.copy_(torch.tensor([0.1, -0.2, 0.3, 0.4]))
    found = explained(norm, point, LRP0, target=2)
    scale = -1.0 / (point.var(1, unbiased=False) + norm.eps).sqrt()
    centring = torch.eye(4).double() - 1 / 4
    torch.testing.assert_close(found.scores, point * centring[2] * scale, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.absorbed["norm shift"], torch.tensor([0.3]).double(), rtol=1e-9, atol=1e-12)


def test_a_sum_split_by_size_never_gives_more_than_there_is():
    def cancelling(x):
        return x[:, :1] + x[:, 1:]

    point = torch.tensor([[1.0, -0.999], [2.0, 3.0]]).double()
    by_size = dataclasses.replace(LRP0, sum=Norm(1e-12, split="size"))
    found, proportional = (explained(cancelling, point, composite) for composite in (by_size, LRP0))
    expected = found.value[:, None] * point.abs() / point.abs().sum(1, keepdim=True)
    torch.testing.assert_close(found.scores, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(proportional.scores, point, rtol=1e-6, atol=1e-9)


def test_scores_after_a_log_softmax_are_explained_to_first_order():
    network = nn.Sequential(nn.Linear(4, 3, bias=False), nn.LogSoftmax(1)).double()
    point = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(point)[:, 1].sum(), point)
    found = explained(network, point.detach(), LRP0, target=1)
    torch.testing.assert_close(found.scores, point.detach() * gradient, rtol=1e-7, atol=1e-9)
    assert closes(found)


def test_a_hugging_face_transformer_is_accounted_for():
    transformers = pytest.importorskip("transformers")
    settings = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    configuration = transformers.BertConfig(vocab_size=20, attn_implementation="sdpa", **settings)
    torch.manual_seed(0)
    network = transformers.BertForSequenceClassification(configuration).eval()
    embedded = network.bert.embeddings.word_embeddings(torch.tensor([[1, 2, 3, 4]])).detach()

    def scores(point):
        return network(inputs_embeds=point, attention_mask=torch.ones(1, 4)).logits

    assert closes(explained(scores, embedded, "epsilon", module=network), 1e-4)


@pytest.mark.parametrize("rule", [Gate(), Attention(), NormLayer()])
def test_a_rule_for_what_is_not_there_is_refused(rule):
    network, point = seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU())), torch.randn(1, 4).double()
    with pytest.raises((UsageError, NotAnswerable), match="is at '1'"):
        explained(network, point, COMPOSITES["epsilon"], rules={"1": rule})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Gate(1.5), "between 0 and 1"),
        (lambda: Attention("soft"), "attn-lrp or cp-lrp"),
        (lambda: NormLayer("layer"), "linear or identity"),
        (lambda: Norm(split="even"), "proportion, size or positive"),
        (lambda: Epsilon(bias_factor=2), "between 0 and 1"),
    ],
)
def test_a_rule_checks_its_fields(make, said):
    with pytest.raises(UsageError, match=said):
        make()
