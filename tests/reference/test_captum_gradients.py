"""Gradients, input × gradient and integrated gradients agree with Captum at the input and at layers."""

import captum.attr
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.methods import Gradient, InputXGradient, IntegratedGradients

pytestmark = pytest.mark.reference


def network(activation=nn.ReLU):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2),
            activation(),
            nn.Conv2d(8, 8, 3),
            activation(),
            nn.Flatten(),
            nn.Linear(200, 4),
        )
    return layers.double().eval()


def pictures(number=2):
    draws = torch.Generator().manual_seed(1)
    return torch.randn(number, 3, 15, 15, generator=draws, dtype=torch.float64).requires_grad_()  # or Captum warns


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU])
def test_gradients_and_saliency_maps_are_equal(activation):
    net, decision = network(activation), pl.Decision(pictures(), target=2)
    subject, captum_net = pl.wrap(net), captum.attr.Saliency(net)
    for values, absolute in (("signed", False), ("absolute", True)):
        theirs = captum_net.attribute(pictures(), target=2, abs=absolute)
        assert torch.allclose(Gradient(values=values)(subject, decision).scores, theirs, atol=1e-12)


def test_input_x_gradient_is_equal_at_the_input_and_at_a_layer():
    net = network()
    subject = pl.wrap(net)
    theirs = captum.attr.InputXGradient(net).attribute(pictures(), target=2).detach()
    assert torch.allclose(InputXGradient()(subject, pl.Decision(pictures(), target=2)).scores, theirs, atol=1e-12)
    theirs = captum.attr.LayerGradientXActivation(net, net[1]).attribute(pictures(), target=2).detach()
    ours = InputXGradient()(subject, pl.Decision(pictures(), target=2, at="1")).scores
    assert torch.allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_integrated_gradients_of_a_smooth_network_are_equal(baseline):
    net = network(nn.GELU)
    answer = IntegratedGradients(tolerance=1e-8, baseline=baseline)(pl.wrap(net), pl.Decision(pictures(), target=2))
    peer = captum.attr.IntegratedGradients(net)
    theirs = peer.attribute(pictures(), baselines=baseline, target=2, n_steps=60).detach()
    assert bool(answer.converged.all())
    assert torch.allclose(answer.scores, theirs, atol=1e-7 * float(theirs.abs().max()))


def test_integrated_gradients_of_a_kinked_network_agree_within_the_tolerance():
    net, tolerance = network(), 1e-3
    answer = IntegratedGradients(tolerance=tolerance, max_steps=2000)(
        pl.wrap(net), pl.Decision(pictures(), target=2, foil=0)
    )
    difference = lambda points: (net(points)[:, 2] - net(points)[:, 0])[:, None]  # noqa: E731
    theirs = captum.attr.IntegratedGradients(difference).attribute(
        pictures(), target=0, n_steps=2000, internal_batch_size=500
    )
    rise = (answer.value - answer.quality["baseline"]).abs()
    assert bool(answer.converged.all())
    worst = (answer.scores - theirs.detach()).flatten(1).abs().amax(1)
    assert bool((worst <= 3 * tolerance * rise).all())


def test_integrated_gradients_at_a_layer_agree():
    net = network(nn.GELU)
    answer = IntegratedGradients(tolerance=1e-8)(pl.wrap(net), pl.Decision(pictures(), target=2, at="1"))
    theirs = captum.attr.LayerIntegratedGradients(net, net[1]).attribute(pictures(), target=2, n_steps=60).detach()
    assert torch.allclose(answer.scores, theirs, atol=1e-7 * float(theirs.abs().max()))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU])
def test_integrated_gradients_take_fewer_passes_for_the_same_completeness(activation):
    net, inputs = network(activation), pictures(6)
    answer = IntegratedGradients()(pl.wrap(net), pl.Decision(inputs, target=2))
    rise = answer.value - answer.quality["baseline"]
    tried = (25, 50, 100, 200, 400)
    peer, needed = captum.attr.IntegratedGradients(net), []
    for row in range(len(inputs)):
        part = inputs[row : row + 1]
        sums = [float(peer.attribute(part, target=2, n_steps=steps).detach().sum()) for steps in tried]
        fails = [steps for steps, found in zip(tried, sums, strict=True) if abs(found / float(rise[row]) - 1) > 1e-2]
        needed.append(25 if not fails else 2 * fails[-1])
    assert bool(answer.converged.all())
    assert torch.tensor(needed).log().mean() > answer.quality["steps"].log().mean()
