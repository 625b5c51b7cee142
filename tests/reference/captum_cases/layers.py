"""Cases of what layers hold, of Grad-CAM, and of the gradients of single units."""

import torch
from captum.testing.helpers.basic_models import (
    BasicModel_ConvNet,
    BasicModel_ConvNet_One_Conv,
    BasicModel_MultiLayer,
    BasicModel_MultiLayer_MultiInput,
)
from torch import nn

from reference.captum_cases.case import Refused, attributed, drawn, rows, seeded

HUNDRED, SIX = rows([0.0, 100.0, 0.0]), rows([0.0, 6.0, 0.0])
CONV, PLAIN, MULTI = BasicModel_ConvNet_One_Conv, BasicModel_MultiLayer, BasicModel_MultiLayer_MultiInput
SQUARE, ONES = torch.arange(16.0).view(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
TENS = (rows([0.0, 10.0, 0.0]), rows([0.0, 10.0, 0.0]), rows([0.0, 5.0, 0.0]))
BESIDE = (rows([0.0, 10.0, 1.0]), rows([0.0, 4.0, 5.0]))
ZEROS = torch.zeros(1, 3)


def in_place():
    """The model of several layers whose activation overwrites its input."""
    return PLAIN(inplace=True)


def two_tensors():
    """The model with a layer of two tensors."""
    return PLAIN(multi_input_module=True)


def maps(*values):
    """A picture of one channel with these rows."""
    return torch.tensor(values, dtype=torch.float32)[None, None]


def _activations():
    name, before = "LayerActivation", {"attribute_to_layer_input": True}
    for title, model, inputs, layer, expected, more in (
        ("an identity", PLAIN, HUNDRED, "linear0", HUNDRED, {}),
        ("a linear map", PLAIN, HUNDRED, "linear1", rows([90.0, 101.0, 101.0, 101.0]), {}),
        ("a rectifier", PLAIN, rows([3.0, 4.0, 0.0]), "relu", rows([0.0, 8.0, 8.0, 8.0]), {}),
        ("the output", PLAIN, HUNDRED, "linear2", rows([392.0, 394.0]), {}),
        (
            "what a rectifier in place takes",
            in_place,
            rows([2.0, -5.0, 4.0]),
            "relu",
            rows([-9.0, 2.0, 2.0, 2.0]),
            before,
        ),
        (
            "a linear map before a rectifier in place",
            in_place,
            rows([2.0, -5.0, 4.0]),
            "linear1",
            rows([-9.0, 2.0, 2.0, 2.0]),
            {},
        ),
        ("a layer of two tensors", two_tensors, SIX, "multi_relu", (rows([0.0, 7.0, 7.0, 7.0]),) * 2, {}),
        (
            "what a layer of two tensors takes",
            two_tensors,
            SIX,
            "multi_relu",
            (rows([-4.0, 7.0, 7.0, 7.0]),) * 2,
            before,
        ),
        (
            "three inputs",
            MULTI,
            TENS,
            "model.linear2",
            rows([392.0, 394.0]),
            {"additional_forward_args": (4,)},
        ),
        (
            "two inputs, another beside them",
            MULTI,
            BESIDE,
            "model.relu",
            rows([90.0, 101.0, 101.0, 101.0]),
            {"additional_forward_args": (ZEROS, 5)},
        ),
    ):
        yield attributed(name, title, model, inputs, layer=layer, expected=expected, tolerance=0.01, **more)
    sequence = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)))
    yield attributed(name, "a convolution before a rectifier in place", sequence, drawn(1, 3, 5, 5), layer="0")


def _grad_cam():
    name, asked = "LayerGradCam", {"target": 0, "tolerance": 0.01}
    frozen = lambda: CONV().requires_grad_(False)  # noqa: E731
    convolved = maps([11.25, 13.5], [20.25, 22.5])
    for title, model, inputs, layer, expected, more in (
        ("no convolution", PLAIN, HUNDRED, "linear0", rows([400.0]), {}),
        ("a layer of two tensors", two_tensors, SIX, "multi_relu", (rows([21.0]), rows([21.0])), {}),
        ("a convolution", CONV, SQUARE, "conv1", convolved, {}),
        ("a convolution without gradients of its own", frozen, SQUARE, "conv1", convolved, {}),
        ("a rectifier", CONV, SQUARE, "relu1", maps([0.0, 4.0], [28.0, 32.5]), {}),
        ("two pictures that are added", CONV, (SQUARE, ONES), "conv1", maps([14.5, 19.0], [32.5, 37.0]), {}),
        ("each channel by itself", CONV, SQUARE, "conv1", None, {"attr_dim_summation": False}),
    ):
        yield attributed(name, title, model, inputs, layer=layer, expected=expected, **asked, **more)
    dark = SQUARE.clone()
    dark[0, 0, 1, 1] = -4.0
    for cut in (False, True):
        expected = 0.5625 * (dark.clamp(min=0) if cut else dark)
        yield attributed(
            name,
            "what a convolution takes" + (", cut off below zero" if cut else ""),
            CONV,
            dark,
            layer="conv1",
            attribute_to_layer_input=True,
            relu_attributions=cut,
            expected=expected,
            **asked,
        )
    yield attributed(
        name,
        "options of torch.autograd",
        CONV,
        SQUARE,
        layer="conv1",
        target=0,
        grad_kwargs={"materialize_grads": True},
        differs="no gradient options",
        ours=Refused("grad_kwargs is not supported"),
    )


