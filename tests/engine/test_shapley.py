"""Shapley values, pair interactions and the kernel regression against their definitions, on random games."""

import itertools
import math

import pytest
import torch

from methods.shapley.games import orders, second_difference, table
from pellucid.engine.shapley import coalitions, kernel_regression, kernel_weights, pair_interactions, shapley_values


def worths(worth, players):
    return worth(coalitions(players).double())


@pytest.mark.parametrize("players", [1, 2, 3, 5])
def test_shapley_values_are_the_average_over_all_orders(players):
    worth = table(players, players)
    torch.testing.assert_close(shapley_values(worths(worth, players)), orders(worth, players), rtol=0, atol=1e-12)


WEIGHTS = {
    "sii": lambda t, n: math.factorial(t) * math.factorial(n - t - 2) / math.factorial(n - 1),
    "stii": lambda t, n: 2 / n / math.comb(n - 1, t),
    "fsii": lambda t, n: 6 * math.factorial(n - t - 1) * math.factorial(t + 1) / math.factorial(n + 1),
}


@pytest.mark.parametrize("index", WEIGHTS)
@pytest.mark.parametrize("players", [2, 3, 5])
def test_pair_interactions_are_averages_of_second_differences(index, players):
    worth = table(10 + players, players)
    found = pair_interactions(worths(worth, players), index)
    for one, other in itertools.combinations(range(players), 2):
        rest = [player for player in range(players) if player not in (one, other)]
        expected = sum(
            WEIGHTS[index](size, players) * second_difference(worth, players, one, other, present)
            for size in range(players - 1)
            for present in itertools.combinations(rest, size)
        )
        assert float(found[one, other]) == pytest.approx(expected, abs=1e-12)
        assert found[one, other] == found[other, one]
    assert not found.diag().any()


def test_faithful_interactions_are_the_best_fit_by_pairs_under_the_kernel():
    players, worth = 5, table(3, 5)
    masks = coalitions(players)
    values = worths(worth, players)
    one, other = torch.triu_indices(players, players, 1)
    shown = masks.double()
    columns = torch.cat([torch.ones(len(masks), 1).double(), shown, shown[:, one] * shown[:, other]], 1)
    weights = torch.full((len(masks),), 1e9, dtype=torch.float64)
    weights[1:-1] = kernel_weights(masks[1:-1])
    root = weights.sqrt()[:, None]
    fit = torch.linalg.lstsq(root * columns, root * values[:, None]).solution[:, 0]
    torch.testing.assert_close(pair_interactions(values, "fsii")[one, other], fit[1 + players :], rtol=0, atol=1e-6)


@pytest.mark.parametrize("players", [2, 4, 10])
def test_the_kernel_regression_on_every_coalition_gives_the_shapley_values(players):
    values = worths(table(7, players), players)
    masks = coalitions(players)[1:-1]
    found = kernel_regression(masks, values[1:-1], kernel_weights(masks), float(values[0]), float(values[-1]))
    torch.testing.assert_close(found, shapley_values(values), rtol=0, atol=1e-8)


def test_the_kernel_weighs_all_coalitions_of_a_size_alike_and_small_and_large_ones_most():
    weights = kernel_weights(torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1]]).bool())
    assert weights.tolist() == pytest.approx([3 / (4 * 3), 3 / (6 * 4), 3 / (4 * 3)])
