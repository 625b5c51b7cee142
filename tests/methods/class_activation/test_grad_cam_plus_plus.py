"""Grad-CAM++: its weights from second and third derivatives of exp(score), taken one place at a time."""

import pytest
import torch

from methods.class_activation.networks import (
    PICTURES,
    asked,
    averaged,
    flattened,
    from_layer,
    one_convolution,
    rectified,
)
from pellucid.methods import GradCam, GradCamPlusPlus


def derivatives(function, activation):
    """First, second and third derivative of ``function`` along every single element of ``activation``."""
    found = []
    for place in range(activation.numel()):
        moved = torch.zeros((), dtype=activation.dtype, requires_grad=True)
        step = torch.zeros(activation.numel(), dtype=activation.dtype)
        step[place] = 1
        value = function(activation + moved * step.view(activation.shape))
        row = []
        for _ in range(3):
            (value,) = torch.autograd.grad(value, moved, create_graph=True)
            row.append(value.detach())
        found.append(torch.stack(row))
    return torch.stack(found, 1).view(3, *activation.shape)


@pytest.mark.parametrize(("make", "layer"), [(averaged, 2), (flattened, 1), (rectified, 1)])
def test_weights_are_those_of_the_exponential_of_the_score(make, layer):
    net = make()
    answer = asked(GradCamPlusPlus(), net, at=str(layer))
    for maps, scores in zip(net[: layer + 1](PICTURES).detach(), answer.scores, strict=True):
        first, second, third = derivatives(lambda moved: from_layer(net, layer, moved[None])[0, 1].exp(), maps)
        amount = maps.sum((1, 2), keepdim=True)
        alpha = torch.where(second == 0, 0.0, second / (2 * second + amount * third))
        weights = (alpha * first.clamp(min=0)).sum((1, 2), keepdim=True)
        height = from_layer(net, layer, maps[None])[0, 1].exp().detach()
        torch.testing.assert_close(scores, weights / height * maps, rtol=1e-9, atol=1e-12)


def test_of_one_even_channel_the_closed_form():
    """g = w/16 everywhere and A = a everywhere: α = 1 / (2 + wa), the weight is 16 α g = w / (2 + wa)."""
    net = averaged()
    net[1].weight.data.zero_()
    amounts, weights = net[1].bias.detach().clamp(min=0), net[5].weight[1].detach()
    expected = torch.where(weights > 0, weights / (2 + weights * amounts), 0.0) * amounts
    scores = asked(GradCamPlusPlus(), net, at="2").scores
    torch.testing.assert_close(scores, expected.view(1, 6, 1, 1).expand(2, 6, 4, 4), rtol=0, atol=1e-14)


def test_channels_that_lower_the_score_have_no_weight():
    net = averaged()
    scores = asked(GradCamPlusPlus(), net, at="2").scores
    lowering = net[5].weight[1] < 0
    assert bool(lowering.any())
    assert not scores[:, lowering].any()
    assert bool((asked(GradCam(), net, at="2").scores[:, lowering] != 0).any())


def test_negative_activations_that_turn_a_weight_over_are_named():
    net, pixels = one_convolution(), torch.arange(16, dtype=torch.float64).view(1, 1, 4, 4)
    net[0].bias.data = torch.tensor([-75.0, -200.0]).double()  # A = −30, −21, 6, 15 and g = 0, 0, 1, 1: 2 + gΣA = −28
    answer = asked(GradCamPlusPlus(), net, pixels, at="0")
    assert answer.notes[-1].startswith("2 of 2 weights have a denominator that is not positive")
    assert answer.scores[0, 0].flatten().tolist() == pytest.approx([a * -2 / 28 for a in (-30, -21, 6, 15)])
    assert len(asked(GradCamPlusPlus(), net, pixels, at="1").notes) == 1


def test_tiny_gradients_do_not_become_nan():
    net = averaged()
    net[5].weight.data *= 1e-200
    assert bool(asked(GradCamPlusPlus(), net).scores.isfinite().all())
