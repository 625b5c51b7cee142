"""Completeness: integrated gradients are, gradient × input misses the bias exactly, and every answer by its own claim."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from metrics.reasked import judge, linear, network, rows
from pellucid.methods import LRP, ExactShapley, Gradient, InputXGradient, IntegratedGradients, Occlusion
from pellucid.metrics import Completeness


def test_gradient_times_input_of_a_linear_model_is_complete_above_zero():
    found = judge(Completeness(baseline="zero"), linear(rows(1, 5), [0.7]), pl.Decision(rows(3, 5)), InputXGradient())
    assert found.per_example[0].tolist() == pytest.approx([0, 0, 0], abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3).filter(lambda bias: abs(bias) > 1e-3), st.integers(0, 9))
def test_relevance_that_should_be_the_score_misses_the_bias_exactly(bias, seed):
    subject, point = linear(rows(1, 5, seed), [bias]), rows(1, 5, seed + 20)
    found = judge(Completeness(), subject, pl.Decision(point), LRP())
    expected = abs(
        float((LRP()(subject, pl.Decision(point)).scores.sum() - subject.scores(point)) / subject.scores(point))
    )
    assert float(found.value) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert "lrp: 0," in found.protocol


def test_what_another_baseline_adds_is_missing():
    weights, point = rows(1, 4), rows(1, 4, seed=2)
    found = judge(Completeness(baseline=0.5), linear(weights), pl.Decision(point), InputXGradient())
    rise = float((weights * (point - 0.5)).sum())
    assert float(found.value) == pytest.approx(abs(float((weights * 0.5).sum())) / abs(rise))
    assert "the baseline '0.5'" in found.protocol


def test_integrated_gradients_are_complete_above_their_own_baseline():
    subject, decision = network(), pl.Decision(rows(4))
    methods = [IntegratedGradients(baseline=given, tolerance=1e-4) for given in (None, "mean", 0.3)]
    own = judge(Completeness(), subject, decision, *methods)
    assert bool((own.value < 2e-4).all())
    common = judge(Completeness(baseline=0.3), subject, decision, *methods)
    assert float(common.value[2]) < 2e-4
    assert bool((common.value[:2] > 0.01).all())


def test_shapley_values_are_measured_by_what_hid_their_features():
    subject = pl.load("digits-cnn")
    decision = pl.Decision(torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1)))
    found = judge(Completeness(), subject, decision, ExactShapley(segments=4))
    assert float(found.value) < 1e-5


def test_methods_that_claim_nothing_are_measured_by_the_default_baseline():
    subject, point = network(), rows(1)
    answer = Gradient()(subject, pl.Decision(point))
    found = Completeness()(subject, pl.Judgement([answer]))
    target = int(answer.target)
    rise = float((subject.scores(point) - subject.scores(torch.zeros_like(point)))[0, target])
    assert float(found.value) == pytest.approx(abs(float(answer.scores.sum()) - rise) / abs(rise))
    total = abs(6 - rise) / abs(rise)
    assert float(found.control["constant"][0]) == pytest.approx(total)


def test_baselines_are_asked_about_once():
    subject, decision = network(), pl.Decision(rows(3), target=0)
    answers = [method(subject, decision) for method in (Gradient(), InputXGradient(), Occlusion())]
    found = Completeness()(subject, pl.Judgement(answers))
    assert found.evaluations == {"F": 9, "B": 0}  # the target, the input and the baseline


def test_a_score_that_does_not_rise_gives_a_finite_value():
    found = judge(Completeness(), linear([[0.0, 0.0]], [1.0]), pl.Decision(rows(2, 2)), InputXGradient())
    assert found.value.tolist() == [0]
    assert bool(found.control["constant"].isfinite().all())


def test_padding_stays_at_the_baseline():
    subject = pl.load("lstm-sentiment")
    texts = ["a gripping and funny film", "dull"]
    together = judge(Completeness(), subject, pl.Decision(texts), InputXGradient())
    alone = judge(Completeness(), subject, pl.Decision(texts[1:]), InputXGradient())
    assert float(together.per_example[0, 1]) == pytest.approx(float(alone.value), rel=1e-4)
