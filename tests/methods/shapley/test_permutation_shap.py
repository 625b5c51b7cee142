"""Permutation SHAP: exact without interactions of three, unbiased with them, and intervals that hold the values."""

import pytest
import torch

from methods.shapley.games import asked, orders, table
from methods.shapley.test_kernel_shap import perceptron
from pellucid.core.errors import UsageError
from pellucid.methods import ExactShapley, PermutationShap


def test_interactions_of_two_cancel_in_an_order_and_its_reverse():
    mixed = torch.randn(8, 8, generator=torch.Generator().manual_seed(0)).double().triu(1)
    weights = torch.linspace(-1, 1, 8).double()
    answer = asked(PermutationShap(baseline=0.0), lambda rows: rows @ weights + ((rows @ mixed) * rows).sum(1), 8)
    torch.testing.assert_close(answer.scores[0], weights + (mixed + mixed.T).sum(1) / 2, rtol=0, atol=1e-10)
    assert answer.converged.all()
    assert answer.evaluations["F"] <= 2 * 14 + 3


@pytest.mark.parametrize("players", [1, 2])
def test_one_or_two_players_are_exact(players):
    worth = table(3, players)
    answer = asked(PermutationShap(baseline=0.0), worth, players)
    torch.testing.assert_close(answer.scores[0], orders(worth, players), rtol=0, atol=1e-12)


def test_a_small_game_that_is_known_in_full_ends_with_its_values_whatever_the_tolerance():
    worth = table(1, 4)
    answer = asked(PermutationShap(baseline=0.0, tolerance=1e-12), worth, 4)
    torch.testing.assert_close(answer.scores[0], orders(worth, 4), rtol=0, atol=1e-12)
    assert answer.converged.all()
    assert answer.evaluations["F"] <= 2**4 + 1


def test_the_mean_over_seeds_is_the_shapley_value_for_few_orders():
    worth = table(1, 5)
    exact = asked(ExactShapley(baseline=0.0), worth, 5).scores[0]
    found = torch.stack(
        [asked(PermutationShap(baseline=0.0, budget=18, seed=n), worth, 5).scores[0] for n in range(300)]
    )
    error = found.std(0) / 300**0.5
    assert bool(((found.mean(0) - exact).abs() <= 4 * error).all())
    assert float(error.min()) > 0


def test_intervals_hold_the_exact_values_about_as_often_as_they_say():
    inside = []
    for seed in range(60):
        worth, exact = perceptron(seed % 5)
        answer = asked(PermutationShap(baseline=0.0, budget=400, tolerance=1e-9, seed=seed), worth, 12)
        low, high = answer.interval[0][0], answer.interval[1][0]
        inside.append(((low <= exact) & (exact <= high)).double())
    assert 0.92 <= float(torch.stack(inside).mean()) <= 0.98


def test_it_stops_at_the_tolerance_or_says_that_the_budget_ran_out():
    worth, _ = perceptron(0)
    rough = asked(PermutationShap(baseline=0.0, tolerance=0.5), worth, 12)
    low, high = rough.interval
    assert rough.converged.all()
    assert float((high[0] - low[0]).max() / 2) <= 0.5 * float(rough.scores.abs().max())
    short = asked(PermutationShap(baseline=0.0, tolerance=1e-9, budget=300), worth, 12)
    assert not short.converged.any()
    assert "budget of 300" in short.summary()
    assert short.evaluations["F"] <= 301


def test_scores_add_up_for_any_number_of_orders():
    answer = asked(PermutationShap(baseline=0.0, budget=30), table(2, 6), 6)
    assert abs(float(answer.residual[0])) < 1e-12


def test_a_budget_without_two_pairs_of_orders_is_refused():
    with pytest.raises(UsageError, match="give 46 or more"):
        asked(PermutationShap(baseline=0.0, budget=45), table(2, 12), 12)
