"""The full gradient: what the score is worth to the input and to every bias of a network, layer by layer."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from pellucid.core.subject import Inputs, Subject
from pellucid.engine.gradients import differentiated, recorded, settled
from pellucid.engine.targets import Target

# Modules that are no linear map of their one input: they add to its multiple by their derivative.
_SHIFTING = (
    *(_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm),
    *(nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LogSigmoid, nn.Mish),
    *(nn.SELU, nn.Sigmoid, nn.SiLU, nn.Softmax, nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink),
    *(nn.LogSoftmax, nn.Softmin, nn.Threshold),
)


@dataclass(frozen=True)
class FullGradient:
    """Of some examples: the explained quantity ``[batch]``, point and gradient, and the terms of every bias.

    ``biases`` holds, call by call, what the bias of each unit contributes, in the shape of the layer's output. In a
    network that is linear piece by piece, point times gradient and all terms add up to the explained quantity.
    """

    values: Tensor
    point: Tensor
    gradient: Tensor
    biases: tuple[Tensor, ...]


def full_gradients(subject: Subject, inputs: Inputs, target: Target, at: str) -> Iterator[FullGradient]:
    """The full gradient from the point on, batch by batch.

    A linear or convolution module has the bias that is its parameter. A norm, an activation or a softmax has an implicit
    one: what is left of its output when its derivative times its input is taken away (srinivas2019full). Functions,
    attention and recurrent layers are not modules of this kind; what these add shows in no term.
    """
    size = max(1, subject.batch_size(inputs) // 2)
    for start in range(0, len(inputs), size):
        part = slice(start, start + size)
        yield _one_batch(subject, inputs.rows(part), target.rows(part), at)


def placed(terms: Tensor, extent: tuple[int, ...]) -> Tensor:
    """Maps ``[…, units along each axis]`` shared out over the positions of ``extent``: each unit gives all that it has.

    A unit gives to each position in the proportions of linear interpolation between the centres of positions.
    """
    first = terms.ndim - len(extent)
    for axis, size in enumerate(extent, first):
        if terms.shape[axis] != size:
            terms = torch.tensordot(terms, _shares(terms.shape[axis], size).to(terms), ([axis], [0])).movedim(-1, axis)
    return terms


def _shares(units: int, positions: int) -> Tensor:
    if units > positions:
        return functional.interpolate(torch.eye(positions)[None], units, mode="linear", align_corners=False)[0].T
    reach = functional.interpolate(torch.eye(units)[None], positions, mode="linear", align_corners=False)[0]
    return reach / reach.sum(1, keepdim=True)


@dataclass(frozen=True)
class _Call:
    module: nn.Module
    given: Tensor | None
    output: Tensor


def _one_batch(subject: Subject, inputs: Inputs, target: Target, at: str) -> FullGradient:
    assert subject.module is not None
    with _watching(subject.module) as calls:
        values, point = recorded(subject, inputs, target, at)
    watched = [*(call.output for call in calls), *(call.given for call in calls if call.given is not None)]
    at_point, others = differentiated(subject, values, at, point, *watched)
    gradient = dict(zip(map(id, watched), others, strict=True))
    biases = tuple(settled(terms) for call in calls if (terms := _terms(call, gradient)) is not None)
    return FullGradient(settled(values), settled(point), settled(at_point), biases)


def _terms(call: _Call, gradient: Mapping[int, Tensor | None]) -> Tensor | None:
    outward = gradient[id(call.output)]
    if outward is None:
        return None
    if call.given is not None:
        inward = gradient[id(call.given)]
        return outward * call.output - (0 if inward is None else inward * call.given)
    bias = _bias(call.module)
    assert bias is not None
    return outward * (bias if isinstance(call.module, nn.Linear) else bias.view(-1, *[1] * (outward.ndim - 2)))


def _bias(module: nn.Module) -> Tensor | None:
    """What a module adds to a linear map of its input, one number per channel; None where that is not a constant."""
    if isinstance(module, nn.Linear | _ConvNd):
        return module.bias
    if not isinstance(module, _BatchNorm) or module.running_mean is None or module.running_var is None:
        return None
    scale = (module.running_var + module.eps).rsqrt()
    shift = -module.running_mean * (scale if module.weight is None else scale * module.weight)
    return shift if module.bias is None else shift + module.bias


@contextlib.contextmanager
def _watching(module: nn.Module) -> Iterator[list[_Call]]:
    """Notes every call of a module that adds something. What runs on are copies, so that nothing noted is overwritten."""
    calls: list[_Call] = []
    entered: list[Tensor | None] = []

    def before(child: nn.Module, given: tuple[Any, ...]) -> Any:
        follows = bool(given) and isinstance(given[0], Tensor) and given[0].requires_grad
        entry = given[0].clone() if follows else None
        entered.append(entry)
        if entry is None:
            return None
        return (entry.clone() if getattr(child, "inplace", False) else entry, *given[1:])

    def after(child: nn.Module, given: Any, output: Tensor) -> Tensor | None:
        constant = _bias(child) is not None
        entry = None if constant else entered.pop()
        if not output.requires_grad or (entry is None and not constant):
            return None
        calls.append(_Call(child, entry, output))
        return output.clone()

    handles = []
    for child in module.modules():
        if _bias(child) is not None:
            handles.append(child.register_forward_hook(after))
        elif isinstance(child, _SHIFTING):
            handles += [child.register_forward_pre_hook(before), child.register_forward_hook(after)]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
