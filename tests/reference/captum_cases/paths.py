"""Cases of integrated gradients at the inputs and at layers, and of conductance."""

import torch
from captum.testing.helpers.basic_models import (
    BasicEmbeddingModel,
    BasicModel,
    BasicModel2,
    BasicModel3,
    BasicModel4_MultiArgs,
    BasicModel5_MultiArgs,
    BasicModel6_MultiTensor,
    BasicModel_ConvNet,
    BasicModel_MultiLayer,
    BasicModel_MultiLayer_MultiInput,
    BasicModel_MultiLayer_TrueMultiInput,
)

from reference.captum_cases.case import Case, Refused, attributed, drawn, rows, seeded

RULES = ("riemann_right", "riemann_left", "riemann_middle", "riemann_trapezoid", "gausslegendre")
ONE, OTHER = rows([1.5, 2.0, 34.3]), rows([3.0, 3.5, 23.2])
PAIR = (rows([1.5, 2.0, 34.3], [3.4, 1.2, 2.0]), rows([3.0, 3.5, 23.2], [2.3, 1.2, 0.3]))
THREE = rows([1.5, 2.0, 1.3], [0.5, 0.1, 2.3], [1.5, 2.0, 1.3])
TWO_THREE = (
    rows([1.5, 2.1, 1.9], [0.5, 0.0, 0.7], [1.5, 2.1, 1.1]),
    rows([0.3, 1.9, 2.4], [0.5, 0.6, 2.1], [1.2, 2.1, 0.2]),
)
HUNDRED = rows([0.0, 100.0, 0.0])
WORDS = torch.tensor([[2, 5, 0, 1], [3, 1, 1, 0]])
OTHER_WORDS = (torch.tensor([[0, 2, 4, 1], [2, 3, 5, 7]]), torch.tensor([[3, 5, 6, 7], [2, 3, 0, 1]]))
EMBEDDING = seeded(BasicEmbeddingModel, nested_second_embedding=True)


def _at_inputs():
    name = "IntegratedGradients"
    scalars, still = (torch.tensor([3.0]), torch.tensor([1.0])), (torch.zeros(1), torch.zeros(1))
    for model in (BasicModel2, BasicModel3):
        yield attributed(
            name,
            f"two numbers, {model.__name__}",
            model,
            scalars,
            baselines=still,
            n_steps=200,
            expected=(torch.tensor([1.5]), torch.tensor([-0.5])),
            tolerance=0.01,
        )
    for start in (1.0, 0.0, -1.0):
        yield attributed(name, f"the number {start}", BasicModel, torch.tensor([start]), baselines=torch.zeros(1))
    for method in RULES:
        asked = {"method": method, "n_steps": 60, "return_convergence_delta": True}
        yield attributed(name, f"a batch by {method}", BasicModel_MultiLayer, THREE, target=0, **asked)
        yield attributed(
            name, f"two inputs by {method}", BasicModel_MultiLayer, TWO_THREE, target=0, tolerance=1e-3, **asked
        )
        yield attributed(
            name,
            f"two inputs and a tensor beside them by {method}",
            BasicModel4_MultiArgs,
            PAIR,
            baselines=(torch.zeros(2, 3), torch.zeros(2, 3)),
            additional_forward_args=(torch.arange(1.0, 7.0).view(2, 3), 1),
            tolerance=1e-3,
            **asked,
        )
    yield attributed(
        name,
        "an argument of the batch",
        BasicModel4_MultiArgs,
        (ONE, OTHER),
        additional_forward_args=torch.arange(1.0, 4.0).view(1, 3),
        tolerance=1e-3,
    )
    yield attributed(name, "a list beside the inputs", BasicModel5_MultiArgs, PAIR, additional_forward_args=([2, 3], 1))
    yield attributed(name, "two inputs and no baselines", BasicModel6_MultiTensor, (ONE, OTHER))
    yield attributed(name, "numbers as baselines", BasicModel6_MultiTensor, (ONE, OTHER), baselines=(0, 0.5))
    yield attributed(name, "in batches", BasicModel_MultiLayer, THREE, target=0, internal_batch_size=6)
    yield attributed(
        name, "not times the inputs", BasicModel_MultiLayer, THREE, target=0, options={"multiply_by_inputs": False}
    )
    yield attributed(
        name,
        "a rule that does not exist",
        BasicModel_MultiLayer,
        THREE,
        target=0,
        method="simpson",
        differs="refused sooner",
        ours=Refused("there is no rule 'simpson'"),
    )
    for kind in ("smoothgrad", "smoothgrad_sq", "vargrad"):
        noise = {"nt_type": kind, "nt_samples": 20, "stdevs": 0.002, "n_steps": 20}
        yield attributed(
            name,
            f"{kind} of IntegratedGradients, a batch",
            BasicModel_MultiLayer,
            THREE,
            target=0,
            noise=noise,
            tolerance=0.05,
        )
        yield attributed(
            name,
            f"{kind} of IntegratedGradients, two inputs",
            BasicModel6_MultiTensor,
            (ONE, OTHER),
            noise=noise,
            tolerance=0.05,
        )


