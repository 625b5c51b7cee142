"""Exact Shapley values: classic games in closed form, the axioms on random games, and what is refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from methods.shapley.games import asked, orders, table
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.methods import ExactShapley

EXACT = ExactShapley(baseline=0.0)


def glove(rows):
    """Players 0 and 1 have a left glove, player 2 a right one; a pair is worth 1."""
    return torch.minimum(rows[:, 0] + rows[:, 1], rows[:, 2])


def airport(rows):
    """The runway costs what the largest aeroplane needs: 1, 2, 4 and 9."""
    return (rows * torch.tensor([1.0, 2.0, 4.0, 9.0]).double()).amax(1)


def unanimity(rows):
    """Worth 6 where players 1, 2 and 4 are all there."""
    return 6 * rows[:, 1] * rows[:, 2] * rows[:, 4]


def majority(rows):
    """A parliament with 4, 3, 2 and 1 seats that decides with 6."""
    return ((rows @ torch.tensor([4.0, 3.0, 2.0, 1.0]).double()) >= 6).double()


@pytest.mark.parametrize(
    ("worth", "expected"),
    [
        (glove, [1 / 6, 1 / 6, 2 / 3]),
        (airport, [1 / 4, 1 / 4 + 1 / 3, 1 / 4 + 1 / 3 + 1, 1 / 4 + 1 / 3 + 1 + 5]),
        (unanimity, [0, 2, 2, 0, 2]),
        (majority, [5 / 12, 3 / 12, 3 / 12, 1 / 12]),
    ],
)
def test_classic_games_have_their_known_values(worth, expected):
    found = asked(EXACT, worth, len(expected)).scores[0]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_linear_model_scores_weight_times_distance_to_the_baseline():
    weights = torch.tensor([2.0, -1.0, 0.5, 3.0]).double()
    row = torch.tensor([1.0, 2.0, -4.0, 0.5]).double()
    found = asked(ExactShapley(baseline=1.0), lambda rows: rows @ weights, 4, row).scores[0]
    torch.testing.assert_close(found, weights * (row - 1), rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), players=st.integers(1, 5))
def test_scores_are_the_average_over_all_orders_and_add_up(seed, players):
    worth = table(seed, players)
    answer = asked(EXACT, worth, players)
    torch.testing.assert_close(answer.scores[0], orders(worth, players), rtol=0, atol=1e-10)
    rise = float(answer.value[0] - answer.quality["baseline"][0])
    assert float(answer.scores.sum()) == pytest.approx(rise, abs=1e-10)
    assert abs(float(answer.residual[0])) < 1e-10


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_player_that_never_changes_anything_gets_nothing_and_equal_players_get_the_same(seed):
    inner = table(seed, 4)

    def worth(rows):  # player 4 is never looked at; players 2 and 3 are only counted
        together = rows[:, 2:4].sum(1)
        return inner(torch.stack([rows[:, 0], rows[:, 1], together.clamp(max=1), (together == 2).double()], 1))

    found = asked(EXACT, worth, 5).scores[0]
    assert abs(float(found[4])) < 1e-12
    assert float(found[2]) == pytest.approx(float(found[3]), abs=1e-12)
    assert abs(float(found[2])) > 0


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(-3, 3))
def test_values_of_a_sum_of_games_are_the_sum_of_values(seed, share):
    one, other = table(seed, 4), table(seed + 1, 4)
    both = asked(EXACT, lambda rows: one(rows) + share * other(rows), 4).scores
    apart = asked(EXACT, one, 4).scores + share * asked(EXACT, other, 4).scores
    torch.testing.assert_close(both, apart, rtol=0, atol=1e-10)


def test_every_coalition_is_asked_about_once():
    answer = asked(EXACT, table(0, 6), 6)
    assert answer.evaluations["F"] == 2**6 + 1  # the plain input is asked about once more, to know its target
    assert answer.converged is None
    assert answer.interval is None


def test_grouped_columns_are_one_player():
    groups = torch.tensor([0, 0, 1, -1])
    answer = asked(ExactShapley(baseline=0.0, features=groups), lambda rows: rows.prod(1), 4)
    torch.testing.assert_close(answer.by_feature()[0], torch.tensor([0.5, 0.5]).double())
    assert float(answer.scores[0, 3]) == 0


def test_more_coalitions_than_the_budget_are_refused_with_the_way_out():
    with pytest.raises(NotAnswerable, match="kernel-shap or permutation-shap") as refusal:
        asked(ExactShapley(baseline=0.0, budget=31), table(0, 5), 5)
    assert "2^5" in str(refusal.value)
    with pytest.raises(UsageError, match="budget"):
        ExactShapley(budget=2**21)


def test_a_feature_that_looks_the_same_hidden_is_named():
    row = torch.tensor([1.0, 0.0, 1.0]).double()
    answer = asked(EXACT, lambda rows: rows.sum(1), 3, row)
    assert "1 of 3 features look the same hidden as shown" in answer.summary()


def test_a_number_of_superpixels_can_be_asked_for():
    subject = pl.load("digits-cnn")
    picture = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    answer = ExactShapley(segments=6)(subject, pl.Decision(picture))
    assert 2 <= answer.features.counts()[0] <= 9
    assert float(answer.residual.abs()) < 1e-4
