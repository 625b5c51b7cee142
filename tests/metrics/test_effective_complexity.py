"""Effective complexity: the number of features that a score needs, where that number is known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from metrics.plain_rows import letters, linear, made, pictures_of, rows, wrapped
from pellucid.core.errors import UsageError
from pellucid.methods import InputXGradient
from pellucid.metrics import EffectiveComplexity


@pytest.mark.parametrize("needed", [1, 3, 20])
def test_a_model_that_reads_so_many_features_needs_so_many(needed):
    subject = wrapped(lambda point: point[:, :needed].sum(1, keepdim=True))
    inputs = torch.ones(1, 20, dtype=torch.float64)
    decision = pl.Decision(inputs)
    right = torch.zeros(1, 20, dtype=torch.float64)
    right[:, :needed] = -1
    backwards = torch.arange(20.0, dtype=torch.float64)[None]
    found = EffectiveComplexity(tolerance=1e-6)(subject, pl.Judgement([made(decision, s) for s in (right, backwards)]))
    assert found.value.tolist() == [needed, 20]
    assert not found.higher_is_better


@pytest.mark.parametrize("tolerance", [0.5, 0.05, 0.001])
def test_an_additive_model_needs_the_number_in_closed_form(tolerance):
    subject, weights = linear(30)
    inputs = rows(1, 30)
    contributions = inputs * weights
    losses = contributions[0][contributions[0].abs().argsort(descending=True)]
    rest = losses.sum() - torch.cat([torch.zeros(1), losses.cumsum(0)])
    within = rest.square() <= tolerance * rest[0].square()
    expected = next(number for number in range(31) if bool(within[number:].all()))
    found = EffectiveComplexity(tolerance=tolerance)(subject, pl.Judgement([made(pl.Decision(inputs), contributions)]))
    assert float(found.value) == expected


def test_it_counts_from_where_the_score_stays_and_not_from_where_it_passes_by():
    """f = x₁ − x₂ + x₃ with ones: shown one after the other it is 1 at once, then 0, then 1 again."""
    subject = wrapped(lambda point: (point * torch.tensor([1.0, -1, 1])).sum(1, keepdim=True))
    decision = pl.Decision(torch.ones(1, 3, dtype=torch.float64))
    answer = made(decision, torch.tensor([[3.0, -2, 1]], dtype=torch.float64))
    assert float(EffectiveComplexity()(subject, pl.Judgement([answer])).value) == 3


def test_a_model_that_reads_nothing_needs_nothing():
    subject = wrapped(lambda point: 0 * point.sum(1, keepdim=True) + 3)
    found = EffectiveComplexity()(subject, pl.Judgement([made(pl.Decision(rows(2, 9)), rows(2, 9, 3))]))
    assert found.value.tolist() == [0]


def test_a_random_baseline_is_averaged_over_draws():
    subject = pictures_of(lambda point: point[..., :2].flatten(1).sum(1, keepdim=True), 4)
    inputs = torch.full((1, 1, 4, 4), 1.5, dtype=torch.float64)
    scores = torch.zeros_like(inputs)
    scores[..., :2] = 1
    answer = made(pl.Decision(inputs), scores)
    metric = EffectiveComplexity(cover="uniform", draws=8, tolerance=1e-9)
    found = metric(subject, pl.Judgement([answer]))
    assert float(found.value) == 8
    single = EffectiveComplexity(cover="uniform", draws=1, tolerance=1e-9)(subject, pl.Judgement([answer]))
    assert found.evaluations["F"] > 2 * single.evaluations["F"]


def test_steps_bound_the_calls_and_the_precision():
    subject, _ = linear(30)
    subject.module.function = lambda point: point[:, :7].sum(1, keepdim=True)
    scores = torch.arange(30.0, 0, -1, dtype=torch.float64)[None]
    answer = made(pl.Decision(torch.ones(1, 30, dtype=torch.float64), target=0), scores)
    found = EffectiveComplexity(steps=3, tolerance=1e-6)(subject, pl.Judgement([answer]))
    assert float(found.value) == 10
    assert found.evaluations["F"] <= 3 * 3 + 3


def test_each_text_needs_some_of_its_own_letters():
    subject = letters(torch.tensor([0.0, 1, 1]))
    decision = pl.Decision(["abacab", "a", "cb"])
    found = EffectiveComplexity(tolerance=1e-6)(subject, pl.Judgement([InputXGradient()(subject, decision)]))
    assert found.per_example[0].tolist() == [3, 0, 2]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.floats(1e-6, 1e6))
def test_neither_scale_nor_sign_matters(seed, factor):
    subject = wrapped(lambda point: point.tanh().sum(1, keepdim=True))
    decision, scores = pl.Decision(rows(1, 12, seed)), rows(1, 12, seed + 1)
    answers = [made(decision, scores), made(decision, -factor * scores)]
    for compat in (None, "quantus"):
        found = EffectiveComplexity(compat=compat)(subject, pl.Judgement(answers))
        assert torch.equal(found.value[0], found.value[1])
        assert 0 <= float(found.value[0]) <= 12


def test_as_quantus_it_counts_large_scores_and_asks_nothing():
    subject, _ = linear(5)
    scores = torch.tensor([[1e3, -5, 0.0101, -0.0099, 0]], dtype=torch.float64)
    found = EffectiveComplexity(compat="quantus")(
        subject, pl.Judgement([made(pl.Decision(rows(1, 5), target=0), scores)])
    )
    assert float(found.value) == 3
    assert found.evaluations.get("F", 0) <= 1


def test_a_tolerance_beyond_the_ends_is_refused():
    for tolerance in (0.0, 1.0):
        with pytest.raises(UsageError, match="tolerance"):
            EffectiveComplexity(tolerance=tolerance)
