"""On a network that reads one patch only, the map of the patch beats all control rows by every metric of faithfulness."""

import pytest
import torch

import pellucid as pl
from metrics.plain_rows import made, pictures_of
from pellucid.metrics import (
    Comprehensiveness,
    EffectiveComplexity,
    FaithfulnessCorrelation,
    FaithfulnessEstimate,
    Infidelity,
    MassAccuracy,
    PointingGame,
    RankAccuracy,
    SensitivityN,
    Sufficiency,
    TopKIntersection,
)

SIDE = 12
METRICS = (
    FaithfulnessCorrelation(),
    FaithfulnessEstimate(),
    SensitivityN(),
    Infidelity(perturbation="square", scores="contributions", side=4),
    Comprehensiveness(),
    Sufficiency(),
    EffectiveComplexity(),
    PointingGame(),
    MassAccuracy(),
    RankAccuracy(),
    TopKIntersection(),
)


def planted(number):
    """Pictures whose score is what they hold in one patch, squashed, the patch, and its map."""
    patch = torch.zeros(1, SIDE, SIDE, dtype=torch.float64)
    patch[:, 2:6, 5:10] = 1
    subject = pictures_of(lambda point: ((point * patch).flatten(1).sum(1, keepdim=True) / 12).tanh(), SIDE)
    source = torch.Generator().manual_seed(3)
    inputs = 0.5 + torch.rand(number, 1, SIDE, SIDE, generator=source, dtype=torch.float64)
    return subject, pl.Decision(inputs), patch[0].bool(), patch * inputs


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.spec.id)
def test_the_map_of_the_patch_wins_and_its_opposite_does_not(metric):
    subject, decision, patch, oracle = planted(8)
    elsewhere = (~patch).double().expand_as(oracle).clone()
    answers = [made(decision, scores) for scores in (oracle, elsewhere)]
    found = metric(subject, pl.Judgement(answers, patch))
    assert all(found.beats("answer", control) for control in ("random", "edge", "constant"))
    assert not any(found.beats("answer #2", control) for control in ("random", "edge", "constant"))
