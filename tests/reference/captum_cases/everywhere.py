"""Cases that captum asks of many attributions alike: kinds of targets, several inputs, baselines, arguments beside them."""

import torch
from captum.testing.helpers.basic_models import (
    BasicModel_ConvNet,
    BasicModel_MultiLayer,
    BasicModel_MultiLayer_MultiInput,
    ReLULinearModel,
)

from reference.captum_cases.case import attributed, drawn, exact_shapley, seeded

GRADIENTS = ("Saliency", "InputXGradient", "IntegratedGradients", "DeepLift", "GuidedBackprop", "Deconvolution")
EXACT = ("FeatureAblation", "ShapleyValueSampling", "KernelShap")
LAYERS = ("LayerConductance", "LayerIntegratedGradients", "LayerGradCam")

_TUPLES = [(1, 0, 0), (0, 1, 1), (1, 1, 1), (0, 0, 0)]
_TWO = (drawn(6, 3, seed=1, scale=10), drawn(6, 3, seed=2, scale=5))
_BESIDE = (drawn(6, 3, seed=3, scale=2), 5)

# What is asked of every attribution: model, inputs, and the arguments beside them.
_ASKED = {
    "one target": (BasicModel_MultiLayer, drawn(4, 3), {"target": 1}),
    "a target per example": (BasicModel_MultiLayer, drawn(4, 3), {"target": [0, 1, 1, 0]}),
    "a tensor as target": (BasicModel_MultiLayer, drawn(4, 3), {"target": torch.tensor([0])}),
    "a tensor of targets": (BasicModel_MultiLayer, drawn(4, 3), {"target": torch.tensor([1, 1, 0, 0])}),
    "targets in outputs of four axes": (
        BasicModel_MultiLayer,
        drawn(4, 3),
        {"target": _TUPLES, "additional_forward_args": (None, True)},
    ),
    "several inputs": (
        BasicModel_MultiLayer_MultiInput,
        _TWO,
        {"target": 0, "additional_forward_args": _BESIDE},
    ),
    "several inputs, a target per example": (
        BasicModel_MultiLayer_MultiInput,
        _TWO,
        {"target": [0, 1, 1, 0, 0, 1], "additional_forward_args": _BESIDE},
    ),
}
_BASELINES = {
    "baselines, targets in outputs of four axes": (
        BasicModel_MultiLayer,
        drawn(4, 3),
        {"target": _TUPLES, "additional_forward_args": (None, True), "baselines": drawn(4, 3, seed=4, scale=0.5)},
    ),
    "baselines, a tensor as target": (
        BasicModel_MultiLayer,
        drawn(4, 3),
        {"target": torch.tensor([0]), "baselines": drawn(4, 3, seed=4, scale=0.5)},
    ),
}
_AT_LAYERS = {
    "an activation in place": (BasicModel_MultiLayer, {"inplace": True}, "relu", drawn(4, 3), {"target": 0}),
    "a layer of two tensors, random inputs": (
        BasicModel_MultiLayer,
        {"multi_input_module": True},
        "multi_relu",
        drawn(4, 3),
        {"target": 0},
    ),
    "several inputs, at random": (
        BasicModel_MultiLayer_MultiInput,
        {},
        "model.relu",
        _TWO,
        {"target": 0, "additional_forward_args": _BESIDE},
    ),
    "a target per example": (BasicModel_MultiLayer, {}, "relu", drawn(4, 3), {"target": [0, 1, 1, 0]}),
    "a tensor of targets": (BasicModel_MultiLayer, {}, "relu", drawn(4, 3), {"target": torch.tensor([0, 1, 1, 0])}),
    "targets in outputs of four axes": (
        BasicModel_MultiLayer,
        {},
        "relu",
        drawn(4, 3),
        {"target": _TUPLES, "additional_forward_args": (None, True)},
    ),
    "a convolution, random inputs": (BasicModel_ConvNet, {}, "conv2", drawn(4, 1, 10, 10, scale=100), {"target": 1}),
}
_BATCHED = ("targets in outputs of four axes", "several inputs, at random", "a layer of two tensors, random inputs")


def _of_inputs():
    for name in (*GRADIENTS, *EXACT):
        asked = {**_ASKED, **(_BASELINES if name in (*EXACT, "IntegratedGradients", "DeepLift") else {})}
        for title, (model, inputs, arguments) in asked.items():
            build = seeded(model)
            if name in ("ShapleyValueSampling", "KernelShap"):
                # Captum draws; we, and captum's other class, ask about all coalitions where these are few.
                arguments = {**arguments, "n_samples": 100}
                right = exact_shapley(build, inputs, **{k: v for k, v in arguments.items() if k != "n_samples"})
                yield attributed(name, title, build, inputs, expected=right, tolerance=1e-3, **arguments)
            else:
                yield attributed(name, title, build, inputs, tolerance=1e-3, **arguments)
    for name in GRADIENTS:
        for title, (model, inputs, arguments) in _ASKED.items():
            if title not in ("one target", "several inputs"):
                still = {"nt_samples": 5, "stdevs": 0.0}
                title = f"{name} through it without noise, {title}"
                yield attributed(name, title, seeded(model), inputs, noise=still, tolerance=1e-3, **arguments)


def _at_layers():
    for name in LAYERS:
        for title, (model, options, layer, inputs, arguments) in _AT_LAYERS.items():
            build = seeded(model, **options)
            yield attributed(name, title, build, inputs, layer=layer, tolerance=1e-2, **arguments)
            if title in _BATCHED and name != "LayerGradCam":
                titled = f"{title}, in batches"
                yield attributed(
                    name, titled, build, inputs, layer=layer, tolerance=1e-2, internal_batch_size=12, **arguments
                )


def _perturbed():
    pictures, per_eval = torch.arange(400).view(4, 1, 10, 10).float(), {"perturbations_per_eval": 8}
    windows = {"sliding_window_shapes": (1, 4, 2), "target": 0, **per_eval}
    yield attributed("Occlusion", "windows over pictures", seeded(BasicModel_ConvNet), pictures, **windows)
    yield attributed(
        "Occlusion",
        "windows over several inputs",
        seeded(ReLULinearModel),
        (drawn(4, 3), drawn(4, 3, seed=1)),
        sliding_window_shapes=((2,), (1,)),
        perturbations_per_eval=2,
    )
    yield attributed(
        "Occlusion",
        "targets in outputs of four axes",
        seeded(BasicModel_MultiLayer),
        drawn(4, 3),
        sliding_window_shapes=(2,),
        target=_TUPLES,
        additional_forward_args=(None, True),
    )
    yield attributed("FeatureAblation", "pixels", seeded(BasicModel_ConvNet), pictures, target=0, **per_eval)


CASES = (*_of_inputs(), *_at_layers(), *_perturbed())
