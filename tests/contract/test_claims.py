"""What a method claims of itself in ``properties`` is true of its answers."""

import dataclasses

import pytest
import torch

from contract.asking import claiming, fits, ids, question, quick
from contract.cases import CASES
from pellucid.core.method import METHODS
from pellucid.core.query import Decision
from pellucid.core.spec import Access
from pellucid.engine.perturb import baseline_value, with_padding
from pellucid.engine.targets import resolve

KNOWN = {"class-blind", "complete", "conservative", "perturbation", "sensitivity", "stochastic"}


def sums(scores):
    return scores.flatten(1).sum(1, dtype=torch.float64)


def close(found, expected, scale, tolerance):
    return bool(((found - expected).abs() <= tolerance * scale.abs().clamp(min=1e-3)).all())


@pytest.mark.parametrize("method", ids())
def test_every_claim_is_one_that_is_checked_here(method):
    assert METHODS[method].spec.properties <= KNOWN


@pytest.mark.parametrize(("method", "case"), claiming("complete"))
def test_complete_scores_and_their_residual_are_the_rise_above_the_baseline(method, case, subject_of, answer_of):
    answer = answer_of(method, case)
    # Where baselines are drawn at random or differ from the task's default, only the answer knows their score.
    told = answer.quality.get("baseline")
    lowest = told.double() if told is not None else score_of_the_baseline(subject_of(case), case)
    rise = answer.value.double() - lowest
    tolerance = 1e-9 if answer.scores.dtype == torch.float64 else 2e-4
    assert close(
        sums(answer.scores) + answer.residual.double(), rise, answer.value.double().abs() + lowest.abs(), tolerance
    )
    assert bool((answer.residual[answer.converged].abs() <= 0.11 * rise[answer.converged].abs() + 1e-6).all())


def score_of_the_baseline(subject, case):
    inputs = subject.prepare(CASES[case].inputs)
    start = with_padding(inputs, baseline_value(subject, inputs, subject.task.baselines()[0]))
    return resolve(subject, inputs, Decision(inputs, 0))(subject.run(inputs.at(start), original=True)).double()


@pytest.mark.parametrize(("method", "case"), claiming("conservative"))
def test_conserved_relevance_and_what_is_absorbed_are_the_score(method, case, answer_of):
    answer = answer_of(method, case)
    absorbed = sum(
        (amount.double() for amount in answer.absorbed.values()), torch.zeros(len(answer), dtype=torch.float64)
    )
    total = sums(answer.scores) + absorbed + answer.residual.double()
    amounts = torch.stack([sums(answer.scores.abs()), absorbed.abs(), answer.value.double().abs()]).amax(0)
    tolerance = 1e-10 if answer.scores.dtype == torch.float64 else 1e-4
    assert close(total, answer.value.double(), amounts, tolerance)
    assert close(answer.residual.double(), torch.zeros(len(answer)), amounts, tolerance)
    assert close(answer.reaching.double() * answer.value.double(), sums(answer.scores), amounts, tolerance)


@pytest.mark.parametrize(("method", "case"), claiming("perturbation"))
def test_perturbation_needs_outputs_only_and_no_gradient(method, case, answer_of):
    assert METHODS[method].spec.needs == {Access.OUTPUTS}
    assert answer_of(method, case).evaluations["B"] == 0


@pytest.mark.parametrize(("method", "case"), claiming("sensitivity"))
def test_sensitivity_takes_one_backward_pass_per_example(method, case, answer_of):
    assert answer_of(method, case).evaluations["B"] == len(CASES[case].inputs)


@pytest.mark.parametrize("method", ids())
def test_a_seed_is_there_where_draws_are_and_changes_them(method, subject_of):
    draws = "stochastic" in METHODS[method].spec.properties
    assert draws == ("seed" in {field.name for field in dataclasses.fields(METHODS[method])})
    case = next((name for name in ("small-cnn", "double-mlp") if fits(method, name)), "small-cnn")
    subject = subject_of(case)
    asked = question(method, subject, CASES[case].inputs)
    made = quick(method, case)
    asking = draws and fits(method, case)  # what only other networks than the cases' can be asked is tested on its own
    seeds = (1, 2) if asking else ()
    answers = [dataclasses.replace(made, seed=seed)(subject, asked) for seed in seeds]
    tables = [answer.table() for answer in answers]
    assert len(tables) == 2 * asking
    assert not asking or tables[0] != tables[1]


@pytest.mark.parametrize(("method", "case"), claiming("class-blind"))
def test_what_is_blind_to_classes_gives_each_nearly_the_same_map(method, case, subject_of, answer_of):
    first, subject = answer_of(method, case), subject_of(case)
    other = quick(method, case)(subject, question(method, subject, CASES[case].inputs, target=1))
    together = torch.stack([first.scores.flatten(), other.scores.flatten()]).double()
    assert not torch.equal(first.value, other.value)
    assert float(torch.nn.functional.cosine_similarity(*together, dim=0)) > 0.95
