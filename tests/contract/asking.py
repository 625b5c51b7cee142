"""How the contract tests ask: every method with quick settings, every subject with a question that fits."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from contract.cases import CASES
from pellucid.core.content import digest
from pellucid.core.method import METHODS, discover, query_type

# Fields that make a method quick enough to be asked often; a subject's own entry wins over the method's.
QUICK: dict[str, dict[str, Any]] = {
    "lime": {"samples": 40},
    "integrated-gradients": {"max_steps": 64},
    "integrated-gradients efficientnet-lite0": {"tolerance": 0.1, "max_steps": 32},
    "occlusion efficientnet-lite0": {"window": 112, "stride": 56},
    "smoothgrad": {"samples": 3},
    "expected-gradients": {"samples": 6},
    "score-cam efficientnet-lite0": {"channels": 4},
    "pathway": {"budget": 60, "draws": 8, "links": 2},
    "pathway efficientnet-lite0": {"budget": 8, "draws": 2, "links": 1},
    "pathway minilm-sentiment": {"budget": 20, "draws": 2, "links": 1},
    "region-perturbation": {"region": 2, "steps": 4, "draws": 2},
    "region-perturbation efficientnet-lite0": {"region": 50},
}


# Layers with units that can be asked about, where a case names no layer.
UNITS = {
    "digits-cnn": "convolution2",
    "minilm-sentiment": "encoder.encoder.layer.3",
    "char-lstm": "lstm",
    "diabetes-mlp": "layers.0",
}


# What a method finds it cannot follow only when it walks through the network, and what it says then.
REFUSED = {
    ("deconvnet", "char-lstm"): "no rectifier",
    ("guided-backprop", "char-lstm"): "no rectifier",
    ("pathway", "char-lstm"): "no layer",
    ("relevance-maximization", "char-lstm"): "returns no tensor of channels",
    ("deep-taylor", "minilm-sentiment"): "not aten.native_layer_norm",
    ("deep-taylor", "char-lstm"): "both depend on the input",
    ("excitation-backprop", "minilm-sentiment"): "not aten.native_layer_norm",
    ("excitation-backprop", "char-lstm"): "both depend on the input",
}


# These read the maps of a convolution, unless a layer of tokens is named.
REFUSED |= {
    (method, case): "no convolution of"
    for method, cls in discover().items()
    if cls.__module__.startswith("pellucid.methods.class_activation.") and method != "full-grad"
    for case in ("minilm-sentiment", "char-lstm", "double-mlp", "reused-relu")
}


# Relevance divides by pre-activations: where one is as small as the stabiliser, the last bit of single precision shows.
ROUGH = {("lrp", "minilm-sentiment"): 1e-3, ("clear", "minilm-sentiment"): 1e-3}


def tolerance(method: str, case: str) -> float:
    """How far answers may differ, relative to their largest number, between batches that hold the same example."""
    return ROUGH.get((method, case), CASES[case].tolerance)


def ids() -> list[str]:
    """Every registered method of the product."""
    return sorted(name for name, cls in discover().items() if cls.__module__.startswith("pellucid."))


def quick(method: str, case: str) -> Any:
    """A method with settings that keep one call on a small subject within a fraction of a second."""
    return METHODS[method](**(QUICK.get(method, {}) | QUICK.get(f"{method} {case}", {})))


def fits(method: str, name: str) -> bool:
    """Whether a method can be asked of the subject of a case."""
    spec, case = METHODS[method].spec, CASES[name]
    present = spec.access <= case.offers and spec.structure <= case.structure
    return present and case.modality in spec.modalities and (method, name) not in REFUSED


def pairs(*, fitting: bool) -> list[tuple[str, str]]:
    """Every (method, case) that can be asked, or every one that must be refused."""
    return [(method, case) for method in ids() for case in CASES if fits(method, case) is fitting]


def claiming(claim: str) -> list[Any]:
    """Every (method, case) that can be asked, of methods that claim this property."""
    found = [(method, case) for method, case in pairs(fitting=True) if claim in METHODS[method].spec.properties]
    return [pytest.param(method, case, id=f"{method}-{case}") for method, case in found]


def question(method: str, subject: pl.Subject, inputs: Any, **asked: Any) -> Any:
    """A query of the kind that the method answers, about these inputs; a metric judges an occlusion map."""
    decision = pl.Decision(inputs, **({"target": 0} | asked))
    expected = query_type(METHODS[method])
    if expected is pl.Decision:
        return decision
    if expected is pl.Unit:
        return pl.Unit(asked.get("at", unit_layer(subject.name)), 0, asked.get("target", 0), inputs)
    if expected is pl.Judgement:
        return pl.Judgement([quick("occlusion", subject.name)(subject, decision)])
    if expected is pl.Population:
        return pl.Population(inputs, target=asked.get("target", 0), of=asked.get("of", "score"))
    raise NotImplementedError(f"the contract tests cannot ask a {expected.__name__} yet: teach question() to")


def unit_layer(case: str) -> str:
    """A layer of a case's subject that has units to ask about."""
    return UNITS.get(case) or (CASES[case].layer if case in CASES else None) or "layer"


