"""Surrogates: several questions on the same passes, rounds that stop, and intervals that hold the long run."""

import itertools

import pytest
import torch

import pellucid as pl
from pellucid.core import meter
from pellucid.engine.coalitions import players
from pellucid.engine.neighbourhoods import around
from pellucid.engine.surrogates import surrogates
from pellucid.engine.targets import Several, resolve
from pellucid.tasks.tensor import TensorTask

FEATURES = 12
WEIGHTS = torch.randn(3, FEATURES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
CURVES = torch.randn(3, FEATURES, FEATURES, generator=torch.Generator().manual_seed(2), dtype=torch.float64) / 4


def network(point):
    """Three scores of twelve features that no linear model fits."""
    point = point.double()
    inner = torch.einsum("nf,tfg,ng->nt", point, CURVES, point)
    return point @ WEIGHTS.T + inner + (2 * inner).sin()


SUBJECT = pl.wrap(network, TensorTask(), name="network")
INPUTS = SUBJECT.prepare(torch.ones(1, FEATURES, dtype=torch.float64))


def fitted(samples, targets=(0,), design="balanced", seed=0, tolerance=None, width=None, subject=SUBJECT):
    features = players(subject, INPUTS, None)
    near = around(
        subject,
        INPUTS,
        features,
        torch.zeros_like(INPUTS.value),
        0,
        samples,
        torch.Generator().manual_seed(seed),
        design,
        width,
    )
    questions = Several(tuple(resolve(subject, INPUTS, pl.Decision(INPUTS, target=target)) for target in targets))
    return surrogates(subject, INPUTS, questions, near, lambda moments, _: torch.arange(moments.features), tolerance)


def truth(target=0, width=0.25):
    masks = torch.tensor(list(itertools.product([0.0, 1.0], repeat=FEATURES)), dtype=torch.float64)
    root = (-(((1 - masks.mean(1).sqrt()) / width) ** 2) / 4).exp()[:, None]
    design = torch.cat([torch.ones(len(masks), 1).double(), masks], 1)
    answers = network(masks)[:, target : target + 1]
    return torch.linalg.lstsq(design * root, answers * root).solution[1:, 0]


def test_all_masks_give_the_long_run_itself_without_an_interval():
    (fit,) = fitted(4096)
    assert fit.exact
    assert fit.coefficients.tolist() == pytest.approx(truth().tolist(), abs=1e-8)
    assert torch.equal(fit.low, fit.high)


@pytest.mark.parametrize(("design", "width"), [("balanced", 0.25), ("balanced", 0.1), ("lime", 0.25)])
def test_both_ways_to_draw_come_to_the_same_coefficients(design, width):
    expected, averages = truth(width=width), []
    for seed in range(20):
        (fit,) = fitted(600, design=design, seed=seed, width=width)
        averages.append(fit.coefficients)
    found = torch.stack(averages)
    error = found.std(0) / len(found) ** 0.5
    shrunk = 0.02 * expected.abs().max()
    assert bool(((found.mean(0) - expected).abs() <= 4 * error + shrunk).all())


def test_what_features_do_in_twos_hardly_disturbs_a_balanced_design():
    pairs = pl.wrap(lambda point: torch.einsum("nf,tfg,ng->nt", point, CURVES, point), TensorTask(), name="pairs")
    fits = {
        design: torch.stack(
            [fitted(300, design=design, seed=seed, subject=pairs)[0].coefficients for seed in range(20)]
        )
        for design in ("balanced", "lime")
    }
    assert float(fits["balanced"].var(0).mean()) < 0.5 * float(fits["lime"].var(0).mean())


@pytest.mark.parametrize("design", ["balanced", "lime"])
def test_intervals_hold_the_long_run_in_95_of_100_cases(design):
    expected, hits = truth(), []
    for seed in range(200):
        (fit,) = fitted(250, design=design, seed=seed)
        hits.append(((fit.low <= expected) & (expected <= fit.high)).double())
    assert 0.92 <= float(torch.stack(hits).mean()) <= 0.98


def test_several_questions_cost_the_passes_of_one_and_answer_the_same():
    with meter.metered() as passes:
        together = fitted(500, targets=(0, 1, 2))
    asked = passes.forward
    with meter.metered() as passes:
        alone = fitted(500, targets=(1,))
    assert asked - 2 == passes.forward  # each question is resolved by a pass of its own here
    assert torch.allclose(together[1].coefficients, alone[0].coefficients, rtol=0, atol=1e-12)
    assert torch.allclose(together[1].low, alone[0].low, rtol=0, atol=1e-12)


@pytest.mark.parametrize("design", ["balanced", "lime"])
def test_rows_are_drawn_until_the_tolerance_is_met(design):
    (loose,), (tight,) = (fitted(4000, design=design, tolerance=tolerance) for tolerance in (0.2, 0.05))
    assert loose.converged
    assert tight.converged
    assert loose.spread <= 0.2
    assert tight.spread <= 0.05
    assert loose.rows < tight.rows < 4000


def test_a_question_stops_by_itself_whatever_is_asked_beside_it():
    (alone,) = fitted(4000, tolerance=0.1)
    for others in ((0, 1), (2, 0)):
        found = fitted(4000, targets=others, tolerance=0.1)[others.index(0)]
        assert found.rows == alone.rows
        assert torch.allclose(found.coefficients, alone.coefficients, rtol=0, atol=1e-12)


def test_rows_that_run_out_before_the_tolerance_is_met_are_said_to():
    (fit,) = fitted(200, tolerance=1e-4)
    assert fit.converged is False
    assert fit.rows <= 199
