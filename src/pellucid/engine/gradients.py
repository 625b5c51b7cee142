"""Gradients of the explained quantity at the input or at a layer, in batches, nothing left on the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core import meter
from pellucid.core.errors import NotAnswerable
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.batching import in_batches
from pellucid.engine.targets import Target


@dataclass(frozen=True)
class Gradients:
    """Values ``[batch]``, and gradient and activation ``[batch, …point]`` at the point."""

    values: Tensor
    gradient: Tensor
    point: Tensor


def gradients(
    subject: Subject, inputs: Inputs, target: Target, at: str = "input", replaced: Tensor | None = None
) -> Gradients:
    """Differentiate the explained quantity with respect to the point, whose value may be ``replaced``."""
    size = max(1, subject.batch_size(inputs) // 2)
    parts = []
    for start in range(0, len(inputs), size):
        part = slice(start, start + size)
        given = None if replaced is None else replaced[part]
        values, point = recorded(subject, inputs.rows(part), target.rows(part), at, given)
        gradient, _ = differentiated(subject, values, at, point)
        parts.append(Gradients(settled(values), settled(gradient), settled(point)))
    return merged(parts)


def merged(parts: Sequence[Gradients]) -> Gradients:
    """The gradients of several batches as those of one."""
    return Gradients(*(torch.cat([getattr(part, name) for part in parts]) for name in ("values", "gradient", "point")))


def point_value(subject: Subject, inputs: Inputs, at: str = "input") -> Tensor:
    """The value of the point for each example: the input itself, or the activation of a layer."""
    if at == "input":
        return _continuous(subject, inputs.value)
    size = subject.batch_size(inputs)

    def work(rows: slice) -> Tensor:
        return settled(subject.run(inputs.rows(rows), capture=(at,)).activations[at])

    return in_batches(len(inputs), size, work)


def recorded(
    subject: Subject, inputs: Inputs, target: Target, at: str = "input", replaced: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The explained quantity ``[batch]`` and the point, with the graph that leads from one to the other."""
    with torch.enable_grad():
        if at == "input":
            value = _continuous(subject, inputs.value if replaced is None else replaced)
            point = value.detach().clone().requires_grad_()
            run = subject.run(inputs.at(point), capture=target.capture, differentiable=True)
        elif replaced is not None:
            point = replaced.detach().clone().requires_grad_()
            run = subject.run(inputs, capture=target.capture, replace={at: point}, differentiable=True)
        else:
            run = subject.run(inputs, capture=target.capture, differentiable=at)
            point = run.activations[at]
        return target(run), point


def differentiated(
    subject: Subject, values: Tensor, at: str, point: Tensor, *more: Tensor
) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """The gradient of values ``[batch]`` at the point, and at ``more`` tensors that lie between the two."""
    if not values.requires_grad:
        raise NotAnswerable(f"the score of {subject.name} does not depend differentiably on {at!r}")
    ones = torch.ones_like(values)  # Not a sum, which would have no graph where its caller wants none.
    gradient, *others = torch.autograd.grad(values, (point, *more), ones, allow_unused=True)
    meter.count(backward=len(values))
    if gradient is None:
        raise NotAnswerable(f"the score of {subject.name} does not depend on {at!r}")
    return gradient, tuple(others)


def _continuous(subject: Subject, value: Tensor) -> Tensor:
    if not value.is_floating_point():
        raise NotAnswerable(
            f"{subject.name} reads whole numbers, which have no gradient; ask at the layer that turns them into vectors"
        )
    return value


def settled(tensor: Tensor) -> Tensor:
    """Without a graph, on the CPU, at least in single precision."""
    tensor = tensor.detach().cpu()
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
