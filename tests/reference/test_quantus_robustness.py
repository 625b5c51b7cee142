"""Metrics of robustness give quantus' and captum's values for the same copies, and where quantus departs from its papers."""

import numpy as np
import pytest
import torch
from captum.metrics import sensitivity_max

import pellucid as pl
from pellucid.methods import LRP, Gradient, InputXGradient
from pellucid.metrics import Continuity, LocalLipschitz, MaxSensitivity, RelativeStability
from reference.quantus_again import QUIET, copies, explained_by, in_turn, network, pictures, theirs
from reference.quantus_differences import Difference
from reference.quantus_package import quantus

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

DIFFERENCES = (
    Difference(
        "Metrics that ask again",
        "stop with an AssertionError where all scores of a batch are 0",
        "a map of zeros that stays one is perfectly stable",
        "max-sensitivity of a network whose score is constant (quantus: none)",
        float("nan"),
        0.0,
    ),
    Difference(
        "LocalLipschitzEstimate",
        "divides all maps of a call by their common largest score, so that the value of one example depends on the others",
        "the constant of an explanation by itself (alvarezmelis2018robustness); compat='quantus' divides each map by its own",
        "gradient × input of a picture, beside the same picture ten times as bright",
        0.0871,
        1.0764,
    ),
    Difference(
        "Continuity",
        "steps of 0 pixels where a picture is narrower than 14, as nr_steps is 28 by default: it compares the picture 28 "
        "times with a black one",
        "the strongest variation between inputs that lie next to each other (montavon2018methods)",
        "the different places that a picture of 6 × 6 is moved to",
        1.0,
        8.0,
    ),
    Difference(
        "Continuity, the last steps",
        "stops with an IndexError where nr_steps is 2 · width + 1, because the picture is moved out of itself twice",
        "a path of any number of steps",
        "13 steps of a picture of 6 × 6 (quantus: none)",
        float("nan"),
        4.7227,
    ),
    Difference(
        "Continuity, the fill",
        "takes the arguments perturb_func and perturb_baseline and uses neither: what enters is always the lowest value",
        "what enters is as the caller says",
        "distance between the values with perturb_baseline='black' and 'white'",
        0.0,
        0.0,
    ),
    Difference(
        "RelativeInputStability",
        "divides by 1e-6 where a score is 0, so that such elements are all that counts",
        "a relative change from 0 has no meaning: such elements are left out; compat='quantus' divides too",
        "gradient × input of a picture with a black half, relative to the change of the scores",
        643728,
        218.17,
    ),
    Difference(
        "RelativeInputStability, changed classes",
        "is NaN as soon as a single copy changes its class, because NaN is the largest number for NumPy",
        "the largest value over those copies that keep their class (agarwal2022rethinking)",
        "ten copies of which some change their class",
        float("nan"),
        0.6061,
    ),
)


def asked(method, channels=1, seed=0):
    subject, points = network(seed, channels), pictures(1, channels)
    answer = method(subject, pl.Decision(points))
    return subject, points, answer, [int(answer.target)]


@pytest.mark.parametrize("method", [Gradient(), InputXGradient(), LRP()])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_max_sensitivity_of_the_same_copies_is_quantus_and_captums(method, channels):
    subject, points, answer, target = asked(method, channels)
    metric = MaxSensitivity(copies=6, radius=0.1)
    found = float(metric(subject, pl.Judgement([answer])).value)
    near = copies(subject, answer, metric)
    peer = quantus.MaxSensitivity(nr_samples=6, perturb_func=in_turn(near), **QUIET)
    assert found == pytest.approx(float(theirs(peer, subject, points, target, method, answer.scores)[0]), abs=1e-6)

    def explain(inputs):
        shown = inputs[0] if isinstance(inputs, tuple) else inputs
        maps = torch.from_numpy(explained_by(method)(subject.module, shown.numpy(), target * len(shown)))
        return (maps,) if isinstance(inputs, tuple) else maps

    other = sensitivity_max(explain, points, perturb_func=lambda inputs: near, n_perturb_samples=6)
    assert found == pytest.approx(float(other), abs=1e-6)


@pytest.mark.parametrize("method", [Gradient(), InputXGradient(), LRP()])
def test_the_lipschitz_constant_of_the_same_copies_is_quantus(method):
    subject, points, answer, target = asked(method, 3)
    for normalise in (True, False):
        metric = LocalLipschitz(copies=6, radius=0.1, compat="quantus" if normalise else None)
        found = float(metric(subject, pl.Judgement([answer])).value)
        near = in_turn(copies(subject, answer, metric))
        peer = quantus.LocalLipschitzEstimate(nr_samples=6, perturb_func=near, normalise=normalise, **QUIET)
        other = float(theirs(peer, subject, points, target, method, answer.scores)[0])
        assert found == pytest.approx(other, rel=1e-6)


@pytest.mark.parametrize("method", [Gradient(), InputXGradient(), LRP()])
@pytest.mark.parametrize("steps", [3, 12, 28])
def test_continuity_over_the_whole_width_is_quantus(method, steps):
    subject, points, answer, target = asked(method, 3)
    found = Continuity(compat="quantus", steps=steps)(subject, pl.Judgement([answer]))
    peer = quantus.Continuity(nr_steps=steps, **QUIET)
    assert float(found.value) == pytest.approx(float(theirs(peer, subject, points, target, method)[0]), rel=1e-6)


PEERS = {
    "input": quantus.RelativeInputStability,
    "output": quantus.RelativeOutputStability,
    "representation": quantus.RelativeRepresentationStability,
}


