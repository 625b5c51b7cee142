"""The cheapest step onto a halfspace within bounds: what general solvers find, in closed form."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from pellucid.engine.halfspace import cheapest_step


def problem(seed, rows=3, elements=5):
    draws = torch.Generator().manual_seed(seed)
    slopes = torch.randn(rows, elements, generator=draws, dtype=torch.float64)
    low, high = (torch.rand(elements, generator=draws, dtype=torch.float64) for _ in range(2))
    most = torch.where(slopes > 0, slopes * high, -slopes * low).sum(1)
    return slopes, most * torch.rand(rows, generator=draws, dtype=torch.float64), -low, high


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_the_sum_of_changes_is_that_of_a_linear_program(seed):
    slopes, need, low, high = problem(seed)
    step = cheapest_step(slopes, need, low, high, "l1")
    for row, given_, wanted in zip(step, slopes, need, strict=True):
        gains = np.concatenate([given_.numpy(), -given_.numpy()])
        rooms = [(0, room) for room in torch.cat([high, -low]).tolist()]
        best = linprog(np.ones(10), A_ub=-gains[None], b_ub=[-float(wanted)], bounds=rooms)
        assert float(row.abs().sum()) == pytest.approx(best.fun, abs=1e-9)
        assert float(row @ given_) == pytest.approx(float(wanted), abs=1e-12)
        assert bool(((row >= low) & (row <= high)).all())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_no_shorter_step_gains_as_much(seed):
    slopes, need, low, high = problem(seed, rows=1)
    step = cheapest_step(slopes, need, low, high, "l2")[0]
    assert float(step @ slopes[0]) == pytest.approx(float(need), abs=1e-9)
    assert bool(((step >= low) & (step <= high)).all())
    best = minimize(
        lambda x: float((x**2).sum()),
        step.numpy(),
        jac=lambda x: 2 * x,
        bounds=list(zip(low.tolist(), high.tolist(), strict=True)),
        constraints={"type": "ineq", "fun": lambda x: float(slopes[0].numpy() @ x - need)},
    )
    assert float(step.square().sum()) <= best.fun + 1e-6


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_where_the_bounds_do_not_suffice_the_step_goes_to_all_of_them(norm):
    slopes, low, high = (
        torch.tensor([[1.0, -2.0]]).double(),
        torch.tensor([-1.0, -1.0]).double(),
        torch.ones(2).double(),
    )
    step = cheapest_step(slopes, torch.tensor([10.0]).double(), low, high, norm)
    assert step.tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_without_bounds_and_without_need_there_is_the_projection_and_no_step(norm):
    slopes, endless = torch.tensor([[3.0, -4.0, 0.0]]).double(), torch.full((3,), torch.inf).double()
    step = cheapest_step(slopes.repeat(2, 1), torch.tensor([5.0, -1.0]).double(), -endless, endless, norm)
    expected = [0.0, -1.25, 0.0] if norm == "l1" else [0.6, -0.8, 0.0]
    assert torch.allclose(step, torch.tensor([expected, [0.0, 0.0, 0.0]]).double(), atol=1e-12)
