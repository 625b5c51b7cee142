"""Partition SHAP: Owen values by their definition over orders that tear no group apart, and what a budget leaves."""

import itertools

import pytest
import torch

from methods.shapley.games import asked, table
from pellucid.core.errors import UsageError
from pellucid.engine.hierarchies import halves
from pellucid.methods import ExactShapley, PartitionShap


def permitted(tree, players):
    """All orders in which every group of the hierarchy stays together, built from the two orders of every join."""

    def within(group):
        if group < players:
            return [[group]]
        left, right = tree[group - players].tolist()
        pairs = itertools.product(within(left), within(right))
        return [order for one, other in pairs for order in (one + other, other + one)]

    return within(2 * players - 2)


def owen(worth, tree, players):
    """The average of what each player adds over the permitted orders."""
    total, every = torch.zeros(players).double(), permitted(tree, players)
    for order in every:
        row = torch.zeros(1, players).double()
        for player in order:
            before = float(worth(row))
            row[0, player] = 1
            total[player] += float(worth(row)) - before
    return total / len(every)


LEANING = torch.tensor([[1, 3], [0, 5], [2, 6], [4, 7]])  # of five players, one joined after the other


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("players", [1, 2, 3, 4, 5])
def test_scores_are_owen_values_of_the_balanced_hierarchy(players, seed):
    worth, tree = table(seed, players), halves(players)
    answer = asked(PartitionShap(baseline=0.0), worth, players)
    torch.testing.assert_close(answer.scores[0], owen(worth, tree, players), rtol=0, atol=1e-12)
    assert answer.converged.all()


def test_scores_are_owen_values_of_a_hierarchy_of_ones_own():
    worth = table(3, 5)
    answer = asked(PartitionShap(baseline=0.0, hierarchy=LEANING), worth, 5)
    torch.testing.assert_close(answer.scores[0], owen(worth, LEANING, 5), rtol=0, atol=1e-12)
    exact = asked(ExactShapley(baseline=0.0), worth, 5)
    assert float((answer.scores - exact.scores).abs().max()) > 0.01


def test_players_that_meet_only_within_a_group_get_their_shapley_values():
    def worth(rows):
        return rows[:, 0] * rows[:, 1] * 3 + rows[:, 2] * rows[:, 3] - rows[:, 3]

    answer = asked(PartitionShap(baseline=0.0), worth, 4)
    torch.testing.assert_close(answer.scores[0], torch.tensor([1.5, 1.5, 0.5, -0.5]).double(), rtol=0, atol=1e-12)


def test_a_balanced_hierarchy_takes_about_the_square_of_the_number_of_features():
    answer = asked(PartitionShap(baseline=0.0), table(0, 16), 16)
    assert answer.converged.all()
    assert answer.evaluations["F"] <= 2 * 16**2


@pytest.mark.parametrize("budget", [4, 10, 40])
def test_scores_add_up_and_what_was_not_divided_is_even(budget):
    weights = torch.tensor([9.0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]).double()

    def worth(rows):
        return (rows @ weights).square()

    answer = asked(PartitionShap(baseline=0.0, budget=budget), worth, 16)
    assert answer.evaluations["F"] <= budget + 1
    assert abs(float(answer.residual[0])) < 1e-9
    assert not answer.converged.any()
    assert "divided evenly" in answer.summary()
    if budget == 4:
        torch.testing.assert_close(answer.scores[0, 8:], answer.scores[0, 8:9].expand(8))
        assert float(answer.scores[0, 0]) > float(answer.scores[0, 8])


def test_groups_of_largest_rise_are_divided_first():
    def worth(rows):
        return 10 * rows[:, 12] + rows[:, 0]

    answer = asked(PartitionShap(baseline=0.0, budget=40), worth, 16)
    assert float(answer.scores[0, 12]) == pytest.approx(10)
    assert not answer.converged.any()


def test_what_is_no_hierarchy_is_refused():
    with pytest.raises(UsageError, match="hierarchy"):
        asked(PartitionShap(baseline=0.0, hierarchy=LEANING), table(0, 4), 4)
