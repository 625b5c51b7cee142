"""Axiomatic metrics give quantus' values where it is right, and where quantus departs from the axioms."""

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.methods import LRP, Gradient, InputXGradient, IntegratedGradients
from pellucid.metrics import Completeness, InputInvariance, NonSensitivity
from reference.quantus_again import QUIET, Doubled, network, pictures, subject_of, theirs
from reference.quantus_differences import Difference
from reference.quantus_package import quantus

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

DIFFERENCES = (
    Difference(
        "Completeness",
        "divides the map by its largest score by default, and asks whether two floating-point numbers are equal: it is False "
        "for complete maps",
        "the sum of the scores is the rise of the score (sundararajan2017axiomatic): 0 of it is missing",
        "integrated gradients from black of a linear network (1: complete)",
        0.0,
        1.0,
    ),
    Difference(
        "Completeness, without normalisation",
        "asks whether two floating-point numbers are equal: a last bit decides",
        "the sum is right to 1e-7",
        "the share of ten pictures whose map is called complete",
        0.0,
        1.0,
    ),
    Difference(
        "NonSensitivity",
        "replaces each element by the lowest value of the input, which is no change where it has this value already, and "
        "calls the model insensitive to it",
        "the model does not depend on a feature if no other value of it changes the score (nguyen2020quantitative)",
        "the gradient of a linear network without zero weights, of a picture with 18 black pixels",
        18.0,
        0.0,
    ),
    Difference(
        "InputInvariance",
        "makes up for the shift in the bias of a padded convolution by one number per channel, which is wrong next to the "
        "border: the two models differ, and the gradient, which is invariant, fails",
        "f'(x + s) = f(x) everywhere (kindermans2019unreliability)",
        "whether the gradient is invariant (1: yes)",
        0.0,
        1.0,
    ),
    Difference(
        "InputInvariance, the shift",
        "shifts all elements of an example but the first",
        "every element is shifted (kindermans2019unreliability)",
        "how many of 36 elements are shifted",
        35.0,
        36.0,
    ),
)


def measured(name):
    return next(entry for entry in DIFFERENCES if entry.name == name)


def linear(outputs=2, channels=1, side=6):
    with torch.random.fork_rng():
        torch.manual_seed(4)
        module = Doubled(nn.Flatten(1), nn.Linear(channels * side**2, outputs, bias=False))
    return subject_of(module.eval(), side, channels)


def single(padding):
    """A network in single precision, to whose first bias quantus can add."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        side = 6 + 2 * padding - 2
        module = nn.Sequential(nn.Conv2d(1, 3, 3, padding=padding), nn.ReLU(), nn.Flatten(1), nn.Linear(3 * side**2, 4))
    return subject_of(module.eval().requires_grad_(False))


@pytest.mark.parametrize("method", [Gradient(), InputXGradient()])
@pytest.mark.parametrize("channels", [1, 3])
def test_non_sensitivity_by_element_is_quantus(method, channels):
    for subject, black in ((network(channels=channels), 0), (network(channels=channels), 3), (linear(2, channels), 2)):
        points = pictures(1, channels)
        points[..., :black] = 0
        answer = method(subject, pl.Decision(points))
        found = NonSensitivity(features="elements", compat="quantus")(subject, pl.Judgement([answer]))
        peer = quantus.NonSensitivity(**QUIET)
        other = theirs(peer, subject, points, answer.target.tolist(), method, answer.scores)
        assert float(found.value) == float(other[0])


def moved(arr, input_shift, **_):
    """All elements shifted: quantus' own function leaves the first one where it is."""
    return arr + np.float32(input_shift)


@pytest.mark.parametrize("method", [Gradient(), InputXGradient(), LRP(), IntegratedGradients(baseline="black")])
@pytest.mark.parametrize("shift", [-1.0, 0.5])
def test_without_padding_the_same_explanations_are_invariant(method, shift):
    subject, points = single(padding=0), pictures(1)
    answer = method(subject, pl.Decision(points))
    # The values of a picture lie between −2 and 2 here.
    found = float(InputInvariance(shift=shift / 4)(subject, pl.Judgement([answer])).value)
    peer = quantus.InputInvariance(input_shift=shift, perturb_func=moved, **QUIET)
    other = bool(theirs(peer, subject, points, answer.target.tolist(), method, answer.scores)[0])
    assert other == (found < 1e-5)


def test_quantus_calls_no_map_complete():
    entry = measured("Completeness")
    subject, points = linear(), pictures(1)
    method = IntegratedGradients(baseline=float(points.min()))
    answer = method(subject, pl.Decision(points))
    other = theirs(quantus.Completeness(**QUIET), subject, points, answer.target.tolist(), method, answer.scores)
    missing = float(Completeness()(subject, pl.Judgement([answer])).value)
    assert [float(other[0]), float(missing < 1e-5)] == [entry.quantus, entry.defined]


def test_quantus_lets_a_last_bit_decide():
    entry = measured("Completeness, without normalisation")
    subject, points = linear(), pictures(10)
    points[..., 0, 0] = 0
    method = InputXGradient()
    answer = method(subject, pl.Decision(points))
    peer = quantus.Completeness(normalise=False, **QUIET)
    other = theirs(peer, subject, points, answer.target.tolist(), method, answer.scores)
    missing = Completeness(baseline="zero")(subject, pl.Judgement([answer])).per_example[0]
    assert [float(other.mean()), float((missing < 1e-5).double().mean())] == [entry.quantus, entry.defined]


def test_quantus_sees_no_sensitivity_to_black():
    entry = measured("NonSensitivity")
    subject, points = linear(), pictures(1)
    points[..., :3] = 0
    answer = Gradient()(subject, pl.Decision(points))
    other = theirs(quantus.NonSensitivity(**QUIET), subject, points, answer.target.tolist(), Gradient(), answer.scores)
    found = NonSensitivity(features="elements")(subject, pl.Judgement([answer]))
    assert [float(other[0]), float(found.value)] == [entry.quantus, entry.defined]


def test_quantus_shifted_network_is_another_one_where_it_is_padded():
    entry = measured("InputInvariance")
    subject, points = single(padding=1), pictures(1)
    answer = Gradient()(subject, pl.Decision(points))
    peer = quantus.InputInvariance(perturb_func=moved, **QUIET)
    other = theirs(peer, subject, points, answer.target.tolist(), Gradient(), answer.scores)
    found = float(InputInvariance(shift=-0.25)(subject, pl.Judgement([answer])).value)
    assert [float(other[0]), float(found < 1e-5)] == [entry.quantus, entry.defined]
    assert np.isfinite(found)


def test_quantus_does_not_shift_the_first_element():
    entry = measured("InputInvariance, the shift")
    subject, points = single(padding=0), pictures(1)
    seen = []

    def explain(model, inputs, targets, **_):
        seen.append(np.asarray(inputs))
        return np.arange(36.0).reshape(1, 1, 6, 6)

    quantus.InputInvariance(**QUIET)(
        model=subject.module,
        x_batch=points.numpy(),
        y_batch=np.array([0]),
        a_batch=np.arange(36.0).reshape(1, 1, 6, 6),
        explain_func=explain,
        channel_first=True,
    )
    assert [float((seen[-1] != points.numpy()).sum()), 36.0] == [entry.quantus, entry.defined]
