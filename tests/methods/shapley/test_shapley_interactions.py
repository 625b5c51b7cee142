"""Shapley interactions: closed forms, indices that account for everything, and intervals where not all is asked."""

import pytest
import torch

import pellucid as pl
from methods.shapley.games import asked, network, table
from methods.shapley.test_kernel_shap import perceptron
from pellucid.core.errors import UsageError
from pellucid.methods import ExactShapley, ShapleyInteractions

INDICES = ("sii", "stii", "fsii")


@pytest.mark.parametrize("index", INDICES)
def test_a_game_of_pairs_has_its_own_coefficients(index):
    mixed = torch.randn(6, 6, generator=torch.Generator().manual_seed(0)).double().triu(1)
    weights = torch.linspace(-1, 1, 6).double()
    answer = asked(
        ShapleyInteractions(index=index, baseline=0.0), lambda rows: rows @ weights + ((rows @ mixed) * rows).sum(1), 6
    )
    torch.testing.assert_close(answer.of(0), weights.diag() + mixed + mixed.T, rtol=0, atol=1e-12)
    assert not answer.half_width.any()
    assert answer.converged.all()


@pytest.mark.parametrize(
    ("index", "pair", "alone"),
    [("sii", 1 / 2, 1 / 3 - 1 / 2), ("stii", 1 / 3, 0), ("fsii", 1 / 2, 1 / 3 - 1 / 2)],
)
def test_what_three_do_together_is_put_on_pairs_in_the_way_of_the_index(index, pair, alone):
    answer = asked(ShapleyInteractions(index=index, baseline=0.0), lambda rows: rows.prod(1), 3)
    expected = torch.full((3, 3), pair, dtype=torch.float64).fill_diagonal_(alone)
    torch.testing.assert_close(answer.of(0), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("index", INDICES)
def test_features_alone_and_pairs_account_for_the_whole_rise(index):
    answer = asked(ShapleyInteractions(index=index, baseline=0.0), table(4, 7), 7)
    rise = float(answer.value - answer.baseline)
    assert float(answer.of(0).triu().sum()) == pytest.approx(rise, abs=1e-10)
    assert abs(float(answer.residual)) < 1e-10


def test_half_of_the_pairs_and_what_a_feature_does_alone_are_its_shapley_value():
    worth = table(5, 6)
    values = asked(ExactShapley(baseline=0.0), worth, 6).scores[0]
    for index in ("sii", "fsii"):
        found = asked(ShapleyInteractions(index=index, baseline=0.0), worth, 6).of(0)
        pairs = found - found.diag().diag()
        torch.testing.assert_close(found.diag() + pairs.sum(1) / 2, values, rtol=0, atol=1e-10)


@pytest.mark.parametrize("index", INDICES)
def test_some_of_the_coalitions_come_near_and_the_intervals_know_how_near(index):
    net, row = network(0, 12)
    answers = {
        budget: asked(
            ShapleyInteractions(index=index, baseline=0.0, budget=budget, tolerance=1e-9),
            lambda rows: net(rows)[:, 0].detach(),
            12,
            row,
        )
        for budget in (120, 500, 5000)
    }
    exact = answers[5000].of(0)
    errors = {budget: float((answers[budget].of(0) - exact).norm() / exact.norm()) for budget in (120, 500)}
    assert errors[500] < errors[120] < 0.5
    for budget in (120, 500):
        inside = (answers[budget].of(0) - exact).abs() <= answers[budget].half_width[0] + 1e-9
        assert float(inside.double().mean()) > 0.85
        assert not answers[budget].converged.any()
        assert abs(float(answers[budget].residual)) < 1e-4 * float(exact.abs().max())
    assert float(answers[500].half_width.mean()) < float(answers[120].half_width.mean())


def test_it_stops_at_the_tolerance():
    worth, _ = perceptron(1)
    answer = asked(ShapleyInteractions(baseline=0.0, tolerance=0.5), worth, 12)
    assert answer.converged.all()
    assert answer.evaluations["F"] < 2048
    assert float(answer.half_width.max()) <= 0.5 * float(answer.matrix.abs().max())


def test_examples_of_different_length_have_matrices_of_their_own():
    subject = pl.load("char-lstm")
    answer = ShapleyInteractions(budget=64)(subject, pl.Decision(["abcd", "ab"], target=0))
    assert [len(answer.of(example)) for example in (0, 1)] == [4, 2]
    alone = ShapleyInteractions(budget=64)(subject, pl.Decision(["ab"], target=0))
    torch.testing.assert_close(answer.of(1), alone.of(0), rtol=0, atol=1e-5)


def test_a_budget_that_is_too_small_is_refused_with_what_is_enough():
    with pytest.raises(UsageError, match="give 34 or more"):
        asked(ShapleyInteractions(baseline=0.0, budget=33), table(0, 12), 12)
