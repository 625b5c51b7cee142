"""Over many seeds the intervals of LIME hold the value of unlimited rows as often as they say."""

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.methods import Lime
from pellucid.tasks.tensor import TensorTask


def perceptron():
    """A random network of 12 features with two hidden layers, and a point to explain."""
    torch.manual_seed(3)
    layers = (nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 3))
    network = nn.Sequential(*layers).double().requires_grad_(False)
    network[0].weight.mul_(3)
    return (
        pl.wrap(network, TensorTask()),
        pl.Decision(torch.linspace(-1, 1, 12, dtype=torch.float64)[None], target=0),
        {},
    )


def picture():
    """A random convolutional network and a picture of 44 parts."""
    torch.manual_seed(4)
    layers = (nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 8, 3, 2), nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten())
    network = nn.Sequential(*layers, nn.Linear(32, 3)).double().requires_grad_(False)
    pixels = torch.randn(1, 3, 22, 16, dtype=torch.float64) * 3
    parts = (torch.arange(22)[:, None] // 2) * 4 + torch.arange(16) // 4
    assert int(parts.max()) + 1 == 44
    return pl.wrap(network, pl.tasks.Image((22, 16))), pl.Decision(pixels, target=1), {"features": parts}


def coverage(made, preset, samples, seeds, **fields):
    subject, query, own = made
    truth = Lime(samples=60_000, seed=10**6, **own)(subject, query).by_feature()[0]
    hits = []
    for seed in range(seeds):
        answer = Lime(samples=samples, seed=seed, preset=preset, **own, **fields)(subject, query)
        low, high = (side[0] for side in answer.interval)
        hits.append(((low <= truth) & (truth <= high)).double())
    return float(torch.stack(hits).mean())


@pytest.mark.parametrize("preset", ["balanced", "lime"])
def test_a_few_seeds_hold_the_long_run_about_as_often_as_they_say(preset):
    assert 0.9 <= coverage(perceptron(), preset, 200, 60) <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["balanced", "lime"])
@pytest.mark.parametrize(("made", "samples"), [(perceptron, 300), (picture, 300), (picture, 1000)])
def test_200_seeds_hold_the_long_run_in_92_to_98_of_100_features(made, samples, preset):
    assert 0.92 <= coverage(made(), preset, samples, 200) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("made", [perceptron, picture])
def test_so_they_do_where_a_tolerance_ends_the_draws(made):
    assert 0.92 <= coverage(made(), "balanced", 3000, 200, tolerance=0.15) <= 0.98
