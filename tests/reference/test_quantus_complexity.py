"""Metrics of complexity give quantus' values, apart from what its common normalisation and its stabilisers do."""

import numpy as np
import pytest
import torch

import pellucid as pl
from pellucid.core.subject import Features
from pellucid.metrics import EffectiveComplexity, Entropy, Gini
from reference.quantus_differences import Difference
from reference.quantus_package import quantus

pytestmark = pytest.mark.reference

DIFFERENCES = (
    Difference(
        "EffectiveComplexity",
        "divides all maps of a call by their common largest score before it counts those above 1e-5, so that the value of "
        "one example depends on the others",
        "a map is judged by its own scores, whatever stands beside it",
        "scores 1, 2, …, 16 of one example, beside another whose scores are 50,000 times as large",
        8.0,
        16.0,
    ),
    Difference(
        "EffectiveComplexity, the definition",
        "counts the scores above 1e-5 and never asks the model",
        "the least number of features that keeps the expected error of the score within a tolerance (nguyen2020quantitative)",
        "a model that reads 3 of 16 features, all scores above 1e-5",
        16.0,
        3.0,
    ),
    Difference(
        "Sparseness",
        "adds 1e-7 to every score after that division, so that maps of small scores beside large ones lose their sparseness",
        "the Gini index does not depend on the scale of a map",
        "one of 16 scores is 1, the others 0, beside an example whose largest is ten million",
        15 / 272,
        0.9375,
    ),
    Difference(
        "Complexity",
        "adds 1e-12 within the logarithm, which moves nothing that can be seen here, and divides a map of zeros by zero",
        "a map of zeros names nothing: it counts as spread evenly",
        "a map of 16 zeros beside another map (quantus: NaN)",
        float("nan"),
        float(np.log(16)),
    ),
)


def scores(number=4, channels=3, seed=2):
    return torch.randn(number, channels, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ours(metric, maps, function=lambda point: point.flatten(1).sum(1, keepdim=True)):
    subject = pl.wrap(function, pl.tasks.TensorTask(output="value"), name="function")
    every = torch.arange(maps[0].numel()).view(1, *maps.shape[1:]).expand_as(maps)
    answer = pl.Attribution(
        scores=maps,
        value=torch.zeros(len(maps)),
        features=Features("element", every),
        query=pl.Decision(torch.ones_like(maps)),
    )
    return metric(subject, pl.Judgement([answer])).per_example[0].numpy()


def theirs(metric, maps):
    given = {"x_batch": np.ones(maps.shape), "a_batch": maps.numpy().copy(), "y_batch": np.zeros(len(maps), int)}
    return np.array(metric(model=None, channel_first=True, **given), dtype=float)


QUIET = {"disable_warnings": True, "return_aggregate": False}
PAIRS = {
    "complexity": (Entropy, quantus.Complexity),
    "sparseness": (Gini, quantus.Sparseness),
    "effective complexity": (
        lambda **fields: EffectiveComplexity(compat="quantus", **fields),
        quantus.EffectiveComplexity,
    ),
}


def alone(metric, maps):
    """quantus' values of each example in a call of its own, where no other one changes its scale."""
    return np.concatenate([theirs(metric, maps[row : row + 1]) for row in range(len(maps))])


@pytest.mark.parametrize("kind", PAIRS)
def test_values_are_equal(kind):
    mine, peer = PAIRS[kind]
    # The 1e-7 that sparseness adds shows in maps of a few large scores.
    for maps in (scores(), scores().square(), scores(2, 1), *([] if kind == "sparseness" else [scores().pow(9)])):
        assert ours(mine(features="elements"), maps) == pytest.approx(alone(peer(**QUIET), maps), abs=1e-6)


def test_pooled_over_channels_they_are_quantus_of_the_pooled_map():
    maps = scores()
    for mine, peer in PAIRS.values():
        pooled = maps.sum(1, keepdim=True)
        subject = pl.wrap(
            lambda point: point.flatten(1).sum(1, keepdim=True), pl.tasks.Image(4, output="value"), name="pictures"
        )
        every = torch.arange(16).view(1, 1, 4, 4).expand(4, 1, 4, 4)
        answer = pl.Attribution(
            scores=maps,
            value=torch.zeros(4),
            features=Features("pixel", every),
            query=pl.Decision(torch.ones_like(maps)),
        )
        found = mine()(subject, pl.Judgement([answer])).per_example[0].numpy()
        assert found == pytest.approx(alone(peer(**QUIET), pooled), abs=1e-6)


def measured(name):
    return next(entry for entry in DIFFERENCES if entry.name == name)


def test_quantus_effective_complexity_depends_on_the_other_examples():
    quiet = torch.arange(1.0, 17, dtype=torch.float64).view(1, 1, 4, 4)
    maps = torch.cat([quiet, quiet.flip(3) * 5e4])
    entry = measured("EffectiveComplexity")
    assert theirs(quantus.EffectiveComplexity(**QUIET), maps)[0] == entry.quantus
    assert ours(EffectiveComplexity(compat="quantus"), maps)[0] == entry.defined
    assert theirs(quantus.EffectiveComplexity(**QUIET), maps[:1])[0] == entry.defined


def test_quantus_effective_complexity_is_not_the_papers():
    maps = torch.arange(16.0, 0, -1, dtype=torch.float64).view(1, 1, 4, 4)
    entry = measured("EffectiveComplexity, the definition")
    assert theirs(quantus.EffectiveComplexity(**QUIET), maps)[0] == entry.quantus
    found = ours(EffectiveComplexity(), maps, lambda point: point.flatten(1)[:, :3].sum(1, keepdim=True))
    assert found[0] == entry.defined


def test_quantus_sparseness_depends_on_the_scale_of_other_maps():
    single = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    single[..., 1, 2] = 1
    maps = torch.cat([single, torch.arange(1.0, 17, dtype=torch.float64).view(1, 1, 4, 4) / 16 * 1e7])
    entry = measured("Sparseness")
    assert theirs(quantus.Sparseness(**QUIET), maps)[0] == pytest.approx(entry.quantus)
    assert ours(Gini(), maps)[0] == pytest.approx(entry.defined, abs=1e-12)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_quantus_complexity_of_zeros_is_not_a_number():
    maps = torch.cat([torch.zeros(1, 1, 4, 4, dtype=torch.float64), scores(1, 1)])
    entry = measured("Complexity")
    assert np.isnan(theirs(quantus.Complexity(**QUIET), maps)[0])
    assert np.isnan(entry.quantus)
    assert ours(Entropy(), maps)[0] == pytest.approx(entry.defined, abs=1e-12)