@pytest.mark.parametrize("of", PEERS)
@pytest.mark.parametrize("method", [Gradient(), InputXGradient(), LRP()])
def test_the_relative_stability_over_the_same_copies_is_quantus(of, method):
    subject, points, answer, target = asked(method, 3)
    named = {"layer": "net.0"} if of == "representation" else {}
    metric = RelativeStability(of=of, copies=6, radius=1e-3, compat="quantus", **named)
    found = float(metric(subject, pl.Judgement([answer])).value)
    near = in_turn(copies(subject, answer, metric))
    layers = {"layer_names": ["net.0"]} if named else {}
    peer = PEERS[of](nr_samples=6, perturb_func=near, **layers, **QUIET)
    other = float(theirs(peer, subject, points, target, method, answer.scores)[0])
    assert found == pytest.approx(other, rel=1e-6)


def measured(name):
    return next(entry for entry in DIFFERENCES if entry.name == name)


def test_quantus_lipschitz_constant_depends_on_the_other_examples():
    entry = measured("LocalLipschitzEstimate")
    subject, points, answer, target = asked(InputXGradient())
    both = torch.cat([points, 10 * points])
    noise = copies(subject, answer, LocalLipschitz(copies=1, radius=0.1)) - points

    def perturb(arr, indices, **_):
        return arr + noise.flatten().numpy()

    values = []
    for batch in (both, points):
        maps = InputXGradient()(subject, pl.Decision(batch, target=target[0])).scores
        peer = quantus.LocalLipschitzEstimate(nr_samples=1, perturb_func=perturb, **QUIET)
        values.append(float(theirs(peer, subject, batch, target * len(batch), InputXGradient(), maps)[0]))
    assert values == pytest.approx([entry.quantus, entry.defined], rel=1e-3)


def test_quantus_continuity_stands_still_on_small_pictures(monkeypatch):
    entry = measured("Continuity")
    subject, points, answer, target = asked(Gradient(), 3)
    moved = set()

    def watched(explain):
        def see(model, inputs, targets, **given):
            moved.add(np.asarray(inputs).tobytes())
            return explain(model, inputs, targets)

        return see

    peer = quantus.Continuity(**QUIET)
    peer(
        model=subject.module,
        x_batch=points.numpy(),
        y_batch=np.asarray(target),
        explain_func=watched(explained_by(Gradient())),
        channel_first=True,
    )
    assert len(moved) - 1 == entry.quantus
    found = Continuity()(subject, pl.Judgement([answer]))
    assert found.evaluations["B"] == entry.defined


def test_quantus_continuity_stops_where_a_path_is_as_long_as_the_picture_is_wide_twice():
    entry = measured("Continuity, the last steps")
    subject, points, answer, target = asked(InputXGradient(), 3)
    with pytest.raises(IndexError):
        theirs(quantus.Continuity(nr_steps=13, **QUIET), subject, points, target, InputXGradient())
    found = Continuity(steps=13, compat="quantus")(subject, pl.Judgement([answer]))
    assert np.isnan(entry.quantus)
    assert float(found.value) == pytest.approx(entry.defined, rel=1e-3)


def test_quantus_refuses_maps_of_zeros():
    entry = measured("Metrics that ask again")
    subject, points, _, target = asked(Gradient())
    with torch.no_grad():
        subject.module.net[3].weight.zero_()
    answer = Gradient()(subject, pl.Decision(points, target=target))
    with pytest.raises(AssertionError, match="all equal to zero"):
        theirs(quantus.MaxSensitivity(**QUIET), subject, points, target, Gradient())
    assert float(MaxSensitivity()(subject, pl.Judgement([answer])).value) == entry.defined


def test_quantus_continuity_ignores_what_should_enter():
    entry = measured("Continuity, the fill")
    subject, points, _, target = asked(InputXGradient(), 3)
    values = [
        float(
            theirs(
                quantus.Continuity(nr_steps=3, perturb_baseline=fill, **QUIET),
                subject,
                points,
                target,
                InputXGradient(),
            )[0]
        )
        for fill in ("black", "white")
    ]
    assert values[1] - values[0] == entry.quantus


def test_quantus_relative_stability_is_that_of_black_elements():
    entry = measured("RelativeInputStability")
    subject, points, _, _ = asked(InputXGradient())
    points[..., :3] = 0
    answer = InputXGradient()(subject, pl.Decision(points))
    metrics = [RelativeStability(of="output", radius=1e-3, compat=compat) for compat in ("quantus", None)]
    values = [float(metric(subject, pl.Judgement([answer])).value) for metric in metrics]
    assert values == pytest.approx([entry.quantus, entry.defined], rel=1e-3)


def test_quantus_relative_stability_is_lost_with_the_first_copy_of_another_class():
    entry = measured("RelativeInputStability, changed classes")
    subject, points, answer, target = asked(Gradient())
    metric = RelativeStability(copies=10, radius=2.0, compat="quantus")
    near = copies(subject, answer, metric)
    kept = subject.scores(near).argmax(1) == target[0]
    assert 0 < int(kept.sum()) < 10
    peer = quantus.RelativeInputStability(nr_samples=10, perturb_func=in_turn(near), **QUIET)
    assert np.isnan(theirs(peer, subject, points, target, Gradient(), answer.scores)[0])
    assert np.isnan(entry.quantus)
    found = float(metric(subject, pl.Judgement([answer])).value)
    assert found == pytest.approx(entry.defined, rel=1e-3)