def _guided():
    name, pair = "GuidedGradCam", (SQUARE, ONES)
    both = maps(
        [14.5, 29.0, 38.0, 19.0], [29.0, 58.0, 76.0, 38.0], [65.0, 130.0, 148.0, 74.0], [32.5, 65.0, 74.0, 37.0]
    )
    one = maps([0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 12.0, 8.0], [28.0, 84.0, 97.5, 65.0], [28.0, 56.0, 65.0, 32.5])
    asked = {"target": 0, "tolerance": 0.01}
    inplace = lambda: CONV(inplace=True)  # noqa: E731
    yield attributed(name, "one picture", CONV, SQUARE, layer="relu1", expected=one, **asked)
    yield attributed(name, "two pictures that are added", CONV, pair, layer="conv1", expected=(both, both), **asked)
    yield attributed(
        name, "two pictures, rectified in place", inplace, pair, layer="conv1", expected=(both, both), **asked
    )
    yield attributed(
        name,
        "what a rectifier in place takes",
        inplace,
        pair,
        layer="relu1",
        attribute_to_layer_input=True,
        expected=(both, both),
        **asked,
    )
    yield attributed(
        name, "enlarged linearly", CONV, SQUARE, layer="conv1", interpolate_mode="bilinear", target=0, tolerance=1e-3
    )
    yield attributed(
        name,
        "an input without rows and columns",
        CONV,
        (SQUARE, torch.ones(1)),
        layer="conv1",
        target=0,
        differs="unfit maps",
        ours=Refused("cannot be made as large"),
    )
    yield attributed(
        name,
        "a way to enlarge that does not exist",
        CONV,
        pair,
        layer="conv1",
        target=0,
        interpolate_mode="triilinear",
        differs="unfit maps",
        ours=Refused("interpolate_mode"),
    )


def _neurons():
    name, five = "NeuronGradient", rows([0.0, 5.0, 4.0])
    ones, before = rows([1.0, 1.0, 1.0]), {"attribute_to_neuron_input": True}
    hundreds = (HUNDRED, HUNDRED, HUNDRED)
    for title, model, inputs, layer, unit, expected, more in (
        ("the output", PLAIN, HUNDRED, "linear2", (0,), 4 * ones, {}),
        ("a linear map", PLAIN, HUNDRED, "linear1", (0,), ones, {}),
        ("what a rectifier in place takes", in_place, five, "relu", (0,), ones, before),
        ("a linear map before a rectifier in place", in_place, five, "linear1", (0,), ones, {}),
        ("a rectifier that is closed", PLAIN, five, "relu", 0, 0 * ones, {}),
        ("a rectifier that is open", PLAIN, five, "relu", 1, ones, {}),
        (
            "three inputs",
            MULTI,
            hundreds,
            "model.linear2",
            (0,),
            (12 * ones,) * 3,
            {"additional_forward_args": (3,)},
        ),
        (
            "two inputs, another beside them",
            MULTI,
            hundreds[:2],
            "model.linear1",
            (0,),
            (5 * ones,) * 2,
            {"additional_forward_args": (HUNDRED, 5)},
        ),
        ("a slice of units", PLAIN, HUNDRED, "linear1", (slice(0, 3),), None, {}),
        ("a function of a layer", PLAIN, HUNDRED, "linear1", lambda layer: layer.sum(1), None, {}),
        ("a batch", PLAIN, drawn(4, 3), "relu", 3, None, {}),
    ):
        yield attributed(name, title, model, inputs, layer=layer, neuron_selector=unit, expected=expected, **more)
    pictures = drawn(2, 1, 10, 10)
    for number in range(3):
        asked = {"layer": "softmax", "neuron_selector": (number,)}
        yield attributed(name, f"class {number}", seeded(BasicModel_ConvNet), pictures, **asked)
        asked = {"layer": "relu2", "neuron_selector": (number, 0, 0)}
        yield attributed(name, f"channel {number}", seeded(BasicModel_ConvNet), pictures, **asked)
    yield attributed(
        name,
        "a unit of a convolution",
        seeded(BasicModel_ConvNet),
        100 * pictures,
        layer="conv2",
        neuron_selector=(0, 1, 0),
    )
    yield attributed(
        name,
        "a unit that does not exist",
        PLAIN,
        HUNDRED,
        layer="linear1",
        neuron_selector=(9999,),
        differs="refused sooner",
        ours=Refused("outside the layer"),
    )


CASES = (*_activations(), *_grad_cam(), *_guided(), *_neurons())
