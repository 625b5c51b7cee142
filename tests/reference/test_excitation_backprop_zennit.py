"""Excitation backpropagation beside zennit 0.5.1, where both see the network alike, and where we differ on purpose.

zennit starts from whatever gradient is handed to it and does not normalise. By default it lets positive biases take part,
which no walk can go to: chances are lost to them. It shares the sum of two branches in proportion to its terms, also negative
ones, where ours follows walks to terms that raise the sum only.
"""

import copy

import pytest
import torch
from benchmarks.relevance import importable
from torch import nn

import pellucid as pl
from engine.networks import seeded
from pellucid.methods.attribution.excitation_backprop import ExcitationBackprop

with importable():
    from zennit.attribution import Gradient
    from zennit.composites import ExcitationBackprop as ZennitExcitationBackprop
    from zennit.rules import Norm

pytestmark = pytest.mark.reference


class Added(nn.Module):
    """A sum as a module, the only form in which zennit sees one."""

    def forward(self, branches):
        return branches.sum(-1)


class Block(nn.Module):
    def __init__(self, rectified):
        super().__init__()
        self.conv, self.relu, self.out = nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.ReLU()
        self.added, self.rectified = Added(), rectified

    def forward(self, x):
        branch = self.relu(self.conv(x)) if self.rectified else self.conv(x)
        return self.out(x + branch if self.added is None else self.added(torch.stack([x, branch], -1)))


def network(rectified=True):
    """Two networks with the same weights: one with sums as modules, one with plain sums."""
    stem = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    head = [nn.Conv2d(6, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5), nn.ReLU()]
    modular = seeded(lambda: nn.Sequential(*stem, Block(rectified), *head, nn.Linear(5, 4)))
    plain = copy.deepcopy(modular)
    plain[3].added = None
    return modular, plain


def theirs(model, point, target, **fields):
    composite = ZennitExcitationBackprop(layer_map=[(Added, Norm(1e-12))], stabilizer=1e-12, **fields)
    with Gradient(model, composite) as attributor:
        return attributor(point, torch.eye(4, dtype=torch.float64)[[target] * len(point)])[1]


def pixels():
    return torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_walks_are_the_same_up_to_those_that_do_not_arrive():
    modular, plain = network()
    found = ExcitationBackprop()(pl.wrap(plain), pl.Decision(pixels(), target=2))
    expected = theirs(modular, pixels(), 2, zero_params=["bias"])
    arriving = expected.flatten(1).sum(1)
    torch.testing.assert_close(found.reaching, arriving, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.scores, expected / arriving.view(-1, 1, 1, 1), rtol=1e-6, atol=1e-12)


def test_by_default_their_biases_take_chances_that_ours_leave_to_units():
    modular, plain = network()
    lost = 1 - theirs(modular, pixels(), 2).flatten(1).sum(1)
    found = ExcitationBackprop()(pl.wrap(plain), pl.Decision(pixels(), target=2))
    assert (lost > 0.5).all()
    assert (found.reaching > 0.99).all()


def test_where_a_branch_lowers_a_sum_theirs_has_chances_below_zero_and_ours_has_not():
    modular, plain = network(rectified=False)
    found = ExcitationBackprop()(pl.wrap(plain), pl.Decision(pixels(), target=2))
    assert float(theirs(modular, pixels(), 2, zero_params=["bias"]).min()) < 0
    assert (found.scores >= 0).all()
