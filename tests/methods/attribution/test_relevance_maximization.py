"""Relevance maximisation: orders by brute force, conditional maps that add up, and channels wherever they lie."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import pellucid as pl
from engine.networks import ResNet, seeded
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.methods import LRP
from pellucid.methods.attribution.relevance_maximization import RelevanceMaximization


def pixels(number=12, side=16, channels=3):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(number, channels, side, side, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def subject():
    return pl.wrap(seeded(lambda: ResNet(stem=3, width=4)))


@pytest.mark.parametrize("over", ["sum", "max"])
@pytest.mark.parametrize("name", ["epsilon-plus", "epsilon"])
def test_the_order_is_that_of_explaining_every_example_alone(subject, name, over):
    found = RelevanceMaximization(composite=name, over=over, examples=5)(subject, pl.Unit("layers.2", 3, data=pixels()))
    brute = []
    for example in pixels():
        at_layer = LRP(composite=name)(subject, pl.Decision(example[None], at="layers.2")).scores[0, 3]
        brute.append(float(at_layer.sum() if over == "sum" else at_layer.max()))
    torch.testing.assert_close(found.measures["relevance"], torch.tensor(brute).double(), rtol=1e-6, atol=1e-9)
    assert found.examples.tolist() == sorted(range(12), key=lambda number: -brute[number])[:5]
    activation = subject.run(subject.prepare(pixels()), capture=("layers.2",)).activations["layers.2"][:, 3]
    expected = activation.sum((1, 2)) if over == "sum" else activation.amax((1, 2))
    torch.testing.assert_close(found.measures["activation"], expected)
    assert found.strongest("activation").tolist() == expected.argsort(descending=True)[:5].tolist()


@pytest.mark.parametrize("layer", ["conv1", "layers.0", "layers.3.bn1"])
def test_conditional_maps_of_all_channels_add_up_to_the_plain_map(subject, layer):
    points = pixels(2)
    channels = subject.run(subject.prepare(points), capture=(layer,)).activations[layer].shape[1]
    method = RelevanceMaximization(examples=2)
    maps, order = torch.zeros_like(points), [method(subject, pl.Unit(layer, n, data=points)) for n in range(channels)]
    for found in order:
        maps[found.examples] += found.maps.scores
    plain = LRP(composite="epsilon-plus")(subject, pl.Decision(points)).scores
    if layer == "layers.3.bn1":
        # The identity beside it is another way.
        assert not torch.allclose(maps, plain, rtol=1e-3)
    else:
        torch.testing.assert_close(maps, plain, rtol=1e-8, atol=1e-11)


def test_what_passes_one_channel_is_its_relevance_divided_among_its_own_terms():
    """Masking the walk is the same as starting it at the channel: both by hand, for a network of two layers."""
    network = seeded(lambda: nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False)))
    first, second = network[0].weight.data, network[2].weight.data
    points = torch.tensor([[1.0, 2.0, -1.0], [0.5, -1.0, 2.0]], dtype=torch.float64)
    hidden = (points @ first.T).clamp(min=0)
    classes = (hidden @ second.T).argmax(1)
    method = RelevanceMaximization(composite="epsilon", examples=2)
    for channel in range(4):
        found = method(pl.wrap(network), pl.Unit("1", channel, data=points))
        relevance = hidden[:, channel] * second[classes, channel]
        terms = points * first[channel] * second[classes, channel, None] * (hidden[:, channel, None] > 0)
        torch.testing.assert_close(found.measures["relevance"], relevance, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.maps.scores, terms[found.examples], rtol=1e-4, atol=1e-5)
        rest = found.maps.absorbed["other channels"]
        torch.testing.assert_close(rest, (found.maps.value - relevance[found.examples]), rtol=1e-4, atol=1e-5)


def test_without_an_index_the_channel_of_largest_total_is_reported(subject):
    found = RelevanceMaximization(examples=3)(subject, pl.Unit("layers.0", data=pixels()))
    each = [RelevanceMaximization(examples=3)(subject, pl.Unit("layers.0", n, data=pixels())) for n in range(4)]
    totals = torch.stack([one.measures["relevance"].sum() for one in each])
    torch.testing.assert_close(found.channels, totals)
    best = each[int(totals.argmax())]
    assert found.index == best.index
    assert torch.equal(found.examples, best.examples)
    torch.testing.assert_close(found.maps.scores, best.maps.scores)
    assert best.channels is None
    assert f"largest for {found.index} (" in found.summary().split("\n")[-1]


def test_the_target_says_whose_relevance_is_looked_at(subject):
    of_class = RelevanceMaximization(examples=2)(subject, pl.Unit("layers.2", 3, target=4, data=pixels()))
    brute = LRP(composite="epsilon-plus")(subject, pl.Decision(pixels(), target=4, at="layers.2")).scores[:, 3]
    torch.testing.assert_close(of_class.measures["relevance"], brute.sum((1, 2)), rtol=1e-6, atol=1e-9)
    assert of_class.maps.target.tolist() == [4, 4]


def test_a_full_index_is_one_place_of_a_channel(subject):
    found = RelevanceMaximization(examples=2)(subject, pl.Unit("layers.0", (1, 2, 0), data=pixels()))
    brute = LRP(composite="epsilon-plus")(subject, pl.Decision(pixels(), at="layers.0")).scores[:, 1, 2, 0]
    torch.testing.assert_close(found.measures["relevance"], brute, rtol=1e-6, atol=1e-9)
    assert found.unit == "unit (1, 2, 0) of layers.0"


class Plain(nn.Module):
    """Two 3 × 3 convolutions with positive weights and a mean: a place of the second sees 5 × 5 pixels."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3), nn.Linear(2, 2)
        for module in (self.first, self.second, self.head):
            module.weight.data.abs_()
            module.bias.data.zero_()

    def forward(self, pixels):
        return self.head(functional.relu(self.second(functional.relu(self.first(pixels)))).mean((2, 3)))


