"""Sufficiency: a linear model's contributions miss the least that any map can, and it mirrors comprehensiveness."""

import math

import pytest
import torch

import pellucid as pl
from metrics.plain_rows import letters, linear, made, rows
from pellucid.core.errors import UsageError
from pellucid.methods import InputXGradient
from pellucid.metrics import Comprehensiveness, Sufficiency

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)


def mean_of_missing(losses, order):
    """The definition for an additive model: the mean over shares of what all but the first features sum to."""
    return sum(float(losses[order[math.ceil(share * len(losses)) :]].sum()) for share in SHARES) / len(SHARES)


@pytest.mark.parametrize("width", [1, 7, 30, 100])
def test_an_additive_model_misses_the_sums_of_its_smallest_contributions(width):
    subject, weights = linear(width)
    inputs = rows(1, width)
    losses = (inputs * weights)[0]
    other = rows(1, width, seed=5)
    decision = pl.Decision(inputs)
    found = Sufficiency()(subject, pl.Judgement([made(decision, s) for s in (inputs * weights, other)]))
    best = mean_of_missing(losses, losses.argsort(descending=True))
    assert float(found.value[0]) == pytest.approx(best, abs=1e-12)
    assert float(found.value[1]) == pytest.approx(mean_of_missing(losses, other[0].argsort(descending=True)), abs=1e-12)
    assert float(found.value[1]) >= best
    assert not found.higher_is_better


def test_what_a_share_leaves_and_what_the_reversed_map_takes_are_the_same_inputs():
    subject, _ = linear(40)
    subject.module.function = lambda point: point.tanh().sum(1, keepdim=True) ** 3
    inputs, scores = rows(2, 40), rows(2, 40, seed=8)
    decision = pl.Decision(inputs)
    left = Sufficiency(shares=(0.25,))(subject, pl.Judgement([made(decision, scores)]))
    gone = Comprehensiveness(shares=(0.75,))(subject, pl.Judgement([made(decision, -scores)]))
    assert torch.allclose(left.per_example[0], gone.per_example[0], atol=1e-12)
    assert torch.allclose(left.curve[0, 0], gone.curve[0, 1], atol=1e-12)


def test_the_random_row_holds_the_expectation_of_a_random_order():
    subject, weights = linear(100)
    inputs = rows(1, 100)
    shown = sum(math.ceil(share * 100) for share in SHARES) / len(SHARES)
    expected = float((inputs * weights).mean()) * (100 - shown)
    found = Sufficiency(random_maps=200)(subject, pl.Judgement([made(pl.Decision(inputs), rows(1, 100, 9))]))
    value, low, high = found.control["random"].tolist()
    assert low < expected < high
    assert abs(value - expected) < (high - low) / 2 / math.sqrt(200) * 1.5


def test_each_text_keeps_shares_of_its_own_letters():
    subject = letters(torch.arange(6.0))
    found = Sufficiency(shares=(0.3, 0.5))(
        subject, pl.Judgement([InputXGradient()(subject, pl.Decision(["fade", "be"]))])
    )
    assert found.per_example[0].tolist() == pytest.approx([3, 1])  # fade keeps f and e of 8, be keeps e of 5


def test_shares_beyond_the_ends_are_refused():
    with pytest.raises(UsageError, match="between 0 and 1"):
        Sufficiency(shares=(1.0,))
