"""STREAK: on models whose parts add up or cover, it finds what brute force finds, and says what it asked and held."""

import itertools

import pytest
import torch
from skimage import data

import pellucid as pl
from pellucid.core.errors import UsageError
from pellucid.engine.coalitions import Game, hidden_point, players
from pellucid.engine.targets import resolve
from pellucid.methods import Lime, Streak
from pellucid.tasks.tensor import TensorTask

WEIGHTS = torch.tensor([0.05, 0.40, 0.10, 0.30, 0.02, 0.13], dtype=torch.float64)
POINT = torch.ones(1, 6, dtype=torch.float64)


def subject(function):
    return pl.wrap(lambda point: function(point)[:, None], TensorTask(output="value"), name="function")


def added(point):
    return 7.0 + point @ WEIGHTS.to(point)


@pytest.mark.parametrize("seed", range(5))
def test_parts_that_add_up_score_their_own_weights_whatever_the_order(seed):
    result = Streak(k=2, baseline=0.0, seed=seed)(subject(added), pl.Decision(POINT))
    assert result.by_feature()[0].tolist() == pytest.approx([0, 0.4, 0, 0.3, 0, 0], abs=1e-12)
    assert float(result.value) == pytest.approx(8.0)
    assert float(result.quality["value"]) == pytest.approx(0.7)
    assert float(result.quality["alone"]) == pytest.approx(0.4)
    assert float(result.quality["gamma"]) == pytest.approx(1)


def test_what_is_asked_and_held_is_counted():
    asked = []

    def watched(point):
        asked.extend(map(tuple, point.tolist()))
        return added(point)

    watching = subject(watched)
    asked.clear()
    result = Streak(k=2, baseline=0.0)(watching, pl.Decision(POINT, target=0))
    *_, first = result.evaluations.values()
    assert first == 0
    assert float(result.quality["evaluations"]) == len(set(asked))
    assert len(asked) <= len(set(asked)) + 1  # the plain input, once more to find the target
    assert 2 <= float(result.quality["memory"]) <= 2 * 8
    assert float(result.quality["memory"]) % 2 == 0


def test_gains_of_features_that_only_count_together_are_told_in_the_order_of_choice():
    def both(point):
        return 2 * point[:, 0] + 3 * point[:, 0] * point[:, 4]

    result = Streak(k=2, baseline=0.0)(subject(both), pl.Decision(POINT))
    assert result.by_feature()[0].tolist() == pytest.approx([2, 0, 0, 0, 3, 0], abs=1e-12)
    assert float(result.quality["gamma"]) == pytest.approx(2 / 5)
    assert float(result.quality["guarantee"]) < 0.01


def test_a_foil_and_a_probability_are_asked_as_they_stand():
    weights = torch.tensor([[1.0, -1.0], [0.5, 2.0], [0.1, 0.0]], dtype=torch.float64)
    classes = pl.wrap(lambda point: point @ weights, TensorTask(), name="classes")
    point = torch.ones(1, 3, dtype=torch.float64)
    rather = Streak(k=1, baseline=0.0)(classes, pl.Decision(point, target=0, foil=1))
    assert rather.by_feature()[0].tolist() == pytest.approx([2, 0, 0])
    sure = Streak(k=1, baseline=0.0)(classes, pl.Decision(point, target=1, of="probability"))
    expected = float(torch.tensor([0.5, 2.0]).softmax(0)[1]) - 0.5
    assert sure.by_feature()[0].tolist() == pytest.approx([0, expected, 0])


def test_an_example_scores_the_same_beside_others():
    together = Streak(k=2, baseline=0.0)(subject(added), pl.Decision(torch.cat([POINT, 2 * POINT])))
    alone = Streak(k=2, baseline=0.0)(subject(added), pl.Decision(2 * POINT))
    assert torch.equal(together.scores[1], alone.scores[0])


def test_nothing_shown_of_a_picture_is_grey():
    seen = []

    def bright(pixels):
        seen.append(pixels)
        return pixels.mean((1, 2, 3))

    task = pl.tasks.Image(8, mean=(0.2, 0.3, 0.4), deviation=(0.5, 0.5, 0.5), output="value")
    picture = pl.wrap(lambda pixels: bright(pixels)[:, None], task, name="bright")
    quarters = (torch.arange(8)[:, None] // 4) * 2 + torch.arange(8) // 4
    Streak(k=1, features=quarters)(picture, pl.Decision(torch.full((1, 3, 8, 8), 0.7)))
    grey = (0.5 - torch.tensor([0.2, 0.3, 0.4])) / 0.5
    assert any(torch.allclose(point, grey.view(3, 1, 1).expand(3, 8, 8)) for batch in seen for point in batch)


def test_regression_chooses_the_terms_that_explain_and_fits_them():
    weights = torch.zeros(20, dtype=torch.float64)
    weights[[2, 11, 17]] = torch.tensor([1.0, -4.0, 2.0], dtype=torch.float64)
    sparse = subject(lambda point: point @ weights)
    point = pl.Decision(torch.ones(1, 20, dtype=torch.float64))
    result = Streak(k=3, mode="regression", samples=500, baseline=0.0)(sparse, point)
    fitted = Lime(samples=500, keep=3, baseline=0.0)(sparse, point)
    assert result.by_feature()[0].nonzero()[:, 0].tolist() == [2, 11, 17]
    assert result.by_feature()[0].tolist() == pytest.approx(fitted.by_feature()[0].tolist(), abs=0.05)
    assert float(result.quality["value"]) == pytest.approx(1, abs=1e-6)
    low, high = (side[0] for side in result.interval)
    assert bool(((low - 1e-9 <= weights) & (weights <= high + 1e-9)).all())


def test_regression_on_one_term_fits_the_best_one():
    result = Streak(k=1, mode="regression", samples=64, baseline=0.0)(subject(added), pl.Decision(POINT))
    assert result.by_feature()[0].nonzero()[:, 0].tolist() == [1]
    assert float(result.quality["evaluations"]) == 64


@pytest.mark.parametrize("fields", [{"k": 0}, {"epsilon": 0.0}, {"epsilon": 1.0}])
def test_fields_out_of_bounds_are_refused(fields):
    with pytest.raises(UsageError, match="streak"):
        Streak(**fields)


def test_more_features_than_there_are_are_all_chosen():
    result = Streak(k=50, baseline=0.0)(subject(added), pl.Decision(POINT))
    assert result.by_feature()[0].tolist() == pytest.approx(WEIGHTS.tolist())


def test_a_few_superpixels_of_a_photograph_are_nearly_as_good_as_the_best_of_all_pairs():
    network = pl.load("efficientnet-lite0")
    inputs, query = network.prepare(data.coffee()), pl.Decision(data.coffee(), of="probability")
    result = Streak(k=2, segments=12)(network, query)
    features = players(network, inputs, None, 12)
    grey = sum(network.task.bounds(inputs)) / 2
    hidden = hidden_point(network, inputs, features, grey.to(inputs.value))
    game = Game(network, inputs, resolve(network, inputs, query), features, hidden)
    pairs = list(itertools.combinations(range(game.features), 2))
    masks = torch.zeros(len(pairs), game.features, dtype=torch.bool)
    for mask, pair in zip(masks, pairs, strict=True):
        mask[list(pair)] = True
    best = float(game(masks).max()) - game.ends()[0]
    assert float(result.quality["value"]) >= 0.9 * best
