"""Captum's call shapes on our engine: closed forms, several inputs, what is refused, and nothing left behind."""

import sys

import pytest
import torch
from torch import nn

from pellucid.compat import captum as compat
from pellucid.core.errors import NotAnswerable, PellucidError, UsageError

NAMES = (
    "Saliency, InputXGradient, IntegratedGradients, DeepLift, GradientShap, LRP, Occlusion, FeatureAblation, KernelShap, "
    "Lime, ShapleyValueSampling, GuidedBackprop, Deconvolution, GuidedGradCam, LayerGradCam, LayerActivation, "
    "LayerIntegratedGradients, LayerConductance, NeuronGradient, NoiseTunnel, infidelity, sensitivity_max"
).split(", ")
WEIGHTS = torch.tensor([[2.0, -1.0, 0.5], [1.0, 3.0, -2.0]], dtype=torch.float64)


class Two(nn.Module):
    """W x of three numbers, plus the sum of a second input times an argument."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2, bias=False).double()
        self.linear.weight.data = WEIGHTS.clone()

    def forward(self, first, second=None, factor=1):
        scores = self.linear(first)
        return scores if second is None else scores + factor * second.flatten(1).sum(1, keepdim=True)


FIRST = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 4.0]], dtype=torch.float64)
SECOND = torch.arange(8, dtype=torch.float64).view(2, 2, 2)


def test_the_names_are_captums():
    assert sorted(compat.__all__) == sorted(NAMES)


def test_captum_is_not_needed():
    assert not [name for name in vars(compat).values() if getattr(name, "__module__", "").startswith("captum")]
    assert "captum" not in sys.modules or sys.modules["captum"] is not compat


COMPLETE = (
    "InputXGradient",
    "IntegratedGradients",
    "DeepLift",
    "LRP",
    "FeatureAblation",
    "ShapleyValueSampling",
    "KernelShap",
)


@pytest.mark.parametrize("name", COMPLETE)
def test_of_a_linear_model_scores_are_weight_times_input_whatever_the_method(name):
    scores = getattr(compat, name)(Two()).attribute(FIRST, target=[0, 1])
    torch.testing.assert_close(scores, WEIGHTS * FIRST, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", COMPLETE)
def test_several_inputs_come_back_as_a_tuple_of_their_shapes(name):
    scores = getattr(compat, name)(Two()).attribute((FIRST, SECOND), target=1, additional_forward_args=3)
    assert isinstance(scores, tuple)
    torch.testing.assert_close(scores[0], WEIGHTS[1] * FIRST, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(scores[1], 3 * SECOND, rtol=1e-6, atol=1e-7)
