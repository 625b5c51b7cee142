"""Metrics over sets of features give quantus' values for the same sets, and captum's infidelity for the same changes."""

import numpy as np
import pytest
import torch
from captum.metrics import infidelity as captum_infidelity
from torch import nn

import pellucid as pl
from pellucid.core.subject import Features
from pellucid.engine.disturbances import noise, removals
from pellucid.engine.judged import judged
from pellucid.engine.subsets import subsets
from pellucid.metrics import (
    FaithfulnessCorrelation,
    FaithfulnessEstimate,
    Infidelity,
    SensitivityN,
    Sufficiency,
)
from reference.quantus_differences import Difference
from reference.quantus_package import quantus

pytestmark = pytest.mark.reference

DIFFERENCES = (
    Difference(
        "SensitivityN",
        "erases features one after the other, most relevant first, and correlates over the examples of a batch the fall "
        "by all features so far with the relevance of the last one; later batches are dropped, and one example alone "
        "raises an error",
        "the correlation, over random sets of n features of one example, of the fall with the relevance of the whole set",
        "mean over n for the exact contributions of a linear model, 8 examples of 16 features",
        0.6632,
        1.0,
    ),
    Difference(
        "Infidelity",
        "erases one square after the other without putting them back, so that it averages over growing parts of the "
        "picture, the same n_perturb_samples times; squares that do not divide the picture raise an error",
        "the mean over changes that are drawn independently, here each square alone",
        "gradient of Σ x², 8 × 8 pixels of 1 on the left and 2 on the right, squares of 4 × 4 to zero",
        10368.0,
        2176.0,
    ),
    Difference(
        "Sufficiency",
        "gives the share of the other examples of a batch with a similar explanation that have the same predicted class "
        "(dasgupta2022framework), so that the value depends on the batch",
        "what the score lacks with only the most relevant features left (deyoung2020eraser)",
        "first of two examples with the same explanation and class, beside the second and in a batch of its own",
        1.0,
        0.0,
    ),
)


class Doubled(nn.Module):
    """A network in double precision that takes the single precision in which quantus hands inputs over."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, point):
        return self.network(point.double())


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 9, 5))
    return Doubled(layers.double()).eval()


def pictures(number=3, channels=3):
    """Numbers that single precision holds exactly."""
    draws = torch.randn(number, channels, 8, 8, generator=torch.Generator().manual_seed(1))
    return draws.double()


def scores_like(inputs, seed=2):
    return torch.randn(inputs.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(decision, scores):
    every = torch.arange(scores[0].numel()).view(1, *scores.shape[1:]).expand_as(scores)
    return pl.Attribution(
        scores=scores, value=torch.zeros(len(scores)), features=Features("element", every), query=decision
    )


def wrapped(net, output="logits"):
    return pl.wrap(net, pl.tasks.TensorTask(output=output))


def asked_of_quantus(metric, net, inputs, scores, target=1, **fields):
    given = {"x_batch": inputs.numpy(), "a_batch": scores.numpy().copy(), "y_batch": np.full(len(inputs), target)}
    return np.array(metric(model=net, device="cpu", channel_first=True, **given, **fields), dtype=float)


QUIET = {"disable_warnings": True, "return_aggregate": False}


@pytest.mark.parametrize("softmax", [False, True])
def test_faithfulness_correlation_of_the_same_sets_is_equal(softmax, monkeypatch):
    net, inputs = network(), pictures()
    scores, subject = scores_like(inputs), wrapped(net)
    decision = pl.Decision(inputs, target=1, of="probability" if softmax else "score")
    query = pl.Judgement([made(decision, scores)])
    metric = FaithfulnessCorrelation(size=40, subsets=30, features="elements")
    drawn = [subsets(192, 40, 30, case.draws("faithfulness-correlation")) for case in judged(subject, query).cases()]
    chosen = iter([sets[run].nonzero()[:, 0].numpy() for run in range(30) for sets in drawn])
    monkeypatch.setattr(np.random, "choice", lambda *_, **__: next(chosen))
    theirs = asked_of_quantus(
        quantus.FaithfulnessCorrelation(nr_runs=30, subset_size=40, perturb_baseline=0.0, **QUIET),
        net,
        inputs,
        scores,
        softmax=softmax,
    )
    assert metric(subject, query).per_example[0].numpy() == pytest.approx(theirs, abs=1e-6)
    assert next(chosen, None) is None


def test_faithfulness_correlation_of_quantus_own_sets_lies_around_ours():
    net, inputs = network(), pictures(1)
    scores, subject = scores_like(inputs), wrapped(net)
    ours = FaithfulnessCorrelation(size=20, subsets=2000, features="elements")(
        subject, pl.Judgement([made(pl.Decision(inputs, target=1), scores)])
    )
    metric = quantus.FaithfulnessCorrelation(nr_runs=2000, subset_size=20, perturb_baseline=0.0, **QUIET)
    theirs = asked_of_quantus(metric, net, inputs, scores)
    # Each is a correlation over 2000 draws, whose deviation is 1/√2000 or less.
    assert float(ours.value) == pytest.approx(float(theirs[0]), abs=4 * (2 / 2000) ** 0.5)


@pytest.mark.parametrize("softmax", [False, True])
def test_faithfulness_estimate_is_equal(softmax):
    net, inputs = network(), pictures()
    scores = scores_like(inputs)
    decision = pl.Decision(inputs, target=1, of="probability" if softmax else "score")
    found = FaithfulnessEstimate(features="elements")(wrapped(net), pl.Judgement([made(decision, scores)]))
    metric = quantus.FaithfulnessEstimate(perturb_baseline=0.0, **QUIET)
    theirs = asked_of_quantus(metric, net, inputs, scores, softmax=softmax)
    assert found.per_example[0].numpy() == pytest.approx(theirs, abs=1e-6)


def changes_of(metric, subject, query):
    """What infidelity draws of each example, by the product's own functions: ``[examples, draws, …point]``."""
    found = []
    for case in judged(subject, query).cases():
        source = case.draws("infidelity")
        if metric.perturbation == "noise":
            found.append(noise(case, metric.spread, metric.draws, source))
        else:
            found.append(removals(case, metric.side, metric.cover, metric.draws, source))
    return torch.stack(found)


