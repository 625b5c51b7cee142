"""Captum's names and call shapes on Pellucid's engine: ``from pellucid.compat.captum import IntegratedGradients``.

Constructors, arguments and what is returned are captum's, and what they mean is theirs too unless the page *Coming from
captum* says otherwise; what cannot be honoured is refused, never ignored. How much goes through a model at once is the byte
budget's business: ``internal_batch_size``, ``perturbations_per_eval`` and their like change nothing. Models run in eval mode
and come back as they were. Captum itself is not needed.
"""

from pellucid.compat.captum.backward_rules import LRP, Deconvolution, DeepLift, GuidedBackprop
from pellucid.compat.captum.gradients import InputXGradient, Saliency
from pellucid.compat.captum.integrated_gradients import IntegratedGradients, LayerConductance, LayerIntegratedGradients
from pellucid.compat.captum.layers import GuidedGradCam, LayerActivation, LayerGradCam, NeuronGradient
from pellucid.compat.captum.metrics import infidelity, sensitivity_max
from pellucid.compat.captum.noise import GradientShap, NoiseTunnel
from pellucid.compat.captum.occlusion import Occlusion
from pellucid.compat.captum.perturbation import FeatureAblation, KernelShap, Lime, ShapleyValueSampling

__all__ = [
    "LRP",
    "Deconvolution",
    "DeepLift",
    "FeatureAblation",
    "GradientShap",
    "GuidedBackprop",
    "GuidedGradCam",
    "InputXGradient",
    "IntegratedGradients",
    "KernelShap",
    "LayerActivation",
    "LayerConductance",
    "LayerGradCam",
    "LayerIntegratedGradients",
    "Lime",
    "NeuronGradient",
    "NoiseTunnel",
    "Occlusion",
    "Saliency",
    "ShapleyValueSampling",
    "infidelity",
    "sensitivity_max",
]
