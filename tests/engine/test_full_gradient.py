"""Sharing out over positions loses nothing; calls are noted once each and nothing stays behind."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotAnswerable, SubjectFailed
from pellucid.core.query import Decision
from pellucid.engine.full_gradient import full_gradients, placed
from pellucid.engine.targets import resolve

SIZES = st.integers(1, 9)


@settings(deadline=None, max_examples=50)
@given(SIZES, SIZES, SIZES, SIZES)
def test_every_unit_gives_all_that_it_has(rows, columns, height, width):
    units = torch.eye(rows * columns, dtype=torch.float64).view(-1, rows, columns)
    found = placed(units, (height, width))
    assert found.shape == (rows * columns, height, width)
    torch.testing.assert_close(found.sum((1, 2)), torch.ones(rows * columns).double())
    assert bool((found >= 0).all())


@settings(deadline=None, max_examples=50)
@given(SIZES, st.integers(1, 4))
def test_an_even_map_stays_even_where_the_extent_is_a_multiple(units, times):
    found = placed(torch.ones(1, units, dtype=torch.float64), (units * times,))
    torch.testing.assert_close(found, torch.full((1, units * times), 1 / times, dtype=torch.float64))


class Reused(nn.Module):
    """One linear map called three times, beside one whose output has no use and one that is not called."""

    def __init__(self):
        super().__init__()
        self.again, self.useless, self.uncalled = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)
        self.gate = nn.Sigmoid()

    def forward(self, rows):
        self.useless(rows)
        if rows.abs().max() > 100:
            raise RuntimeError("too large")
        return self.again(self.again(self.gate(input=self.again(rows))))


def found(net, rows):
    subject = pl.wrap(net)
    inputs = subject.prepare(rows)
    target = resolve(subject, inputs, Decision(inputs, target=0))
    (full,) = full_gradients(subject, inputs, target, "input")
    return full


def test_every_call_of_a_module_has_its_own_terms():
    torch.manual_seed(0)
    net, rows = Reused().double(), torch.randn(2, 3, dtype=torch.float64)
    full = found(net, rows)
    weight, bias = net.again.weight.detach(), net.again.bias.detach()
    inner = (rows @ weight.T + bias).sigmoid()
    slope = weight[0] @ weight
    expected = [slope * inner * (1 - inner) * bias, weight[0] * bias, torch.eye(3).double()[0] * bias]
    assert len(full.biases) == 3  # The gate took its input by name, so what it adds cannot be told.
    for terms, other in zip(full.biases, expected, strict=True):
        torch.testing.assert_close(terms, other.expand(2, 3), rtol=0, atol=1e-13)


def test_nothing_stays_behind_also_after_a_failure():
    net = Reused().double()
    for rows in (torch.ones(1, 3).double(), torch.full((1, 3), 101.0).double()):
        try:
            found(net, rows)
        except SubjectFailed:
            assert rows.max() > 100
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
        assert all(parameter.grad is None for parameter in net.parameters())


def test_a_score_that_does_not_depend_on_the_point_is_refused():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.scores = nn.Parameter(torch.ones(3))

        def forward(self, rows):
            return self.scores.expand(len(rows), -1)

    with pytest.raises(NotAnswerable, match="does not depend"):
        found(Constant(), torch.ones(1, 2))