def _conductance():
    name, multi = "LayerConductance", BasicModel_MultiLayer_MultiInput
    ninety, hundreds = rows([90.0, 100.0, 100.0, 100.0]), rows([100.0, 100.0, 100.0, 100.0])
    tens = (rows([0.0, 10.0, 1.0]), rows([0.0, 4.0, 5.0]))
    for layer, expected in (
        ("linear0", rows([0.0, 390.0, 0.0])),
        ("linear1", ninety),
        ("relu", ninety),
        ("linear2", rows([390.0, 0.0])),
    ):
        asked = {"target": 0, "n_steps": 500, "expected": expected, "tolerance": 0.1, "layer": layer}
        yield attributed(name, f"at {layer}", BasicModel_MultiLayer, HUNDRED, **asked)
        yield attributed(
            name, f"at {layer}, a number as baseline", BasicModel_MultiLayer, HUNDRED, baselines=0.0, **asked
        )
    yield attributed(
        name,
        "at a layer of two tensors",
        lambda: BasicModel_MultiLayer(multi_input_module=True),
        HUNDRED,
        layer="multi_relu",
        target=0,
        n_steps=500,
        expected=(ninety, ninety),
        tolerance=0.1,
    )
    yield attributed(
        name,
        "several inputs",
        multi,
        (rows([0.0, 10.0, 0.0]), rows([0.0, 10.0, 0.0]), rows([0.0, 5.0, 0.0])),
        layer="model.linear2",
        target=0,
        n_steps=500,
        additional_forward_args=(4,),
        expected=rows([390.0, 0.0]),
        tolerance=0.1,
    )
    yield attributed(
        name,
        "an input beside others",
        multi,
        tens,
        layer="model.relu",
        target=0,
        n_steps=500,
        additional_forward_args=(torch.zeros(1, 3), 5),
        expected=ninety,
        tolerance=0.1,
    )
    batch = (torch.cat([tens[0], rows([0.0, 0.0, 10.0])]), torch.cat([tens[1], rows([0.0, 0.0, 10.0])]))
    beside = (rows([0.0, 0.0, 0.0], [0.0, 0.0, 5.0]), 5)
    asked = {"layer": "model.relu", "target": 0, "n_steps": 500, "additional_forward_args": beside}
    expected = torch.cat([ninety, hundreds])
    yield attributed(name, "a batch", multi, batch, expected=expected, tolerance=0.1, **asked)
    yield attributed(
        name,
        "options of torch.autograd",
        multi,
        batch,
        grad_kwargs={"materialize_grads": True},
        differs="no gradient options",
        ours=Refused("grad_kwargs is not supported"),
        **asked,
    )
    for layer, number in (("conv1", 1), ("pool1", 1), ("conv2", 1), ("pool2", 1), ("relu3", 4)):
        yield attributed(
            name,
            f"a network of convolutions at {layer}",
            seeded(BasicModel_ConvNet),
            drawn(number, 1, 10, 10, scale=100),
            layer=layer,
            target=3,
            n_steps=100,
            return_convergence_delta=True,
            tolerance=2e-3,
        )
    yield attributed(
        name,
        "a network of convolutions, with baselines",
        seeded(BasicModel_ConvNet),
        drawn(3, 1, 10, 10, scale=100),
        baselines=drawn(3, 1, 10, 10, seed=1, scale=100),
        layer="fc1",
        target=3,
        n_steps=100,
        tolerance=2e-3,
    )


def _at_layers():
    name = "LayerIntegratedGradients"
    beside = {"additional_forward_args": OTHER_WORDS, "layer": "embedding1", "return_convergence_delta": True}
    yield attributed(
        name, "words", EMBEDDING, WORDS, baselines=torch.zeros(1, 4, dtype=torch.long), tolerance=0.5, **beside
    )
    yield attributed(name, "words from word 0", EMBEDDING, WORDS, baselines=0, tolerance=0.5, **beside)
    yield attributed(
        name,
        "words, not times the embeddings",
        EMBEDDING,
        WORDS,
        options={"multiply_by_inputs": False},
        baselines=0,
        additional_forward_args=OTHER_WORDS,
        layer="embedding1",
        tolerance=1e-2,
    )
    fifty = rows([50.0, 50.0, 50.0])
    for before in (False, True):
        yield attributed(
            name,
            "what a layer takes" if before else "what a layer gives",
            BasicModel_MultiLayer,
            fifty,
            layer="linear2",
            target=0,
            n_steps=300,
            attribute_to_layer_input=before,
            return_convergence_delta=True,
            tolerance=1e-2,
        )
    ninety, both = rows([90.0, 100.0, 100.0, 100.0]), lambda: BasicModel_MultiLayer(multi_input_module=True)
    asked = {"layer": "multi_relu", "target": 0}
    yield attributed(name, "a layer of two tensors", both, HUNDRED, expected=(ninety, ninety), tolerance=0.2, **asked)
    yield attributed(
        name, "a layer of two tensors, not times them", both, HUNDRED, options={"multiply_by_inputs": False}, **asked
    )
    yield attributed(name, "what a layer of two tensors takes", both, HUNDRED, attribute_to_layer_input=True, **asked)
    for method in RULES:
        yield attributed(
            name,
            f"by {method}",
            BasicModel_MultiLayer,
            HUNDRED,
            layer="linear1",
            target=0,
            method=method,
            n_steps=31,
            tolerance=1e-3,
        )
    inputs = tuple(drawn(5, 3, seed=seed) for seed in range(4))
    for title, given in (("three inputs, two layers", inputs[:3]), ("four inputs, two layers", inputs)):
        yield Case(name, title, _two_layers(given), differs="one layer", ours=Refused("one module as layer"))


def _two_layers(inputs):
    def ask(names):
        network = seeded(BasicModel_MultiLayer_TrueMultiInput)()
        return names.LayerIntegratedGradients(network, [network.m1, network.m234]).attribute(inputs, target=0)

    return ask


CASES = (*_at_inputs(), *_conductance(), *_at_layers())
