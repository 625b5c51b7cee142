"""Metrics of localisation give quantus' values, apart from ties, signs that cancel and weights."""

import numpy as np
import pytest
import torch

import pellucid as pl
from pellucid.core.errors import BadInput
from pellucid.core.subject import Features
from pellucid.metrics import MassAccuracy, PointingGame, RankAccuracy, TopKIntersection
from reference.quantus_differences import Difference
from reference.quantus_package import quantus

pytestmark = pytest.mark.reference

SIDE = 8
DIFFERENCES = (
    Difference(
        "PointingGame",
        "calls it a hit if any of the positions with the highest score lies inside, so that a map that is constant "
        "wherever it is not negative always hits",
        "each of them counts as its share",
        "64 pixels of which 63 have the same highest score, mask of 12",
        1.0,
        12 / 63,
    ),
    Difference(
        "PointingGame(weighted=True)",
        "writes the weights into an array of truth values, and raises an error as soon as an example is hit",
        "a hit of a large mask counts less: 1 − |mask|/pixels",
        "hit of a mask of 12 of 64 pixels (quantus: a TypeError)",
        float("nan"),
        1 - 12 / 64,
    ),
    Difference(
        "RelevanceMassAccuracy",
        "divides the sum of signed scores inside by that of all, so that the value lies anywhere where signs cancel",
        "the share of the positive relevance (arras2022clevr): between 0 and 1",
        "scores 3 and −1 inside, 1 and −2.5 outside",
        4.0,
        0.75,
    ),
    Difference(
        "RelevanceRankAccuracy",
        "chooses among equal scores by an unstable sort",
        "a fair choice: its expectation",
        "one score inside a mask of 12 of 64 pixels, the others 0 (quantus: what numpy's sort makes of it)",
        1 / 12,
        (1 + 11 * 11 / 63) / 12,
    ),
)


def scores(number=4, seed=2):
    return torch.randn(number, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def masks(number=4):
    """A different rectangle in each example."""
    found = torch.zeros(number, SIDE, SIDE, dtype=torch.bool)
    for row, mask in enumerate(found):
        mask[2 : 5 + row, 3 : 7 - row % 2] = True
    return found


def ours(metric, maps, reference):
    subject = pl.wrap(
        lambda point: point.flatten(1).sum(1, keepdim=True),
        pl.tasks.Image(SIDE, (0.5,), (0.5,), output="value"),
        name="pictures",
    )
    every = torch.arange(SIDE**2).view(1, 1, SIDE, SIDE).expand_as(maps)
    answer = pl.Attribution(
        scores=maps,
        value=torch.zeros(len(maps)),
        features=Features("pixel", every),
        query=pl.Decision(torch.ones_like(maps)),
    )
    return metric(subject, pl.Judgement([answer], reference)).per_example[0].numpy()


def theirs(metric, maps, reference):
    given = {"x_batch": np.ones(maps.shape), "a_batch": maps.numpy().copy(), "y_batch": np.zeros(len(maps), int)}
    return np.array(metric(model=None, channel_first=True, s_batch=reference[:, None].numpy(), **given), dtype=float)


QUIET = {"disable_warnings": True, "return_aggregate": False}
PAIRS = {
    "pointing game": (PointingGame(), quantus.PointingGame(**QUIET)),
    "mass": (MassAccuracy(compat="quantus"), quantus.RelevanceMassAccuracy(**QUIET)),
    "rank": (RankAccuracy(), quantus.RelevanceRankAccuracy(**QUIET)),
    "top 10": (TopKIntersection(k=10), quantus.TopKIntersection(k=10, **QUIET)),
    "influence": (
        TopKIntersection(k=10, relative=True),
        quantus.TopKIntersection(k=10, concept_influence=True, **QUIET),
    ),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_values_are_equal(kind):
    mine, peer = PAIRS[kind]
    for seed in range(5):
        maps, reference = scores(seed=seed), masks()
        assert ours(mine, maps, reference) == pytest.approx(theirs(peer, maps, reference), abs=1e-6)


def test_mass_accuracy_of_positive_maps_is_equal_by_the_papers_definition():
    maps = scores().square()
    found = ours(MassAccuracy(), maps, masks())
    assert found == pytest.approx(theirs(quantus.RelevanceMassAccuracy(**QUIET), maps, masks()), abs=1e-6)


def measured(name):
    return next(entry for entry in DIFFERENCES if entry.name == name)


def test_quantus_pointing_game_is_hit_by_any_of_equal_scores():
    maps = torch.ones(1, 1, SIDE, SIDE, dtype=torch.float64)
    maps[..., 0, 0] = 0
    entry = measured("PointingGame")
    assert theirs(quantus.PointingGame(**QUIET), maps, masks(1))[0] == entry.quantus
    assert ours(PointingGame(compat="quantus"), maps, masks(1))[0] == entry.quantus
    assert ours(PointingGame(), maps, masks(1))[0] == pytest.approx(entry.defined, abs=1e-12)


def test_quantus_weights_of_the_pointing_game_raise_an_error():
    maps = masks(1)[:, None] + 0.01 * scores(1)
    with pytest.raises(TypeError, match="boolean array"):
        theirs(quantus.PointingGame(weighted=True, **QUIET), maps, masks(1))
    assert measured("PointingGame(weighted=True)").defined == 1 - float(masks(1).double().mean())


def test_quantus_mass_accuracy_leaves_the_range_of_a_share():
    maps = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    maps[..., 3, 3], maps[..., 3, 4], maps[..., 0, 0], maps[..., 0, 1] = 3, -1, 1, -2.5
    entry = measured("RelevanceMassAccuracy")
    assert theirs(quantus.RelevanceMassAccuracy(**QUIET), maps, masks(1))[0] == pytest.approx(entry.quantus)
    assert ours(MassAccuracy(), maps, masks(1))[0] == pytest.approx(entry.defined)


def test_quantus_rank_accuracy_of_equal_scores_is_what_its_sort_makes_of_them():
    maps = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    maps[..., 3, 4] = 1
    entry = measured("RelevanceRankAccuracy")
    assert theirs(quantus.RelevanceRankAccuracy(**QUIET), maps, masks(1))[0] == pytest.approx(entry.quantus)
    assert ours(RankAccuracy(), maps, masks(1))[0] == pytest.approx(entry.defined, abs=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_an_empty_mask_is_not_a_number_there_and_refused_here():
    maps, reference = scores(2), masks(2)
    reference[1] = False
    for mine, peer in PAIRS.values():
        with pytest.raises(BadInput, match="example 1 .*marks nothing"):
            ours(mine, maps, reference)
        assert peer.name != "Pointing Game" or theirs(peer, maps, reference)[1] == 1
