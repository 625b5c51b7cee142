"""The search for a smallest sufficient set, on sets of which it is known what suffices."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.engine.sufficiency import sufficient

UNITS = 24
LAYERS = torch.arange(UNITS) // 8

sets = st.sets(st.integers(0, UNITS - 1), min_size=1, max_size=10)
seeds = st.integers(0, 10_000)


class Counted:
    """A slack that counts what it is asked, and never in how many calls."""

    def __init__(self, slack, size=None):
        self.slack, self.size, self.asked = slack, size, 0

    def __call__(self, masks):
        self.asked += len(masks)
        return torch.cat([self.slack(part) for part in masks.split(self.size or len(masks))])


def mask_of(members):
    mask = torch.zeros(UNITS, dtype=torch.bool)
    mask[list(members)] = True
    return mask


def all_of(members):
    """1 where every member is there, below 0 by how many are missing."""
    needed = mask_of(members)
    return lambda masks: 1.0 - 1.5 * (needed & ~masks).sum(1)


def random_importance(seed):
    """Shares that have nothing to do with what matters, with ties and negative ones among them."""
    source = torch.Generator().manual_seed(seed)
    shares = (torch.randn(UNITS, generator=source, dtype=torch.float64) * 3).round() / 10
    return lambda mask: shares


@settings(max_examples=60, deadline=None)
@given(sets, seeds)
def test_a_needed_set_is_found_exactly_whatever_importance_says(members, seed):
    found = sufficient(all_of(members), random_importance(seed), LAYERS, 10_000)
    assert found.mask.nonzero()[:, 0].tolist() == sorted(members)
    assert found.minimal


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 400))
def test_what_is_found_suffices_within_the_budget_and_is_minimal_where_that_is_said(seed, budget):
    source = torch.Generator().manual_seed(seed)
    amounts = torch.randn(UNITS, generator=source, dtype=torch.float64)
    total = float(amounts.sum())
    if total <= 0:
        amounts, total = -amounts, -total
    slack = Counted(lambda masks: (masks.double() @ amounts - 0.3 * total) / (0.7 * total))
    found = sufficient(slack, random_importance(seed), LAYERS, budget)
    assert slack.asked <= budget
    assert float(slack.slack(found.mask[None])) > 0 or bool(found.mask.all())
    if found.minimal:
        units = found.mask.nonzero()[:, 0]
        without = found.mask.repeat(len(units), 1)
        without[torch.arange(len(units)), units] = False
        assert bool((slack.slack(without) <= 0).all())


@given(sets, seeds, st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_nothing_depends_on_how_many_sets_are_evaluated_at_once(members, seed, size):
    together = Counted(all_of(members))
    apart = Counted(all_of(members), size)
    one = sufficient(together, random_importance(seed), LAYERS, 90)
    other = sufficient(apart, random_importance(seed), LAYERS, 90)
    assert torch.equal(one.mask, other.mask)
    assert (one.minimal, together.asked) == (other.minimal, apart.asked)


def test_where_nothing_is_needed_the_set_is_empty():
    found = sufficient(lambda masks: torch.ones(len(masks)), random_importance(0), LAYERS, 1)
    assert not found.mask.any()
    assert found.minimal


def test_a_budget_too_small_for_a_single_round_leaves_everything():
    found = sufficient(all_of({0}), random_importance(0), LAYERS, 3)
    assert found.mask.all()
    assert not found.minimal


def test_good_importance_saves_evaluations():
    members = {3, 9, 17}
    well = torch.where(mask_of(members), 0.3, 0.01).double()
    informed, blind = Counted(all_of(members)), Counted(all_of(members))
    sufficient(informed, lambda mask: well, LAYERS, 10_000)
    sufficient(blind, lambda mask: -well, LAYERS, 10_000)
    assert informed.asked < blind.asked / 1.5


def test_importance_is_asked_again_within_what_is_left():
    seen = []

    def importance(mask):
        seen.append(int(mask.sum()))
        return torch.ones(UNITS, dtype=torch.float64) / UNITS

    sufficient(all_of({1, 2}), importance, LAYERS, 10_000)
    assert seen[0] == UNITS
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) > 3
