"""Rectifiers that hand the gradient on as if they were not there, so that a unit that is silent can be woken."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_F = nn.functional
# What cuts values off, as functions and as methods.
_RECTIFIERS = frozenset(
    {
        *(_F.relu, _F.relu_, _F.relu6, _F.hardtanh, _F.hardtanh_, _F.threshold),
        *(torch.relu, torch.relu_, torch.clamp, torch.clamp_, torch.clamp_min, torch.clamp_min_, torch.maximum),
        *(Tensor.relu, Tensor.relu_, Tensor.clamp, Tensor.clamp_, Tensor.clamp_min, Tensor.clamp_min_, Tensor.maximum),
    }
)


class PassingRectifiers(TorchFunctionMode):
    """Inside, ReLU, ReLU6, clamps, thresholds and maxima answer as ever; from the call numbered ``first`` on their gradient
    is that of the identity. ``calls`` tells how many there were.

    In the place of an operation on its own input, one with a fresh result is run: nothing is written into what the
    gradient needs.
    """

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first, self.calls = first, 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = args[0] if args else None
        if func not in _RECTIFIERS or not isinstance(given, Tensor) or not given.requires_grad:
            return func(*args, **(kwargs or {}))
        self.calls += 1
        result = func(given.clone(), *args[1:], **(kwargs or {}))
        return given + (result - given).detach() if self.calls > self.first else result