@pytest.mark.parametrize("perturbation", ["noise", "square"])
def test_infidelity_of_the_same_changes_is_quantus(perturbation):
    net, inputs = network(), pictures()
    scores, subject = scores_like(inputs) / 10, wrapped(net)
    metric = Infidelity(perturbation=perturbation, scaled=False, draws=20)
    query = pl.Judgement([made(pl.Decision(inputs, target=1), scores)])
    changes = changes_of(metric, subject, query)
    draws = iter(changes.unbind(1))

    def disturbed(arr, indices, **_):
        return (inputs - next(draws)).flatten(1).numpy()

    whole = quantus.Infidelity(perturb_func=disturbed, perturb_patch_sizes=[8], n_perturb_samples=20, **QUIET)
    theirs = asked_of_quantus(whole, net, inputs, scores)
    assert metric(subject, query).per_example[0].numpy() == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("perturbation", ["noise", "square"])
def test_infidelity_of_the_same_changes_is_captums(perturbation, scaled):
    net, inputs = network(), pictures(1)
    subject = wrapped(net)
    decision = pl.Decision(inputs, target=1)
    scores = pl.methods.Gradient()(subject, decision).scores + scores_like(inputs) / 50
    metric = Infidelity(perturbation=perturbation, scaled=scaled, draws=20)
    query = pl.Judgement([made(decision, scores)])
    (changes,) = changes_of(metric, subject, query)

    def disturbed(point):
        return changes, point - changes

    theirs = captum_infidelity(net, disturbed, inputs, scores, target=1, n_perturb_samples=20, normalize=scaled)
    assert metric(subject, query).per_example[0].tolist() == pytest.approx(theirs.tolist(), abs=1e-6)


def test_captum_lets_a_map_that_points_the_wrong_way_be_turned_round_and_we_do_not():
    net, inputs = network(), pictures(1)
    subject, decision = wrapped(net), pl.Decision(pictures(1), target=1)
    right = pl.methods.Gradient()(subject, decision).scores
    metric = Infidelity(draws=20, spread=0.02)
    found = metric(subject, pl.Judgement([made(decision, right), made(decision, -right)]))
    (changes,) = changes_of(metric, subject, pl.Judgement([made(decision, right)]))
    theirs = captum_infidelity(
        net, lambda point: (changes, point - changes), inputs, -right, target=1, n_perturb_samples=20, normalize=True
    )
    assert float(theirs) == pytest.approx(float(found.value[0]), abs=1e-6)
    assert float(found.value[1]) > 2 * float(found.value[0])


