"""Rectifiers in every form, networks without any, and how much of a map the last layer decides."""

import pytest
import torch
from sklearn.datasets import load_sample_image
from torch import nn
from torch.nn import functional

import pellucid as pl
from engine.rectifier_networks import FORMS, Rectified, pixels
from pellucid.core.errors import NotAnswerable
from pellucid.methods import Deconvnet, Gradient, GuidedBackprop

METHODS = (Deconvnet(), GuidedBackprop())
pytestmark = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.spec.id)


def ask(method, network, points, **asked):
    return method(pl.wrap(network), pl.Decision(points, **({"target": 0} | asked)))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_rectifier_is_one(method, form):
    expected = ask(method, Rectified(functional.relu), pixels()).scores
    torch.testing.assert_close(ask(method, Rectified(FORMS[form]), pixels()).scores, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "network",
    [
        nn.Linear(3, 2),
        nn.Sequential(nn.Linear(3, 3), nn.GELU(), nn.LeakyReLU(), nn.Linear(3, 2)),
        nn.Hardtanh(-1, 1),
        nn.Threshold(0.1, 0.0),
        nn.Threshold(0.0, 0.1),
    ],
)
def test_a_network_without_a_rectifier_is_refused(method, network):
    with pytest.raises(NotAnswerable, match=r"no rectifier \(ReLU\).* ask gradient, integrated-gradients or occlusion"):
        ask(method, network.double(), torch.randn(1, 3, dtype=torch.float64))


def test_an_operation_that_only_looks_like_a_rectifier_keeps_its_derivative(method):
    """A clamp at another number, a maximum of two values that both come from the input."""

    class Alike(nn.Module):
        def forward(self, row):
            return (row.clamp(min=-1) + torch.maximum(row, -row) + row.relu() - 3 * row).sum(1, keepdim=True)

    passed = 1 if method == Deconvnet() else 0
    found = ask(method, Alike(), torch.tensor([[2.0, -0.5, -2.0]])).scores.tolist()
    assert found == [[0, passed - 3, passed - 4]]


def test_a_clamp_whose_other_bound_comes_from_the_input_keeps_its_derivative(method):
    class Bounded(nn.Module):
        def forward(self, row):
            return (row.clamp(torch.zeros(()), row / 2) + row.relu()).sum(1, keepdim=True)

    assert ask(method, Bounded(), torch.tensor([[2.0]])).scores.tolist() == [[1.5]]


def test_a_layer_behind_the_last_rectifier_is_refused_and_one_before_it_is_answered(method):
    network = Rectified(functional.relu)
    with pytest.raises(NotAnswerable, match="no rectifier .*between 'last' and the score"):
        ask(method, network, pixels(), at="last")
    answer = ask(method, network, pixels(), at="hidden")
    signal = network.last.weight.data[:1].clamp(min=0)
    inputs = pl.wrap(network).prepare(pixels())
    opened = pl.wrap(network).run(inputs, capture=("hidden",)).activations["hidden"] > 0
    expected = signal.expand(2, -1) if method == Deconvnet() else signal * opened
    torch.testing.assert_close(answer.scores, expected)


def test_the_doubt_is_the_likeness_to_the_map_with_random_weights_in_the_last_layer(method):
    network, other = Rectified(functional.relu), Rectified(functional.relu)
    answer = ask(method, network, pixels())
    drawn = torch.randn(10, 4, generator=torch.Generator().manual_seed(0)).double().T  # as the product has it
    learned = network.last.weight.data
    other.last.weight.data = drawn * learned.std(correction=0) + learned.mean()
    random = ask(method, other, pixels())
    cosine = torch.nn.functional.cosine_similarity(answer.scores.flatten(1), random.scores.flatten(1))
    torch.testing.assert_close(answer.quality["cosine_random_last_layer"], cosine)
    assert not torch.equal(answer.scores, random.scores)


def test_a_map_that_ignores_the_last_layer_says_so_and_another_does_not(method):
    network = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 2)).double()
    point = torch.ones(1, 2, dtype=torch.float64)
    network[0].weight.data = torch.ones(6, 2).double()  # whatever comes from above, both inputs get the same
    alike = ask(method, network, point)
    assert float(alike.quality["cosine_random_last_layer"]) > 0.99
    assert any("random weights in the last layer" in note for note in alike.notes)
    assert "random weights" in alike.summary()
    network[0].weight.data[:3, 0] = network[0].weight.data[3:, 1] = 0
    network[2].weight.data = torch.tensor([[1.0, 1, 1, -1, -1, -1], [-1, -1, -1, 1, 1, 1]]).double()
    drawn = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)).double().clamp(min=0)[:, 0]
    expected = drawn[:3].sum() / torch.stack([drawn[:3].sum(), drawn[3:].sum()]).norm()
    apart = ask(method, network, point)
    assert float(apart.quality["cosine_random_last_layer"]) == pytest.approx(float(expected))
    assert bool(apart.notes) == (float(expected) >= 0.5)


def test_without_weights_there_is_no_last_layer_to_doubt(method):
    class Bare(nn.Module):
        def forward(self, row):
            return row.relu()

    answer = ask(method, Bare(), torch.tensor([[1.0, -2.0]]))
    assert answer.scores.tolist() == [[1, 0]]
    assert not answer.quality


@pytest.mark.slow
def test_on_a_real_network_the_class_hardly_matters_to_it_while_it_does_to_the_gradient(method):
    subject = pl.load("efficientnet-lite0")
    picture = load_sample_image("flower.jpg")
    maps = {
        asked: [asked(subject, pl.Decision(picture, target)).scores.flatten() for target in (281, 817)]
        for asked in (method, Gradient())
    }
    rectified, gradient = (float(torch.cosine_similarity(*pair, dim=0)) for pair in maps.values())
    assert rectified > 0.9
    assert gradient < 0.5
