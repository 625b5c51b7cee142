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
    """Inside, ReLU, ReLU6, clamps, thresholds and maxima answer as ever, and their gradient is that of the identity.

    In the place of an operation on its own input, one with a fresh result is run: nothing is written into what the
    gradient needs.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*_fresh(func, args), **(kwargs or {}))
        given = args[0] if args else None
        passes = func in _RECTIFIERS and isinstance(given, Tensor) and given.requires_grad
        return given + (result - given).detach() if passes and isinstance(given, Tensor) else result


def _fresh(func: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (args[0].clone(), *args[1:]) if func in _RECTIFIERS and args and isinstance(args[0], Tensor) else args
