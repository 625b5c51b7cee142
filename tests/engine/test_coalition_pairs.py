"""Pairs of coalitions: each once, single players first, all sizes in turn, and as many as a budget allows."""

import itertools

import pytest
import torch

from pellucid.core.errors import UsageError
from pellucid.engine.coalition_pairs import affordable_pairs, complementary_pairs, halves, least_pairs, rounds


class Known:
    """A game that answers with a fixed function of the mask."""

    def __init__(self, features):
        self.features = features

    def __call__(self, masks):
        return masks.double() @ torch.arange(1.0, self.features + 1).double() + 10 * masks[:, 0] * masks[:, 1] + 5


def drawn(players, number, seed=0):
    source = torch.Generator().manual_seed(seed)
    return torch.stack(list(itertools.islice(complementary_pairs(players, source), number)))


@pytest.mark.parametrize("players", [2, 3, 4, 7, 8])
def test_every_pair_comes_exactly_once(players):
    masks = drawn(players, 10**6)
    assert len(masks) == 2 ** (players - 1) - 1
    both = torch.cat([masks, ~masks])
    assert len(both.unique(dim=0)) == 2**players - 2


@pytest.mark.parametrize("players", [12, 44])
def test_single_players_come_first_and_then_all_sizes_take_turns(players):
    masks = drawn(players, players + 5 * (players // 2 - 1))
    sizes = masks.sum(1)
    assert sizes[:players].tolist() == [1] * players
    assert masks[:players].any(0).all()
    turns = sizes[players:].view(5, -1).sort(1).values
    assert (turns == torch.arange(2, players // 2 + 1)).all()
    assert len(torch.cat([masks, ~masks]).unique(dim=0)) == 2 * len(masks)


def test_coalitions_of_one_size_are_equally_likely():
    masks = torch.cat([drawn(6, 8, seed) for seed in range(2000)])
    pairs = masks[masks.sum(1) == 2]
    share = pairs.double().mean(0)
    assert bool((share - 1 / 3).abs().max() < 4 * (2 / 9 / len(pairs)) ** 0.5)


def test_more_pairs_begin_with_the_same_ones():
    assert torch.equal(drawn(20, 30), drawn(20, 90)[:30])
    assert not torch.equal(drawn(20, 30), drawn(20, 30, seed=1))


def test_halves_are_half_of_the_difference_and_of_the_sum_of_complements():
    found = halves(Known(3), torch.tensor([[True, False, False]]))
    assert found.masks.tolist() == [[True] * 3, [True, False, False]]
    assert found.odd.tolist() == [(21 - 5) / 2, (6 - 10) / 2]
    assert found.even.tolist() == [(21 + 5) / 2, (6 + 10) / 2]


def test_a_budget_that_leaves_nothing_over_is_refused_with_what_is_enough():
    with pytest.raises(UsageError, match="give 30 or more"):
        affordable_pairs(Known(10), 29, "kernel-shap")
    assert affordable_pairs(Known(10), 30, "kernel-shap") == least_pairs(10) == 14


@pytest.mark.parametrize(("least", "most"), [(14, 14), (14, 20), (14, 500)])
def test_rounds_grow_and_end_at_the_budget(least, most):
    found = list(rounds(least, most))
    assert found == sorted(set(found))
    assert found[0] >= least
    assert found[-1] == most
