"""Metrics of randomisation give quantus' values for the same networks and outputs, and where quantus departs."""

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.methods import LRP, Gradient, InputXGradient
from pellucid.metrics import ParameterRandomisation, RandomLogit
from pellucid.metrics import parameter_randomisation as parameter_randomisation_file
from reference.quantus_again import QUIET, Doubled, network, pictures, subject_of, theirs
from reference.quantus_differences import Difference
from reference.quantus_package import quantus

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

PyTorchModel = quantus.helpers.model.pytorch_model.PyTorchModel
SPEARMAN = quantus.functions.similarity_func.correlation_spearman

DIFFERENCES = (
    Difference(
        "MPRT, the average",
        "return_average_correlation takes the similarity of the explanation with itself, 1, into the average over layers",
        "the mean over the randomised networks",
        "gradients of a network of two layers",
        0.3396,
        0.0094,
    ),
    Difference(
        "MPRT, the draws",
        "sets the same seed before every layer, so that layers of one shape get the same new weights",
        "layers are drawn independently (adebayo2018sanity)",
        "the correlation of the new weights of two layers of 6 × 6",
        1.0,
        0.0,
    ),
    Difference(
        "MPRT, parameters of their own",
        "leaves parameters alone that belong to a module without reset_parameters",
        "in the last network of the cascade nothing that was learned is left (adebayo2018sanity)",
        "the share of such a parameter's elements that the last network still has",
        1.0,
        0.0,
    ),
    Difference(
        "RandomLogit",
        "compares maps by the structural similarity of their flattened rows, a picture of height 1",
        "the structural similarity of the pictures (sixt2020explanations)",
        "gradients of two outputs of a network",
        -0.0413,
        0.0651,
    ),
)


def measured(name):
    return next(entry for entry in DIFFERENCES if entry.name == name)


@pytest.mark.parametrize("method", [Gradient(), InputXGradient(), LRP()])
@pytest.mark.parametrize("order", ["top_down", "independent"])
def test_the_similarity_to_the_same_randomised_networks_is_quantus(method, order, monkeypatch):
    subject, points = network(), pictures(2)
    decision = pl.Decision(points)
    answer = method(subject, decision)

    def as_quantus(*_):
        for _, module in PyTorchModel(subject.module, channel_first=True).get_random_layer_generator(
            order=order, seed=3
        ):
            yield subject.with_module(module)

    monkeypatch.setattr(parameter_randomisation_file, "randomised", as_quantus)
    mine = ParameterRandomisation(order="cascading" if order == "top_down" else "independent")
    found = mine(subject, pl.Judgement([answer]))
    peer = quantus.MPRT(similarity_func=SPEARMAN, layer_order=order, seed=3, **QUIET)
    other = theirs(peer, subject, points, answer.target.tolist(), method, answer.scores)
    layers = [np.array(values) for name, values in other.items() if name != "original"]
    assert found.curve[0, 1:].tolist() == pytest.approx([values.mean() for values in layers], abs=1e-6)
    expected = layers[-1] if order == "top_down" else np.mean(layers, 0)
    assert found.per_example[0].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("method", [Gradient(), InputXGradient(), LRP()])
def test_the_similarity_to_the_only_other_output_is_quantus(method):
    subject, points = network(outputs=2), pictures(3)
    answer = method(subject, pl.Decision(points, target=0))
    for absolute in (True, False):
        found = RandomLogit(absolute=absolute)(subject, pl.Judgement([answer]))
        peer = quantus.RandomLogit(similarity_func=SPEARMAN, num_classes=2, abs=absolute, **QUIET)
        other = theirs(peer, subject, points, [0, 0, 0], method, answer.scores)
        assert found.per_example[0].tolist() == pytest.approx(other.tolist(), abs=1e-6)


def test_quantus_average_counts_the_network_itself():
    entry = measured("MPRT, the average")
    subject, points = network(), pictures(1)
    answer = Gradient()(subject, pl.Decision(points))
    target = answer.target.tolist()
    by_layer = theirs(
        quantus.MPRT(similarity_func=SPEARMAN, **QUIET), subject, points, target, Gradient(), answer.scores
    )
    average = theirs(
        quantus.MPRT(similarity_func=SPEARMAN, return_average_correlation=True, **QUIET),
        subject,
        points,
        target,
        Gradient(),
        answer.scores,
    )
    assert by_layer["original"][0] == pytest.approx(1)
    layers = [values[0] for name, values in by_layer.items() if name != "original"]
    assert [float(average[0]), float(np.mean(layers))] == pytest.approx([entry.quantus, entry.defined], abs=1e-3)


def last_of(module):
    """quantus' last network of the cascade, and ours."""
    subject = subject_of(module)
    *_, (_, theirs_last) = PyTorchModel(module, channel_first=True).get_random_layer_generator(seed=3)
    *_, ours_last = parameter_randomisation_file.randomised(
        subject, subject.prepare(pictures(1)), 1, "cascading", "normal", 0
    )
    return theirs_last, ours_last.module


def test_quantus_gives_layers_of_one_shape_the_same_weights():
    entry = measured("MPRT, the draws")
    module = Doubled(nn.Flatten(1), nn.Linear(36, 36), nn.ReLU(), nn.Linear(36, 36))
    found = []
    for last in last_of(module):
        pair = torch.stack([last.net[1].weight.detach().flatten(), last.net[3].weight.detach().flatten()])
        found.append(float(torch.corrcoef(pair)[0, 1]))
    assert found == pytest.approx([entry.quantus, entry.defined], abs=0.1)


def test_quantus_leaves_parameters_of_other_modules_alone():
    entry = measured("MPRT, parameters of their own")

    class Scaled(Doubled):
        def __init__(self):
            super().__init__(nn.Flatten(1), nn.Linear(36, 3))
            self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 36, dtype=torch.float64))

        def forward(self, points):
            return super().forward(points.flatten(1) * self.scale)

    module = Scaled()
    found = [float((last.scale == module.scale).double().mean()) for last in last_of(module)]
    assert found == [entry.quantus, entry.defined]


def test_quantus_structural_similarity_is_that_of_flattened_rows():
    entry = measured("RandomLogit")
    subject, points = network(outputs=2, side=8), pictures(1, side=8)
    answer = Gradient()(subject, pl.Decision(points, target=0))
    found = RandomLogit(similarity="ssim")(subject, pl.Judgement([answer]))
    other = theirs(quantus.RandomLogit(num_classes=2, **QUIET), subject, points, [0], Gradient(), answer.scores)
    assert [float(other[0]), float(found.value)] == pytest.approx([entry.quantus, entry.defined], abs=1e-3)
