"""SmoothGrad equals Captum's noise tunnel on the same noise, expected gradients equal its GradientShap in expectation."""

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.seeds import generator
from pellucid.methods import ExpectedGradients, Gradient, InputXGradient, IntegratedGradients, SmoothGrad

pytestmark = pytest.mark.reference

SAMPLES, SPREAD = 6, 0.15


def network(activation=nn.ReLU):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(3, 6, 3), activation(), nn.Flatten(), nn.Linear(216, 4))
    return layers.double().eval()


def pictures(number=2, seed=1):
    return torch.randn(number, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def same_noise(monkeypatch):
    """Captum draws what ours draws for these pictures, whatever its own generator says."""

    def share(inputs):
        drawn = []
        for picture in inputs:
            source = generator(0, "smoothgrad", picture)
            drawn += [torch.randn(picture.shape, generator=source, dtype=picture.dtype) for _ in range(SAMPLES)]
        noise = torch.stack(drawn)
        monkeypatch.setattr(torch, "normal", lambda mean, deviations: mean + deviations * noise)

    return share


@pytest.mark.parametrize(
    ("kind", "theirs"), [("mean", "smoothgrad"), ("squared", "smoothgrad_sq"), ("variance", "vargrad")]
)
@pytest.mark.parametrize(
    ("inner", "peer", "options"),
    [
        (Gradient(values="absolute"), captum.attr.Saliency, {}),
        (Gradient(), captum.attr.Saliency, {"abs": False}),
        (InputXGradient(), captum.attr.InputXGradient, {}),
        (IntegratedGradients(tolerance=1e-9), captum.attr.IntegratedGradients, {"n_steps": 60, "baselines": 0.0}),
    ],
    ids=["saliency", "gradient", "input-x-gradient", "integrated-gradients"],
)
def test_on_the_same_noise_scores_are_equal(same_noise, kind, theirs, inner, peer, options):
    net, inputs = network(nn.GELU), pictures()
    widths = SPREAD * (inputs.flatten(1).amax(1) - inputs.flatten(1).amin(1))
    ours = SmoothGrad(inner=inner, samples=SAMPLES, spread=SPREAD, kind=kind)(
        pl.wrap(net), pl.Decision(inputs, target=2)
    )
    # Captum's deviation is one number for all examples.
    for row, width in enumerate(widths.tolist()):
        own = inputs[row : row + 1]
        same_noise(own)
        expected = captum.attr.NoiseTunnel(peer(net)).attribute(
            own.clone().requires_grad_(), nt_type=theirs, nt_samples=SAMPLES, stdevs=width, target=2, **options
        )
        # Captum divides variances by the number of samples, ours are without bias; its deviation is in single precision.
        factor = SAMPLES / (SAMPLES - 1) if kind == "variance" else 1
        scale = float(expected.abs().max())
        torch.testing.assert_close(
            ours.scores[row], factor * expected[0].detach(), rtol=0, atol=1e-6 * max(scale, 1e-3)
        )


def test_expected_gradients_lie_within_the_error_of_gradient_shap():
    net, inputs, reference = network(), pictures(), pictures(5, seed=2)
    ours = ExpectedGradients(samples=3000, reference=reference)(pl.wrap(net), pl.Decision(inputs, target=1))
    peer, runs = captum.attr.GradientShap(net), []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        np.random.seed(0)
        for _ in range(30):
            given = inputs.clone().requires_grad_()
            runs.append(peer.attribute(given, reference, n_samples=200, stdevs=0.0, target=1).detach())
    found = torch.stack(runs)
    error = found.std(0) / 30**0.5
    apart = (ours.scores - found.mean(0)) / error.clamp(min=1e-12)
    # Of standard normal numbers; ours adds an error of its own, much smaller.
    assert float(apart.square().mean()) == pytest.approx(1.0, abs=0.25)
    assert float(apart.abs().max()) <= 5


def test_the_same_number_of_gradients_come_nearer_to_the_truth_than_gradient_shap():
    net, inputs, reference = network(), pictures(1), pictures(5, seed=2)
    decision = pl.Decision(inputs, target=1)
    truth = ExpectedGradients(samples=20_000, reference=reference)(pl.wrap(net), decision).scores
    ours = [ExpectedGradients(samples=50, reference=reference, seed=seed)(pl.wrap(net), decision) for seed in range(10)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        np.random.seed(0)
        peer, given = captum.attr.GradientShap(net), inputs.clone().requires_grad_()
        theirs = [peer.attribute(given, reference, n_samples=50, stdevs=0.0, target=1).detach() for _ in range(10)]
    errors = [
        float(torch.stack([(scores - truth).norm() for scores in found]).square().mean().sqrt())
        for found in ([answer.scores for answer in ours], theirs)
    ]
    assert errors[0] <= errors[1] / 3
