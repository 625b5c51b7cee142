"""Sobol indices: closed forms of sums, products and Ishigami's function, and intervals that hold them."""

import math

import numpy as np
import pytest
import torch

import pellucid as pl
from pellucid.methods import Sobol

ESTIMATORS = ["jansen", "saltelli"]
ONES = torch.ones(1, 3, dtype=torch.float64)


def valued(function):
    return pl.wrap(lambda rows: function(rows)[:, None], pl.tasks.TensorTask(output="value"), name="function")


def ishigami(rows):
    """Of three numbers uniform in −π … π; from a point of π that fades to −π."""
    first, second, third = rows.unbind(1)
    return first.sin() + 7 * second.sin() ** 2 + 0.1 * third**4 * first.sin()


def ishigami_indices():
    alone, even = (1 + 0.1 * math.pi**4 / 5) ** 2 / 2, 49 / 8
    together = 0.01 * math.pi**8 * (1 / 18 - 1 / 50)
    whole = alone + even + together
    return np.array([alone, even, 0]) / whole, np.array([alone + together, even, together]) / whole, whole


def g_function(weights):
    """Π (|4u − 2| + a) / (1 + a), whose part of one number alone has the variance 1 / 3(1 + a)²."""
    return lambda rows: ((4 * rows - 2).abs().add(weights).div(1 + weights)).prod(1)


def g_indices(weights):
    alone = 1 / (3 * (1 + weights.numpy()) ** 2)
    whole = np.prod(1 + alone) - 1
    total = alone * np.array([np.prod(np.delete(1 + alone, place)) for place in range(len(alone))])
    return alone / whole, total / whole, whole


def half(answer):
    return (answer.interval[1][0] - answer.by_feature()[0]).numpy()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_parts_that_add_up_share_the_variance_and_do_nothing_together(estimator):
    weights = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    answer = Sobol(8000, design=64, estimator=estimator, tolerance=1e-3)(
        valued(lambda rows: 5 + rows @ weights), pl.Decision(ONES)
    )
    shares = weights.square() / weights.square().sum()
    assert answer.by_feature()[0].numpy() == pytest.approx(shares.numpy(), abs=2e-2)
    assert answer.quality["first_order"][0].numpy() == pytest.approx(shares.numpy(), abs=2e-2)
    assert float(answer.quality["variance"]) == pytest.approx(14 / 12, rel=2e-2)
    assert float(answer.quality["mean"]) == pytest.approx(6, abs=1e-2)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("case", ["ishigami", "g"])