def measured(name):
    return next(entry for entry in DIFFERENCES if entry.name == name)


def test_quantus_sensitivity_n_is_not_the_definitions():
    weights = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 1, bias=False))
    net[1].weight.data = weights.view(1, 16)
    net = Doubled(net.double()).eval()
    inputs = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    scores = inputs * weights
    ours = SensitivityN()(wrapped(net, "value"), pl.Judgement([made(pl.Decision(inputs), scores)]))
    metric = quantus.SensitivityN(n_max_percentage=1.0, perturb_baseline=0.0, normalise=False, **QUIET)
    theirs = asked_of_quantus(metric, net, inputs, scores, target=0, softmax=False)
    entry = measured("SensitivityN")
    assert float(ours.value) == pytest.approx(entry.defined, abs=1e-12)
    assert theirs.mean() == pytest.approx(entry.quantus, abs=1e-3)
    with pytest.raises(ValueError, match="at least 2"):
        asked_of_quantus(metric, net, inputs[:1], scores[:1], target=0, softmax=False)


def test_quantus_infidelity_does_not_put_squares_back(monkeypatch):
    class Squared(nn.Module):
        def forward(self, point):
            return point.double().square().flatten(1).sum(1, keepdim=True)

    net, inputs = Squared().eval(), torch.ones(1, 1, 8, 8, dtype=torch.float64)
    inputs[..., 4:] = 2
    gradient = 2 * inputs
    metric = quantus.Infidelity(perturb_patch_sizes=[4], n_perturb_samples=1, perturb_baseline=0.0, **QUIET)
    theirs = asked_of_quantus(metric, net, inputs, gradient, target=0)
    # A square of ones says 32 and takes 16, one of twos says 128 and takes 64: they are wrong by 16 and by 64.
    alone, together = np.array([16, 64, 16, 64]), np.array([16, 80, 96, 160])
    entry = measured("Infidelity")
    assert float(theirs[0]) == pytest.approx(entry.quantus) == np.square(together).mean()
    squares = torch.stack(
        [inputs[0] * torch.nn.functional.pad(torch.ones(1, 4, 4), (x, 4 - x, y, 4 - y)) for y in (0, 4) for x in (0, 4)]
    )
    monkeypatch.setattr("pellucid.metrics.infidelity.removals", lambda *_: squares)
    ours = Infidelity(perturbation="square", scaled=False)(
        wrapped(net, "value"), pl.Judgement([made(pl.Decision(inputs), gradient)])
    )
    assert float(ours.value) == pytest.approx(entry.defined) == np.square(alone).mean()
    uneven = quantus.Infidelity(perturb_patch_sizes=[3], n_perturb_samples=1, perturb_baseline=0.0, **QUIET)
    with pytest.raises(ValueError, match="reshape"):
        asked_of_quantus(uneven, net, inputs, gradient, target=0)


def test_quantus_sufficiency_is_another_thing_and_depends_on_the_batch():
    net = network()
    inputs = pictures(1).expand(2, -1, -1, -1).clone()
    scores = scores_like(inputs[:1]).expand(2, -1, -1, -1) + 1e-3 * scores_like(inputs, seed=5)
    three = torch.cat([inputs, pictures(2)[1:]]), torch.cat([scores, scores_like(inputs[:1], seed=6)])
    metric = quantus.Sufficiency(**QUIET)
    together = asked_of_quantus(metric, net, *three, softmax=False)
    apart = asked_of_quantus(metric, net, *three, softmax=False, batch_size=1)
    entry = measured("Sufficiency")
    assert float(together[0]) == entry.quantus
    assert float(apart[0]) == entry.defined
    ours = Sufficiency()(wrapped(net), pl.Judgement([made(pl.Decision(three[0], target=1), three[1])]))
    assert float(ours.per_example[0, 0]) not in (0.0, 1.0)
