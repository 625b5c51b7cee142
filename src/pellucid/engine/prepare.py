"""A private copy of a network that answers the same and faster: batch norm folded, channels last."""

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_LINEAR = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)

Call = Callable[[nn.Module, Mapping[str, Tensor]], Tensor]


def prepared(module: nn.Module, tensors: Mapping[str, Tensor], call: Call) -> nn.Module:
    """A copy of ``module`` (in eval mode) with the same scores on ``tensors`` to 1e-4, or ``module`` itself.

    A batch norm is folded only where it is the sole reader of the convolution or linear map before it, both are called
    once, and no parameter is shared.
    """
    if any(isinstance(child, torch.jit.ScriptModule) for child in module.modules()):
        return module  # the parameters of a copy of scripted code are not its own
    try:
        replica = copy.deepcopy(module)
    except (RuntimeError, TypeError, AttributeError):
        return module
    pairs = _foldable(module, tensors, call)
    names = dict(replica.named_modules())
    for linear, norm in pairs:
        _fold(names[linear], names[norm])
        parent, _, leaf = norm.rpartition(".")
        setattr(names[parent], leaf, nn.Identity())
    if any(tensor.ndim == 4 for tensor in tensors.values()):
        replica = replica.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for parameter in replica.parameters():
        parameter.requires_grad_(False)
    with torch.no_grad():
        bare, ours = call(module, tensors), call(replica, tensors)
    scale = bare.abs().max().clamp(min=1e-6)
    same = bare.shape == ours.shape and bool(((bare - ours).abs().max() / scale) <= 1e-4)
    return replica if same else module


def _foldable(module: nn.Module, tensors: Mapping[str, Tensor], call: Call) -> list[tuple[str, str]]:
    made: dict[int, tuple[str, Tensor]] = {}
    found: list[tuple[str, str, int]] = []
    calls: Counter[str] = Counter()
    handles = []

    def after(name: str, output: Tensor) -> None:
        calls[name] += 1
        made[id(output)] = (name, output)

    def before(name: str, given: Tensor) -> None:
        calls[name] += 1
        source = made.get(id(given))
        if source is not None:
            found.append((source[0], name, id(given)))

    shared = Counter(id(p) for m in module.modules() for p in m.parameters(recurse=False))
    for name, child in module.named_modules():
        parameters = [*child.parameters(recurse=False)]
        if any(shared[id(parameter)] > 1 for parameter in parameters):
            continue
        if type(child) in _LINEAR:
            handles.append(child.register_forward_hook(lambda m, i, o, name=name: after(name, o)))
        elif type(child) in _NORMS and child.track_running_stats:
            handles.append(child.register_forward_pre_hook(lambda m, i, name=name: before(name, i[0])))
    try:
        with torch.no_grad(), _Readers() as readers:
            call(module, tensors)
    finally:
        for handle in handles:
            handle.remove()
    return [
        (linear, norm)
        for linear, norm, output in found
        if calls[linear] == calls[norm] == 1 and readers.count[output] == 1
    ]


class _Readers(TorchDispatchMode):
    """Counts how many operations read each tensor; every tensor seen is kept alive so that identities stay unique."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[int] = Counter()
        self._alive: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in torch.utils._pytree.tree_leaves((args, kwargs or {})):
            if isinstance(value, Tensor):
                self.count[id(value)] += 1
                self._alive.append(value)
        return func(*args, **(kwargs or {}))


def _fold(linear: Any, norm: Any) -> None:
    with torch.no_grad():
        scale = (norm.running_var + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight
        bias = -norm.running_mean if linear.bias is None else linear.bias - norm.running_mean
        shift = bias * scale if norm.bias is None else bias * scale + norm.bias
        linear.weight = nn.Parameter(linear.weight * scale.view(-1, *[1] * (linear.weight.ndim - 1)))
        linear.bias = nn.Parameter(shift)
