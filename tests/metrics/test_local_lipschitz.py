"""The local Lipschitz constant: closed forms on linear models, and what it is relative to."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from metrics.reasked import Constant, judge, linear, network, rows, watched
from pellucid.methods import Gradient, InputXGradient
from pellucid.metrics import LocalLipschitz


def test_constant_gradients_have_the_constant_zero():
    found = judge(LocalLipschitz(), linear([[1.0, -2.0, 0.5]]), pl.Decision(rows(3, 3)), Gradient(), Constant())
    assert torch.equal(found.value, torch.zeros(2, dtype=torch.float64))
    assert found.control["constant"].tolist() == [0, 0, 0]


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 100), st.lists(st.sampled_from([-1.0, 1.0]), min_size=1, max_size=6))
def test_input_times_gradient_with_equal_weights_has_their_size_as_constant(size, signs):
    weights = size * torch.tensor([signs], dtype=torch.float64)
    decision = pl.Decision(rows(2, len(signs)))
    found = judge(LocalLipschitz(copies=3), linear(weights), decision, InputXGradient())
    assert found.per_example[0].tolist() == pytest.approx([size, size], rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 50))
def test_no_draw_exceeds_the_largest_weight(seed):
    weights = rows(1, 5, seed)
    found = judge(LocalLipschitz(), linear(weights), pl.Decision(rows(1, 5, seed + 1)), InputXGradient())
    assert float(weights.abs().min()) <= float(found.value) <= float(weights.abs().max())


def test_it_is_the_largest_quotient_over_the_copies():
    weights, point = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64), rows(1, 4)
    subject = linear(weights[None])
    answer = InputXGradient()(subject, pl.Decision(point))
    seen = watched(subject)
    found = LocalLipschitz(copies=6, radius=0.3)(subject, pl.Judgement([answer]))
    copies = torch.cat(seen).unique(dim=0)
    moved = copies[(copies != point).any(1)] - point
    assert len(moved) == 6
    assert float(found.value) == pytest.approx(float(((weights * moved).norm(dim=1) / moved.norm(dim=1)).max()))


def test_a_radius_that_rounds_to_nothing_moves_nothing():
    found = judge(LocalLipschitz(radius=1e-30), network(), pl.Decision(rows(1)), InputXGradient())
    assert float(found.value) == 0


def test_in_the_convention_of_quantus_the_scale_of_the_scores_is_lost():
    weights, decision = rows(1, 4), pl.Decision(rows(2, 4))
    metric = LocalLipschitz(compat="quantus")
    one, other = (judge(metric, linear(scale * weights), decision, InputXGradient()) for scale in (1, 10))
    assert torch.allclose(one.value, other.value)
    plain = judge(LocalLipschitz(), linear(10 * weights), decision, InputXGradient())
    assert not torch.allclose(plain.value, other.value)
