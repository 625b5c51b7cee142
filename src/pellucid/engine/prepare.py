"""A private copy of a network that answers the same and faster: batch norm folded, channels last, operations fused."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.core.errors import PellucidError
from pellucid.engine.fusion import fuse, put
from pellucid.engine.passages import Call, Passage, passages

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_LINEAR = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_LARGEST = 1e12


Step = Callable[[nn.Module, Mapping[str, Passage]], None]


def fold(network: nn.Module, seen: Mapping[str, Passage]) -> None:
    """Let linear maps scale and shift as the batch norm after them, where it alone reads what they return."""
    parts = dict(network.named_modules())
    for linear, passage in seen.items():
        norm = passage.reader
        if norm is not None and type(parts[linear]) in _LINEAR and _keeps_statistics(parts[norm]):
            _fold(parts[linear], parts[norm])
            put(network, norm, nn.Identity())


def channels_last(network: nn.Module, seen: Mapping[str, Passage]) -> None:
    """Lay out kernels, and with them all planes, so that the channels of a pixel are neighbours in memory."""
    if any(len(passage.shape) == 4 for passage in seen.values()):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


STEPS: tuple[Step, ...] = (fold, channels_last, fuse)
# Those that leave operations as autograd knows them, and modules under their names.
DIFFERENTIABLE: tuple[Step, ...] = (fold, channels_last)


@torch.no_grad()
def prepared(module: nn.Module, tensors: Mapping[str, Tensor], call: Call, steps: Sequence[Step] = STEPS) -> nn.Module:
    """A copy of ``module`` (in eval mode) with the same scores on ``tensors`` to 1e-4, or ``module`` itself.

    Modules are merged only where one is the sole reader of the other's result, both are called once, and no parameter
    is shared. The last steps are left out where the copy answers otherwise with them.
    """
    if any(isinstance(child, torch.jit.ScriptModule) for child in module.modules()):
        return module  # the parameters of a copy of scripted code are not its own
    seen, expected = passages(module, tensors, call), call(module, tensors)
    for number in range(len(steps), 0, -1):
        try:
            replica = copy.deepcopy(module).requires_grad_(False)
            for step in steps[:number]:
                step(replica, seen)
            if _agree(expected, call(replica.eval(), tensors)):
                return replica
        except (RuntimeError, TypeError, AttributeError, PellucidError):
            continue  # what cannot be copied, or not be run without a part that was replaced
    return module


def ordinary(tensors: Mapping[str, Tensor]) -> bool:
    """Whether numbers are such that no operation can overflow: a fused activation turns NaN into a number."""
    numbers = [tensor.detach() for tensor in tensors.values() if tensor.is_floating_point() and tensor.numel()]
    return all(bool(bound.abs() <= _LARGEST) for tensor in numbers for bound in torch.aminmax(tensor))


def _keeps_statistics(module: nn.Module) -> bool:
    return type(module) in _NORMS and bool(module.track_running_stats)


def _agree(expected: Tensor, found: Tensor) -> bool:
    scale = expected.abs().max().clamp(min=1e-6)
    return expected.shape == found.shape and bool(((expected - found).abs().max() / scale) <= 1e-4)


def _fold(linear: Any, norm: Any) -> None:
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    bias = -norm.running_mean if linear.bias is None else linear.bias - norm.running_mean
    shift = bias * scale if norm.bias is None else bias * scale + norm.bias
    linear.weight = nn.Parameter(linear.weight * scale.view(-1, *[1] * (linear.weight.ndim - 1)), False)
    linear.bias = nn.Parameter(shift, False)
