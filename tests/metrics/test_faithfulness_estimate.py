"""Faithfulness estimate: exact for additive models, one call per feature, and cells of a grid in large pictures."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from metrics.plain_rows import letters, linear, made, pictures_of, rows, wrapped
from pellucid.methods import FeatureAblation, InputXGradient
from pellucid.metrics import FaithfulnessEstimate


@pytest.mark.parametrize("baseline", ["zero", -0.3])
def test_contributions_of_a_linear_model_correlate_perfectly(baseline):
    subject, weights = linear()
    inputs = rows(3, 30)
    decision = pl.Decision(inputs)
    contributions = (inputs - (0 if baseline == "zero" else baseline)) * weights
    answers = [made(decision, scores) for scores in (contributions, -contributions, contributions + 5)]
    found = FaithfulnessEstimate(cover=baseline)(subject, pl.Judgement(answers))
    assert torch.allclose(found.value, torch.tensor([1.0, -1, 1], dtype=torch.float64), atol=1e-12)


def test_an_ablation_map_is_right_by_definition_and_another_is_its_correlation_with_it():
    subject = wrapped(lambda point: point.cos().prod(1, keepdim=True) + point[:, :1].exp())
    decision = pl.Decision(rows(2, 7))
    ablation = FeatureAblation(baseline="zero")(subject, decision)
    other = rows(2, 7, seed=3)
    found = FaithfulnessEstimate()(subject, pl.Judgement([ablation, made(decision, other)]))
    assert torch.allclose(found.per_example[0], torch.ones(2, dtype=torch.float64), atol=1e-12)
    for row in range(2):
        expected = torch.corrcoef(torch.stack([other[row], ablation.scores[row]]))[0, 1]
        assert float(found.per_example[1, row]) == pytest.approx(float(expected), abs=1e-12)


def test_a_large_picture_loses_cells_and_a_small_one_pixels():
    for side, cells in ((28, 196), (14, 196), (5, 25)):
        weights = rows(1, side * side).view(1, side, side)
        subject = pictures_of(lambda point, weights=weights: (point * weights).flatten(1).sum(1, keepdim=True), side)
        inputs = rows(1, side * side, seed=2).view(1, 1, side, side)
        answer = made(pl.Decision(inputs, target=0), inputs * weights)
        found = FaithfulnessEstimate()(subject, pl.Judgement([answer]))
        assert float(found.value) == pytest.approx(1, abs=1e-12)
        assert cells <= found.evaluations["F"] <= cells + 3


def test_what_does_not_vary_has_no_correlation():
    found = FaithfulnessEstimate()(
        linear()[0], pl.Judgement([made(pl.Decision(rows(2, 30)), torch.full((2, 30), 0.1, dtype=torch.float64))])
    )
    assert found.value.tolist() == [0]
    assert found.control["constant"].tolist() == [0, 0, 0]
    constant = wrapped(lambda point: 0 * point.sum(1, keepdim=True) + 3)
    assert FaithfulnessEstimate()(
        constant, pl.Judgement([made(pl.Decision(rows(2, 4)), rows(2, 4))])
    ).value.tolist() == [0]


def test_random_maps_lie_around_zero_as_wide_as_a_correlation_of_so_many_features():
    subject, weights = linear(50)
    inputs = rows(1, 50)
    answer = made(pl.Decision(inputs), inputs * weights)
    found = FaithfulnessEstimate(random_maps=100)(subject, pl.Judgement([answer]))
    _, low, high = found.control["random"].tolist()
    assert low < 0 < high
    assert (high - low) / 2 == pytest.approx(1.98 / 7, rel=0.25)  # the deviation of a chance correlation is 1/√(n − 1)


def test_each_text_loses_its_own_letters():
    subject = letters(torch.arange(6.0))
    decision = pl.Decision(["fade", "beaded", "c"])
    found = FaithfulnessEstimate()(subject, pl.Judgement([InputXGradient()(subject, decision)]))
    assert found.per_example[0].tolist() == pytest.approx([1, 1, 0], abs=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.floats(1e-6, 1e6), st.floats(-3, 3), st.integers(0, 1000))
def test_neither_the_scale_nor_the_level_of_a_map_matters(factor, level, seed):
    subject, _ = linear(8)
    decision, scores = pl.Decision(rows(1, 8, seed)), rows(1, 8, seed + 1)
    answers = [made(decision, scores), made(decision, scores * factor), made(decision, scores + level)]
    found = FaithfulnessEstimate()(subject, pl.Judgement(answers))
    assert torch.allclose(found.value, found.value[:1].expand(3), atol=1e-9)
