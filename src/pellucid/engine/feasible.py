"""Sets of inputs that an ascent stays in: the sphere or ball of a norm, the box of possible values, or everywhere."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.optimize import Rule
from pellucid.engine.step_rules import resilient, turning

Constraint = Literal["sphere", "ball", "box", "none"]
_UNIT = (torch.tensor(0.0), torch.tensor(1.0))


@dataclass(frozen=True)
class Feasible:
    """Inputs ``[rows, …point]`` of the norm ``norm``, or of at most this norm, or between ``bounds``, or all."""

    constraint: Constraint
    norm: float = 1.0
    bounds: tuple[Tensor, Tensor] = _UNIT

    def nearest(self, points: Tensor) -> Tensor:
        """Of each row the nearest of these inputs; to a row of zeros all of a sphere are as near, and it stays."""
        if self.constraint == "none":
            return points
        if self.constraint == "box":
            return points.clamp(*(bound.to(points) for bound in self.bounds))
        norms = points.flatten(1).norm(dim=1)
        shrunk = self.norm / norms.where(norms > 0, torch.ones_like(norms))
        shrunk = shrunk.clamp(max=1) if self.constraint == "ball" else shrunk
        return points * shrunk.view(-1, *[1] * (points.ndim - 1))

    def at_random(self, shape: torch.Size, draws: torch.Generator) -> Tensor:
        """One of these inputs ``[1, …point]``, or one of norm ``norm`` where all are: any direction or value is alike."""
        if self.constraint == "box":
            low, high = self.bounds
            return low + (high - low) * torch.rand(1, *shape, generator=draws)
        point = torch.randn(1, *shape, generator=draws)
        return point * (self.norm / point.norm())

    def rule(self, rate: float) -> Rule:
        """Steps of this share of the norm along the gradient, or of the width of the box along each element."""
        if self.constraint in ("sphere", "ball"):
            return turning(rate * self.norm)
        low, high = self.bounds
        return resilient(rate * float((high - low).mean()) if self.constraint == "box" else rate)


def feasible(subject: Subject, inputs: Inputs, constraint: Constraint, norm: float | None) -> Feasible:
    """The set for these inputs: without a norm their mean norm is taken, and for a box the bounds of the task, or 0 and 1.

    Raises ``UsageError`` where a norm is needed and the inputs are all zero.
    """
    if not inputs.value.is_floating_point():
        raise NotAnswerable(
            f"{subject.name} reads whole numbers, which cannot be moved a little; ask a network of vectors"
        )
    bounds = subject.task.bounds(inputs.rows(slice(0, 1)))
    if norm is None:
        norm = float(inputs.value.double().flatten(1).norm(dim=1).mean())
        if norm == 0 and constraint in ("sphere", "ball"):
            raise UsageError("how long an input is to be is not known: give the norm, or data: Unit(…, data=…)")
    return Feasible(constraint, norm or 1.0, bounds or _UNIT)
