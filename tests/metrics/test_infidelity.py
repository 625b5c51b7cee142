"""Infidelity: zero for what a linear model's map must say, in closed form for other maps, and comparable when scaled."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from metrics.plain_rows import letters, linear, made, pictures_of, rows, wrapped
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.methods import Gradient, InputXGradient
from pellucid.metrics import Infidelity


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("perturbation", ["noise", "square"])
def test_the_gradient_of_a_linear_model_is_perfect(perturbation, scaled):
    subject, _ = linear()
    decision = pl.Decision(rows(3, 30))
    found = Infidelity(perturbation=perturbation, scaled=scaled)(subject, pl.Judgement([Gradient()(subject, decision)]))
    assert float(found.value) == pytest.approx(0, abs=1e-24)
    assert not found.higher_is_better


@pytest.mark.parametrize("baseline", ["zero", 0.4])
def test_contributions_of_a_linear_model_are_perfect_about_removals(baseline):
    subject, weights = linear()
    inputs = rows(2, 30)
    contributions = (inputs - (0 if baseline == "zero" else baseline)) * weights
    metric = Infidelity(perturbation="square", scores="contributions", cover=baseline, side=4, scaled=False)
    decision = pl.Decision(inputs)
    found = metric(subject, pl.Judgement([made(decision, contributions), made(decision, weights.expand(2, 30))]))
    assert float(found.value[0]) == pytest.approx(0, abs=1e-24)
    assert float(found.value[1]) > 0.1


def test_a_wrong_map_of_a_linear_model_is_as_wrong_as_its_distance_from_the_gradient():
    """``E[(Iᵀ(φ − w))²] = σ² |φ − w|²`` for noise of deviation σ."""
    subject, weights = linear(6)
    inputs, scores = rows(1, 6), rows(1, 6, seed=3)
    decision = pl.Decision(inputs)
    found = Infidelity(scaled=False, draws=4000, spread=0.1)(subject, pl.Judgement([made(decision, scores)]))
    deviation = 0.1 * float(inputs.max() - inputs.min())
    expected = deviation**2 * float((scores[0] - weights).square().sum())
    low, high = found.interval[0].tolist()
    assert low < expected < high
    assert high - low < 0.2 * expected


def test_a_map_that_says_nothing_scores_the_mean_squared_change():
    subject = wrapped(lambda point: point.square().sum(1, keepdim=True))
    decision = pl.Decision(rows(2, 9))
    nothing = made(decision, torch.zeros(2, 9, dtype=torch.float64))
    found = [Infidelity(scaled=scaled)(subject, pl.Judgement([nothing])) for scaled in (True, False)]
    assert torch.equal(found[0].per_example[0], found[1].per_example[0])
    assert bool((found[0].per_example[0] > 0).all())
    # Scaled as suits them best, no row is worse than that.
    assert bool((found[0].control_per_example <= found[0].per_example[0] + 1e-12).all())


def test_a_map_that_points_the_wrong_way_is_no_better_than_nothing():
    subject, weights = linear()
    decision = pl.Decision(rows(1, 30))
    turned, nothing = made(decision, -weights[None]), made(decision, torch.zeros(1, 30, dtype=torch.float64))
    found = Infidelity()(subject, pl.Judgement([turned, nothing]))
    assert float(found.value[0]) == float(found.value[1]) > 0


def test_a_square_of_a_picture_is_removed():
    seen = []

    def function(point):
        seen.append(point.detach().clone())
        return point.flatten(1).sum(1, keepdim=True)

    subject = pictures_of(function, 9)
    inputs = torch.ones(1, 1, 9, 9, dtype=torch.float64)
    decision = pl.Decision(inputs, target=0)
    answer = made(decision, inputs)
    seen.clear()
    Infidelity(perturbation="square", side=4, draws=300)(subject, pl.Judgement([answer]))
    gone = (torch.cat(seen) == 0)[:, 0]
    gone = gone[gone.any(2).any(1)]
    assert bool((gone.sum((1, 2)) == 16).all())
    assert bool((gone.any(1).sum(1) == 4).all())
    assert len(gone.flatten(1).unique(dim=0)) == 36  # every place of the square


def test_texts_lose_runs_of_their_own_letters_and_padding_never_changes():
    subject = letters(torch.arange(6.0))
    decision = pl.Decision(["fadebead", "be"])
    metric = Infidelity(perturbation="square", scores="contributions", scaled=False)
    answer = InputXGradient()(subject, decision)
    found = metric(subject, pl.Judgement([answer]))
    assert found.per_example[0].tolist() == pytest.approx([0, 0], abs=1e-10)
    noisy = Infidelity(scaled=False)(subject, pl.Judgement([answer]))
    alone = Infidelity(scaled=False)(subject, pl.Judgement([InputXGradient()(subject, pl.Decision(["be"]))]))
    assert float(alone.value) == pytest.approx(float(noisy.per_example[0, 1]), rel=1e-5)


def test_maps_share_the_calls():
    subject, _ = linear()
    decision = pl.Decision(rows(1, 30), target=0)
    answers = [made(decision, rows(1, 30, seed)) for seed in range(6)]
    costs = [Infidelity(draws=20)(subject, pl.Judgement(some)).evaluations["F"] for some in (answers, answers[:1])]
    assert costs[0] == costs[1] <= 23


@settings(deadline=None, max_examples=20)
@given(st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_the_scale_of_a_map_does_not_matter_where_it_is_chosen_best(factor, seed):
    subject = wrapped(lambda point: point.tanh().sum(1, keepdim=True))
    decision, scores = pl.Decision(rows(1, 8, seed)), rows(1, 8, seed + 1)
    answers = [made(decision, scores), made(decision, scores * factor)]
    found = Infidelity(draws=20)(subject, pl.Judgement(answers))
    assert float(found.value[0]) == pytest.approx(float(found.value[1]), rel=1e-9)


def test_what_has_no_meaning_is_refused():
    subject, _ = linear()
    with pytest.raises(UsageError, match="use perturbation='square'"):
        Infidelity(scores="contributions")
    flat = pl.Decision(torch.full((1, 30), 2.0, dtype=torch.float64))
    with pytest.raises(BadInput, match="no range"):
        Infidelity()(subject, pl.Judgement([made(flat, rows(1, 30))]))
    whole = pl.wrap(lambda point: point.double().sum(1, keepdim=True), pl.tasks.TensorTask(output="value"))
    numbers = pl.Decision(torch.arange(5)[None], target=0)
    with pytest.raises(NotAnswerable, match="whole numbers"):
        Infidelity()(whole, pl.Judgement([made(numbers, rows(1, 5))]))