def test_indices_and_their_intervals_are_those_of_the_closed_form(case, estimator):
    weights = torch.tensor([0.0, 1.0, 4.5, 9.0], dtype=torch.float64)
    if case == "ishigami":
        subject, point, baseline = valued(ishigami), math.pi * ONES, -math.pi
        first, total, variance = ishigami_indices()
    else:
        subject, point, baseline = valued(g_function(weights)), torch.ones(1, 4).double(), 0.0
        first, total, variance = g_indices(weights)
    features = len(total)
    made = [
        Sobol(16 * 16 * (features + 2), baseline=baseline, estimator=estimator, tolerance=1e-9, seed=seed)
        for seed in range(30)
    ]
    answers = [one(subject, pl.Decision(point)) for one in made]
    found = np.stack([answer.by_feature()[0].numpy() for answer in answers])
    hits = [np.abs(one - total) <= half(answer) for one, answer in zip(found, answers, strict=True)]
    alone = np.stack([answer.quality["first_order"][0].numpy() for answer in answers])
    wide = np.stack([answer.quality["first_order_half_interval"][0].numpy() for answer in answers])
    assert np.mean(hits) >= 0.87
    assert np.mean(np.abs(alone - first) <= wide) >= 0.87
    for indices, truth in ((found, total), (alone, first)):
        error = indices.std(0, ddof=1) / np.sqrt(len(indices))
        assert (np.abs(indices.mean(0) - truth) < 4 * error).all()
        assert error.max() < 0.02
    assert np.mean([float(answer.quality["variance"]) for answer in answers]) == pytest.approx(variance, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_intervals_hold_the_indices_over_200_seeds(estimator):
    first, total, _ = ishigami_indices()
    hits = []
    for seed in range(200):
        made = Sobol(16 * 20 * 5, baseline=-math.pi, estimator=estimator, tolerance=1e-9, seed=seed)
        answer = made(valued(ishigami), pl.Decision(math.pi * ONES))
        hits.append(np.abs(answer.by_feature()[0].numpy() - total) <= half(answer))
        apart = np.abs(answer.quality["first_order"][0].numpy() - first)
        hits.append(apart <= answer.quality["first_order_half_interval"][0].numpy())
    assert 0.92 <= np.mean(hits) <= 0.98


def test_a_product_does_most_together():
    """Var(u v) = 1/9 − 1/16; each alone does (1/4) Var(u) = 1/48."""
    answer = Sobol(12_000, design=64, tolerance=1e-3)(
        valued(lambda rows: rows[:, 0] * rows[:, 1]), pl.Decision(torch.ones(1, 2).double())
    )
    variance = 1 / 9 - 1 / 16
    assert answer.quality["first_order"][0].tolist() == pytest.approx([1 / 48 / variance] * 2, abs=1e-2)
    assert answer.by_feature()[0].tolist() == pytest.approx([1 - 1 / 48 / variance] * 2, abs=1e-2)


def test_more_replicates_are_asked_for_until_the_tolerance_is_met_or_the_samples_are_spent():
    subject, point = valued(ishigami), math.pi * ONES
    loose = Sobol(baseline=-math.pi, tolerance=0.2)(subject, pl.Decision(point))
    strict = Sobol(2000, baseline=-math.pi, tolerance=1e-6)(subject, pl.Decision(point))
    assert bool(loose.converged)
    assert half(loose).max() <= 0.2
    assert loose.evaluations["F"] < strict.evaluations["F"] <= 2002
    assert not bool(strict.converged)
    assert half(strict).max() > 1e-6


def test_a_quantity_that_stays_the_same_has_no_indices():
    answer = Sobol()(valued(lambda rows: 0 * rows[:, 0] + 3), pl.Decision(ONES))
    assert not answer.scores.any()
    assert "no variation" in answer.summary()
    assert bool(answer.converged)


def test_elements_of_a_feature_fade_together_and_the_rest_stays():
    groups = torch.tensor([0, 0, -1])
    answer = Sobol(4000, features=groups)(valued(lambda rows: rows[:, 0] + rows[:, 1] + rows[:, 2]), pl.Decision(ONES))
    assert answer.by_feature()[0].tolist() == pytest.approx([1], abs=0.1)
    assert answer.scores[0, 2] == 0
    assert float(answer.quality["mean"]) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_designs_do_not_depend_on_the_batch_size_or_the_neighbours(size, monkeypatch):
    subject = valued(ishigami)
    point = torch.cat([math.pi * ONES, 2 * ONES, -ONES])
    plain = Sobol(400)(subject, pl.Decision(point))
    monkeypatch.setattr(type(subject), "batch_size", lambda self, inputs: size)
    found = Sobol(400)(subject, pl.Decision(point.flip(0)))
    torch.testing.assert_close(found.scores.flip(0), plain.scores, rtol=0, atol=1e-10)
    alone = Sobol(400)(subject, pl.Decision(point[1:2]))
    torch.testing.assert_close(alone.scores[0], plain.scores[1], rtol=0, atol=1e-10)


def test_what_cannot_be_asked_is_refused():
    subject = valued(ishigami)
    with pytest.raises(pl.UsageError, match="power of two"):
        Sobol(design=12)
    with pytest.raises(pl.UsageError, match="320 samples at least for 3 features"):
        Sobol(300)(subject, pl.Decision(ONES))
    with pytest.raises(pl.NotAnswerable, match="whole numbers"):
        Sobol(baseline=0.0)(subject, pl.Decision(torch.ones(1, 3, dtype=torch.long)))
