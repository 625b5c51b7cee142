"""Occlusion gives Captum's map for every window and stride, those that do not divide the picture among them."""

import pytest
import torch
from captum.attr import Occlusion as CaptumOcclusion
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import pellucid as pl
from pellucid.methods import Occlusion

pytestmark = pytest.mark.reference  # Captum returns maps in single precision.


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 4 * 5, 3))
    return layers.double().eval()


def pictures():
    return torch.randn(3, 2, 10, 13, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(
    ("window", "stride"),
    [((1, 1), (1, 1)), ((3, 3), (1, 1)), ((3, 4), (2, 3)), ((4, 4), (4, 4)), ((5, 7), (3, 5)), ((10, 13), (1, 1))],
)
@pytest.mark.parametrize("baseline", [0.0, 0.75])
def test_maps_of_pictures_are_equal(window, stride, baseline):
    net = network()
    ours = Occlusion(window=window, stride=stride, baseline=baseline)(
        pl.wrap(net, pl.tasks.TensorTask()), pl.Decision(pictures(), target=1)
    )
    theirs = CaptumOcclusion(net).attribute(
        pictures(), sliding_window_shapes=(2, *window), strides=(2, *stride), target=1, baselines=baseline
    )
    assert torch.allclose(ours.scores, theirs.detach().double(), atol=1e-6)


def residual(pixels, first, second):
    found = functional.relu(first(pixels))
    return (found + functional.relu(second(found))).mean((2, 3))


@settings(deadline=None, max_examples=25)
@given(st.tuples(st.integers(1, 12), st.integers(1, 15)), st.tuples(st.integers(1, 12), st.integers(1, 15)))
def test_maps_are_equal_where_only_what_a_window_reaches_is_computed(window, stride):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, given):
            return residual(given, self.first, self.second)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Network().double().eval()
    stride = tuple(min(step, side) for step, side in zip(stride, window, strict=True))
    points = torch.randn(1, 2, 12, 15, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours = Occlusion(window=window, stride=stride, baseline=0.5)(
        pl.wrap(net, pl.tasks.TensorTask(shape=(2, 12, 15))), pl.Decision(points, target=1)
    )
    theirs = CaptumOcclusion(net).attribute(
        points, sliding_window_shapes=(2, *window), strides=(2, *stride), target=1, baselines=0.5
    )
    assert torch.allclose(ours.scores, theirs.detach().double(), atol=1e-6)


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (2, 1), (3, 2), (4, 3)])
def test_maps_of_sequences_are_equal(window, stride):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(24, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    inputs = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    task = pl.tasks.Sequence(channels=("a", "b", "c"), labels=("no", "yes"))
    ours = Occlusion(window=window, stride=stride, baseline="zero")(pl.wrap(net, task), pl.Decision(inputs, target=0))
    theirs = CaptumOcclusion(net).attribute(
        inputs, sliding_window_shapes=(window, 3), strides=(stride, 3), target=0, baselines=0
    )
    assert torch.allclose(ours.scores, theirs.detach().double(), atol=1e-6)
