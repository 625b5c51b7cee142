"""Comprehensiveness: a linear model's contributions reach the most that any map can, and shares are rounded up."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from metrics.plain_rows import letters, linear, made, rows
from pellucid.core.errors import UsageError
from pellucid.methods import InputXGradient
from pellucid.metrics import Comprehensiveness

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)


def mean_of_largest(losses, order):
    """The definition for an additive model: the mean over shares of what the first features sum to."""
    return sum(float(losses[order[: math.ceil(share * len(losses))]].sum()) for share in SHARES) / len(SHARES)


@pytest.mark.parametrize("width", [1, 7, 30, 100])
def test_an_additive_model_gives_the_mean_of_the_sums_of_its_largest_contributions(width):
    subject, weights = linear(width)
    inputs = rows(1, width)
    losses = (inputs * weights)[0]
    other = rows(1, width, seed=5)
    decision = pl.Decision(inputs)
    found = Comprehensiveness()(subject, pl.Judgement([made(decision, s) for s in (inputs * weights, other)]))
    best = mean_of_largest(losses, losses.argsort(descending=True))
    assert float(found.value[0]) == pytest.approx(best, abs=1e-12)
    assert float(found.value[1]) == pytest.approx(mean_of_largest(losses, other[0].argsort(descending=True)), abs=1e-12)
    assert float(found.value[1]) <= best
    assert float(found.control["constant"][0]) == pytest.approx(mean_of_largest(losses, torch.arange(width)), abs=1e-12)
    assert found.higher_is_better


def test_the_curve_is_the_score_of_the_whole_and_without_each_share():
    subject, weights = linear(20)
    inputs = rows(1, 20)
    found = Comprehensiveness(shares=(0.1, 0.5))(subject, pl.Judgement([made(pl.Decision(inputs), inputs * weights)]))
    sums = (inputs * weights)[0].sort(descending=True).values.cumsum(0)
    expected = sums[-1] - torch.stack([torch.zeros(()), sums[1], sums[9]])
    assert torch.allclose(found.curve[0], expected, atol=1e-12)


def test_the_random_row_holds_the_expectation_of_a_random_order():
    subject, weights = linear(100)
    inputs = rows(1, 100)
    expected = float((inputs * weights).mean()) * sum(math.ceil(share * 100) for share in SHARES) / len(SHARES)
    found = Comprehensiveness(random_maps=200)(subject, pl.Judgement([made(pl.Decision(inputs), rows(1, 100, 9))]))
    value, low, high = found.control["random"].tolist()
    assert low < expected < high
    assert abs(value - expected) < (high - low) / 2 / math.sqrt(200) * 1.5


def test_each_text_loses_shares_of_its_own_letters():
    subject = letters(torch.arange(6.0))
    decision = pl.Decision(["fade", "be"])
    found = Comprehensiveness(shares=(0.3, 0.5))(subject, pl.Judgement([InputXGradient()(subject, decision)]))
    assert found.per_example[0].tolist() == pytest.approx([9, 4])  # fade loses f and e, be loses e


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.integers(2, 40))
def test_only_the_order_of_scores_matters(seed, width):
    subject, _ = linear(width)
    decision, scores = pl.Decision(rows(1, width, seed)), rows(1, width, seed + 1)
    answers = [made(decision, scores), made(decision, scores.exp() * 7)]
    found = Comprehensiveness()(subject, pl.Judgement(answers))
    assert torch.equal(found.value[0], found.value[1])


def test_shares_beyond_the_ends_are_refused():
    for shares in ((), (0.0,), (0.5, 1.2)):
        with pytest.raises(UsageError, match="between 0 and 1"):
            Comprehensiveness(shares=shares)