def contradictions(method: str) -> list[dict[str, Any]]:
    """What makes a question of the kind that a method answers impossible."""
    found: list[dict[str, Any]] = [{"target": "no such label"}, {"target": 10**6}, {"at": "no.such.layer"}]
    return found if query_type(METHODS[method]) is pl.Unit else [*found, {"target": 0, "foil": 0}]


def numbers(result: Any) -> dict[str, torch.Tensor]:
    """Every tensor of a result that must not depend on when or beside what it was computed, by field."""
    return {name: value for name, value in vars(result).items() if isinstance(value, torch.Tensor)}


def per_example(result: Any) -> list[torch.Tensor]:
    """What a result says of each example: its scores without padding, its metric, or its route."""
    if isinstance(result, pl.Evaluation):
        return list(result.per_example.T)
    if isinstance(result, pl.UnitReport):
        return list(torch.stack(list(result.measures.values()), 1))
    if isinstance(result, pl.Route):
        return list(torch.cat([*(layer.relevance for layer in result.layers), result.value, result.control], 1))
    found = elements(result)
    masks = [None] * len(found) if result.mask is None else list(result.mask)
    return [
        scores if mask is None or mask.ndim > scores.ndim else scores[mask]
        for scores, mask in zip(found, masks, strict=True)
    ]


def elements(result: Any) -> torch.Tensor:
    """What a result says of each element of the point, ``[batch, …point]``, several numbers behind these axes."""
    return result.responses.movedim(1, -1) if isinstance(result, pl.ClassResponse) else result.scores


def magnitude(result: Any) -> float:
    """The size of the numbers that a metric's differences come from: rounding is relative to these, not to them."""
    return float(result.curve.abs().max()) if isinstance(result, pl.Evaluation) and result.curve is not None else 0.0


def state(subject: pl.Subject) -> dict[str, Any]:
    """Everything a method could leave behind on a subject or in the process, as values that can be compared."""
    module = subject.module
    return {
        "random": (torch.get_rng_state().sum().item(), str(np.random.get_state()[1][:9])),
        "defaults": (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()),
        "modes": (torch._C._len_torch_dispatch_stack(), torch._C._len_torch_function_stack()),
        "global hooks": [len(getattr(nn.modules.module, name)) for name in _GLOBAL_HOOKS],
        "modules": {} if module is None else {name: _module_state(child) for name, child in module.named_modules()},
        "tensors": {} if module is None else {name: _tensor_state(tensor) for name, tensor in _tensors(module)},
    }


_GLOBAL_HOOKS = sorted(
    name for name in vars(nn.modules.module) if name.startswith("_global_") and name.endswith("_hooks")
)


def _module_state(module: nn.Module) -> tuple[Any, ...]:
    hooks = {
        name: len(value) for name, value in vars(module).items() if name.endswith(("_hooks", "_hooks_with_kwargs"))
    }
    return type(module), module.training, hooks, sorted(vars(module)), str(vars(module).get("forward"))


def _tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _tensor_state(tensor: torch.Tensor) -> tuple[Any, ...]:
    hooks = tensor._backward_hooks if tensor.is_leaf else None
    return id(tensor), digest(tensor), tensor.dtype, tensor.requires_grad, tensor.grad is None, bool(hooks)
