"""KernelSHAP: exact where it can be, exact for additive games, and intervals that hold the Shapley values."""

from functools import cache

import pytest
import torch
from benchmarks.kernel_shap import picture

import pellucid as pl
from methods.shapley.games import asked, network, table
from pellucid.core.errors import UsageError
from pellucid.engine.coalitions import Game
from pellucid.engine.shapley import coalitions, shapley_values
from pellucid.methods import ExactShapley, KernelShap


@cache
def perceptron(seed, players=12):
    """The worth of every coalition of the inputs of a network, looked up, and the Shapley values."""
    net, row = network(seed, players)
    with torch.no_grad():
        values = net(coalitions(players).double() * row)[:, 0]
    places = 2 ** torch.arange(players, dtype=torch.float64)
    return lambda rows: values[(rows @ places).long()], shapley_values(values)


def apart(answer, expected):
    return float((answer.scores[0] - expected).norm() / expected.norm())


@pytest.mark.parametrize("players", [1, 2, 3, 6, 10])
def test_with_every_coalition_it_equals_exact_shapley_values(players):
    worth = table(players, players)
    answer = asked(KernelShap(baseline=0.0), worth, players)
    exact = asked(ExactShapley(baseline=0.0), worth, players)
    torch.testing.assert_close(answer.scores, exact.scores, rtol=0, atol=1e-8)
    assert answer.evaluations["F"] == 2**players + 1
    assert answer.converged.all()
    low, high = answer.interval
    assert torch.equal(low[0], high[0])


def test_an_additive_game_is_exact_after_the_first_round():
    weights = torch.linspace(-2, 3, 30).double()
    answer = asked(KernelShap(baseline=0.0, tolerance=1e-6), lambda rows: rows @ weights + 4, 30)
    torch.testing.assert_close(answer.scores[0], weights, rtol=0, atol=1e-9)
    assert answer.converged.all()
    assert answer.evaluations["F"] < 150


def test_interactions_of_two_do_not_disturb():
    weights = torch.linspace(-1, 1, 20).double()
    mixed = torch.randn(20, 20, generator=torch.Generator().manual_seed(0)).double().triu(1)
    answer = asked(
        KernelShap(baseline=0.0, budget=60), lambda rows: rows @ weights + ((rows @ mixed) * rows).sum(1), 20
    )
    torch.testing.assert_close(answer.scores[0], weights + (mixed + mixed.T).sum(1) / 2, rtol=0, atol=1e-8)


def test_a_model_that_never_changes_its_mind_is_known_at_once():
    answer = asked(KernelShap(baseline=0.0), lambda rows: torch.full((len(rows),), 3.0, dtype=torch.float64), 20)
    assert not answer.scores.any()
    assert answer.converged.all()
    assert answer.evaluations["F"] < 110


@pytest.mark.parametrize(("budget", "most"), [(100, 0.12), (200, 0.07), (500, 0.035)])
def test_the_error_falls_with_the_budget(budget, most):
    errors = []
    for seed in range(5):
        worth, exact = perceptron(seed)
        answer = asked(KernelShap(baseline=0.0, budget=budget, tolerance=1e-9, seed=seed), worth, 12)
        assert budget - 2 <= answer.evaluations["F"] <= budget + 1
        assert not answer.converged.any()
        assert "budget" in answer.summary()
        errors.append(apart(answer, exact))
    assert sum(errors) / 5 < most


def test_scores_add_up_whatever_the_budget():
    worth, _ = perceptron(0)
    answer = asked(KernelShap(baseline=0.0, budget=64), worth, 12)
    assert abs(float(answer.residual[0])) < 1e-12
    rise = answer.value - answer.quality["baseline"]
    torch.testing.assert_close(answer.scores.sum(1), rise, rtol=0, atol=1e-12)


@pytest.mark.parametrize("tolerance", [0.3, 0.1])
def test_it_stops_when_the_largest_half_interval_is_within_the_tolerance(tolerance):
    worth, _ = perceptron(1)
    answer = asked(KernelShap(baseline=0.0, tolerance=tolerance), worth, 12)
    low, high = answer.interval
    assert answer.converged.all()
    assert answer.evaluations["F"] < 2048
    assert float((high[0] - low[0]).max() / 2) <= tolerance * float(answer.scores.abs().max())


