"""Deconv patches: three rules that differ, switches by hand, a planted detector, and the mass inside."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import pellucid as pl
from engine.networks import seeded
from methods.features.planted import SQUARE, pictures, subject
from pellucid.core.errors import UsageError
from pellucid.engine.projection import projected
from pellucid.methods import Deconvnet, DeconvPatches, Gradient, GuidedBackprop, TopExamples

MNIST = Path(__file__).resolve().parents[3] / "../shared/data/mnist-20k"
POINT = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
RULES = {"gradient": [-2, 1, -1], "deconvnet": [1, 3, 0], "guided": [0, 1, 0]}


class Vector(nn.Module):
    """w₃ · ReLU(W₂ · ReLU(x)), with one rectifier module used twice, a function, or in place."""

    def __init__(self, form):
        super().__init__()
        self.second, self.third = nn.Linear(3, 3, bias=False), nn.Linear(3, 1, bias=False)
        self.second.weight.data = torch.tensor([[1.0, 1, -2], [1, 0, 1], [-1, 1, 0]])
        self.third.weight.data = torch.tensor([[2.0, -1, 1]])
        self.relu = {"module": nn.ReLU(), "function": functional.relu, "in place": nn.ReLU(inplace=True)}[form]
        self.double()

    def forward(self, row):
        return self.third(self.relu(self.second(self.relu(row.clone()))))


@pytest.mark.parametrize("form", ["module", "function", "in place"])
@pytest.mark.parametrize("signal", RULES)
def test_backpropagation_deconvnet_and_guided_backpropagation_differ_as_they_should(signal, form):
    wrapped = pl.wrap(Vector(form))
    asked = {"gradient": Gradient(), "deconvnet": Deconvnet(), "guided": GuidedBackprop()}[signal]
    answer = asked(wrapped, pl.Decision(POINT, 0))
    assert answer.value.tolist() == [-3]
    assert answer.scores.tolist() == [RULES[signal]]
    found, _ = projected(wrapped, wrapped.prepare(POINT), "third", [(0,)], torch.ones(1), signal)
    assert found.tolist() == [RULES[signal]]


class Pooling(nn.Module):
    """A maximum and a weighted sum of it, by module, function, or with the same module again."""

    def __init__(self, pool):
        super().__init__()
        self.pool, self.sums = pool, nn.Conv2d(1, 1, 2, bias=False)
        self.sums.weight.data = torch.tensor([[[[1.0, 2], [3, 4]]]])

    def forward(self, pixels):
        return self.sums(self.pool(pixels)).flatten(1)


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), lambda pixels: functional.max_pool2d(pixels, 2)])
def test_unpooling_puts_the_signal_where_the_maximum_was(pool):
    pixels = torch.tensor([[1.0, 9, 2, 3], [4, 5, 8, 7], [6, 1, 0, 2], [2, 3, 5, 1]]).view(1, 1, 4, 4)
    report = DeconvPatches(k=1)(pl.wrap(Pooling(pool)), pl.Unit("sums", 0, data=pixels))
    value = 9 * 1 + 8 * 2 + 6 * 3 + 5 * 4
    expected = torch.tensor([[0.0, 1, 0, 0], [0, 0, 2, 0], [3, 0, 0, 0], [0, 0, 4, 0]])
    assert report.maps.scores[0, 0].tolist() == (value * expected).tolist()


def test_only_the_strongest_activation_is_projected_with_its_value():
    network = seeded(
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 2))
    )
    network = network.double()
    data = torch.randn(5, 2, 10, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    report = DeconvPatches(k=5)(pl.wrap(network), pl.Unit("2", 1, data=data))
    for rank, (number, place) in enumerate(zip(report.examples.tolist(), report.places, strict=True)):
        seed = torch.zeros(1, 2, 6, 6, dtype=torch.float64)
        seed[(0, *place)] = network[:3](data[number : number + 1])[0, 1].detach().max()
        signal = functional.conv_transpose2d(seed, network[2].weight).clamp(min=0)
        expected = functional.conv_transpose2d(signal, network[0].weight)
        torch.testing.assert_close(report.maps.scores[rank], expected[0], rtol=1e-5, atol=1e-7)


def test_most_of_the_projection_of_a_planted_detector_lies_in_what_it_detects():
    data, boxes = pictures()
    report = DeconvPatches(reference=boxes)(subject(), pl.Unit("square", 0, data=data))
    assert bool((boxes[report.examples] >= 0).all())
    assert float(report.maps.quality["inside_the_reference"].min()) >= 0.8
    assert float(report.maps.quality["inside_its_receptive_field"].min()) == 1
    for rank, box in enumerate(boxes[report.examples].tolist()):
        top, left, bottom, right = box
        mass = report.maps.scores[rank].abs().sum(0)
        assert float(mass[top:bottom, left:right].sum() / mass.sum()) >= 0.8
    assert report.table()[0]["inside_the_reference"] == pytest.approx(
        float(report.maps.quality["inside_the_reference"][0])
    )


def test_the_examples_are_the_top_examples():
    query = pl.Unit("square", 0, data=pictures()[0])
    found, known = DeconvPatches(k=4)(subject(), query), TopExamples(k=4)(subject(), query)
    assert torch.equal(found.examples, known.examples)
    assert found.places == known.places
    assert torch.equal(found.regions, known.regions)
    assert found.maps.value.tolist() == known.measures["activation"][known.examples].tolist()


def test_without_max_pooling_the_projections_differ_by_scale_alone_and_say_so():
    network = seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(3136, 2))
    )
    data = pictures(6, 2)[0]
    said = {
        signal: DeconvPatches(k=2, signal=signal)(pl.wrap(network), pl.Unit("2", 0, data=data)).notes
        for signal in ("deconvnet", "gradient", "guided")
    }
    assert "differ by their scale alone" in said["deconvnet"][0]
    assert said["gradient"] == said["guided"] == ()
    assert not DeconvPatches(k=2)(subject(), pl.Unit("square", 0, data=data)).notes


def test_a_reference_of_another_shape_is_refused():
    with pytest.raises(UsageError, match=r"one for each of 6 examples, not \(5, 4\)"):
        DeconvPatches(reference=torch.zeros(5, 4))(subject(), pl.Unit("square", 0, data=pictures(6, 2)[0]))
    square = torch.tensor([0, 0, SQUARE, SQUARE])
    report = DeconvPatches(k=2, reference=square)(subject(), pl.Unit("square", 0, data=pictures(6, 2)[0]))
    assert "inside_the_reference" in report.table()[0]


@pytest.mark.slow
def test_what_excites_units_of_a_digit_network_lies_on_the_strokes():
    """The projections' positive parts, of every fourth unit, lie on ink more often than chance."""
    packed = MNIST / "t10k-images-idx3-ubyte.gz"
    if not packed.is_file():
        pytest.skip(f"{packed.name} is not beside the repository")
    pixels = np.frombuffer(gzip.decompress(packed.read_bytes()), np.uint8, offset=16).reshape(-1, 1, 28, 28)[:400]
    data, network, shares, areas = torch.tensor(pixels / 255).float(), pl.load("mnist-cnn"), [], []
    for channel in range(0, 32, 4):
        report = DeconvPatches()(network, pl.Unit("activation3", channel, data=data))
        drawn = report.maps.scores.clamp(min=0).sum(1)
        ink = (data[report.examples, 0] > 0.3).float()
        for one, strokes, (top, left, bottom, right) in zip(drawn, ink, report.regions.tolist(), strict=True):
            if float(one.sum()) > 0:
                shares.append(float((one * strokes).sum() / one.sum()))
                areas.append(float(strokes[top:bottom, left:right].mean()))
    assert len(shares) > 40
    assert sum(shares) / len(shares) > 1.5 * sum(areas) / len(areas)