def test_the_region_is_what_the_strongest_place_sees():
    picture = torch.full((1, 1, 12, 12), 0.1, dtype=torch.float64)
    picture[0, 0, 6, 4] = 5.0
    subject = pl.wrap(seeded(Plain), pl.tasks.Image(12, mean=(0.0,), deviation=(1.0,)))
    found = RelevanceMaximization(examples=1)(subject, pl.Unit("second", 0, data=picture))
    passing = LRP(composite="epsilon-plus")(subject, pl.Decision(picture, at="second")).scores[0, 0]
    row, column = divmod(int(passing.argmax()), 8)
    assert found.regions.tolist() == [[row, column, row + 5, column + 5]]
    assert row <= 6 < row + 5
    assert column <= 4 < column + 5


def test_channels_of_tokens_lie_on_the_last_axis_and_padding_counts_for_nothing():
    subject = pl.load("minilm-sentiment")
    texts = ["A warm film.", "Dull and far too long, sadly, for anyone who has seen one before!"]
    layer = "encoder.encoder.layer.4"
    together = RelevanceMaximization(examples=2)(subject, pl.Unit(layer, 18, data=texts))
    alone = RelevanceMaximization(examples=2)(subject, pl.Unit(layer, 18, data=texts[:1]))
    inputs = subject.prepare(texts[0])
    activation = subject.run(inputs, capture=(layer,)).activations[layer][0, :, 18].sum()
    torch.testing.assert_close(alone.measures["activation"][0], activation.double(), rtol=1e-4, atol=1e-6)
    for name in ("relevance", "activation"):
        torch.testing.assert_close(together.measures[name][:1], alone.measures[name], rtol=1e-3, atol=1e-5)
    assert together.regions is None
    largest = RelevanceMaximization(examples=2, over="max")(subject, pl.Unit(layer, 18, data=texts))
    assert (largest.measures["activation"] <= together.measures["activation"].abs() + 10).all()
    assert torch.isfinite(largest.measures["activation"]).all()


def test_a_batch_of_any_size_gives_the_same(subject):
    query = pl.Unit("layers.2", data=pixels())
    whole = RelevanceMaximization(examples=3)(subject, query)
    with pl.byte_budget(1):
        parts = RelevanceMaximization(examples=3)(subject, query)
    torch.testing.assert_close(parts.measures["relevance"], whole.measures["relevance"], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(parts.maps.scores, whole.maps.scores, rtol=1e-6, atol=1e-9)
    assert parts.regions.tolist() == whole.regions.tolist()


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (pl.Unit("layers.2", 99, data=pixels(2)), "channels 0 to 7, and no unit 99"),
        (pl.Unit("layers.2", (1, 99), data=pixels(2)), "no unit"),
        (pl.Unit("layers.2", (1, 0, 0, 0), data=pixels(2)), "no unit"),
        (pl.Unit("layers.9", 0, data=pixels(2)), "no layer 'layers.9'"),
        (pl.Unit("fc", 0, data=pixels(2)), "returns the scores themselves"),
        (pl.Unit("layers.2", 0), "name a layer and data"),
        (pl.Unit(None, 0, data=pixels(2)), "name a layer and data"),
        (pl.Unit("layers.2", 0, target=99, data=pixels(2)), "target"),
    ],
)
def test_units_that_are_none_are_refused(subject, unit, message):
    with pytest.raises(UsageError, match=message):
        RelevanceMaximization()(subject, unit)


def test_a_subject_without_layers_is_told_what_to_ask():
    with pytest.raises(NotAnswerable, match=r"needs activations, weights.*Ask: lrp, occlusion"):
        RelevanceMaximization()(pl.wrap(lambda rows: rows, name="oracle"), pl.Unit("a", 0, data=torch.ones(1, 2)))


def test_an_unknown_composite_is_refused():
    with pytest.raises(UsageError, match="epsilon-plus"):
        RelevanceMaximization(composite="epsilon-pluss")
