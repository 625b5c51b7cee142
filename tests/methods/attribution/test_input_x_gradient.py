"""Input × gradient: exact where the score is linear along the ray from zero, and nowhere promised to be."""

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.methods import Gradient, InputXGradient


def network(bias):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(
            nn.Conv2d(2, 4, 3, bias=bias), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3, bias=bias)
        )
    return layers.double().eval()


def pictures(number):
    return torch.randn(number, 2, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("at", ["input", "0", "2"])
def test_scores_add_up_to_the_logit_of_a_network_without_biases(at):
    answer = InputXGradient()(pl.wrap(network(bias=False)), pl.Decision(pictures(3), target=1, at=at))
    assert torch.allclose(answer.scores.flatten(1).sum(1), answer.value, atol=1e-12)


def test_scores_need_not_add_up_where_there_are_biases():
    answer = InputXGradient()(pl.wrap(network(bias=True)), pl.Decision(pictures(3), target=1))
    assert not torch.allclose(answer.scores.flatten(1).sum(1), answer.value, atol=1e-3)
    assert "complete" not in InputXGradient.spec.properties


def test_scores_are_elements_times_derivatives():
    subject, decision = pl.wrap(network(bias=True)), pl.Decision(pictures(2), target=0, foil=2)
    assert torch.equal(InputXGradient()(subject, decision).scores, pictures(2) * Gradient()(subject, decision).scores)


def test_at_a_layer_scores_are_activations_times_derivatives():
    net, inputs = network(bias=True), pictures(2)
    hidden = net[:2](inputs)
    (gradient,) = torch.autograd.grad(net[2:](hidden)[:, 0].sum(), hidden)
    answer = InputXGradient()(pl.wrap(net), pl.Decision(inputs, target=0, at="1"))
    assert torch.allclose(answer.scores, (hidden * gradient).detach(), atol=1e-12)
    assert answer.features.counts() == (4, 4)