def test_another_seed_asks_about_other_coalitions_and_a_smaller_tolerance_about_more():
    worth, _ = perceptron(2)
    first, second = (asked(KernelShap(baseline=0.0, budget=100, seed=seed), worth, 12) for seed in (0, 1))
    assert not torch.equal(first.scores, second.scores)
    rough, fine = (asked(KernelShap(baseline=0.0, tolerance=share), worth, 12) for share in (0.5, 0.02))
    assert rough.evaluations["F"] < fine.evaluations["F"]


def test_fits_that_are_too_large_for_one_are_pooled(monkeypatch):
    worth, exact = perceptron(3)
    one = asked(KernelShap(baseline=0.0, budget=122, tolerance=1e-9), worth, 12)
    monkeypatch.setattr("pellucid.methods.shapley.kernel_shap._BLOCK", 60)
    pooled = asked(KernelShap(baseline=0.0, budget=602, tolerance=1e-9), worth, 12)
    assert apart(pooled, exact) < apart(one, exact)
    assert float((pooled.interval[1][0] - pooled.interval[0][0]).mean()) < float(
        (one.interval[1][0] - one.interval[0][0]).mean()
    )
    assert abs(float(pooled.residual[0])) < 1e-12


def test_a_budget_that_is_too_small_is_refused_with_what_is_enough():
    with pytest.raises(UsageError, match="give 34 or more"):
        asked(KernelShap(baseline=0.0, budget=33), table(0, 12), 12)


def covered(worth, exact, players, budget, seeds):
    """The share of features and seeds whose interval holds the exact value."""
    inside = []
    for seed in range(seeds):
        answer = asked(KernelShap(baseline=0.0, budget=budget, tolerance=1e-9, seed=seed), worth, players)
        low, high = answer.interval[0][0], answer.interval[1][0]
        inside.append(((low <= exact) & (exact <= high)).double())
    return float(torch.stack(inside).mean())


def test_intervals_hold_the_exact_values_about_as_often_as_they_say():
    shares = [covered(*perceptron(seed), 12, 150, 6) for seed in range(4)]
    assert 0.88 <= sum(shares) / 4 <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize("budget", [100, 200])
def test_intervals_of_a_perceptron_hold_the_exact_values_in_92_to_98_of_100(budget):
    shares = [covered(*perceptron(seed), 12, budget, 40) for seed in range(5)]
    assert 0.92 <= sum(shares) / 5 <= 0.98, shares


@pytest.mark.slow
def test_intervals_of_a_picture_hold_the_long_run_values_in_92_to_98_of_100():
    contest, spread = picture("chelsea", 0)
    assert spread < 0.003
    assert 0.92 <= covered(lambda rows: contest.worth(rows > 0.5), contest.reference, 44, 200, 200) <= 0.98


@pytest.mark.slow
def test_padding_and_words_of_a_text_get_what_the_sentence_gets_alone():
    subject = pl.load("minilm-sentiment")
    texts = ["A warm film.", "Dull and far too long, sadly, whatever else they say of it!"]
    both = KernelShap(budget=80)(subject, pl.Decision(texts, target=0))
    alone = KernelShap(budget=80)(subject, pl.Decision(texts[:1], target=0))
    torch.testing.assert_close(both.by_feature()[0], alone.by_feature()[0], rtol=0, atol=1e-4)
    assert not both.scores[~both.mask].any()


def test_draws_do_not_depend_on_what_the_model_says():
    seen = []

    class Watched(Game):
        def __call__(self, masks):
            seen[-1].append(masks.clone())
            return super().__call__(masks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pellucid.engine.playing.Game", Watched)
        for seed in (4, 5):
            seen.append([])
            asked(KernelShap(baseline=0.0, budget=60, tolerance=1e-9), perceptron(seed)[0], 12)
    first, second = (torch.cat(masks) for masks in seen)
    assert torch.equal(first, second)
