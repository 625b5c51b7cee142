"""Interactions: what each feature does on its own, and what every two do together beyond that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result
from pellucid.core.subject import Features
from pellucid.results.attribution import named

_STRONGEST = 3


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Interactions(Result):
    """A symmetric matrix per example, ``[batch, most features, most features]``; what an example does not have is 0.

    The diagonal holds what each feature does on its own, the rest what two do together: the diagonal and every pair,
    counted once, account for the rise from everything hidden (``baseline`` ``[batch]``) to everything shown (``value``
    ``[batch]``) but for ``residual``. ``index`` names the way in which the rise is divided.

    How far to trust it: ``half_width``, in the shape of the matrix, is half of the 95 % interval, 0 where an entry is
    exact; ``converged`` tells per example whether the method met its own tolerance.
    """

    matrix: Tensor
    half_width: Tensor
    value: Tensor
    baseline: Tensor
    residual: Tensor
    features: Features
    index: str
    target: Tensor | None = None
    foil: Tensor | None = None
    labels: tuple[str, ...] = ()
    converged: Tensor | None = None
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        batch = len(self.matrix)
        if self.matrix.ndim != 3 or self.matrix.shape[1] != self.matrix.shape[2]:
            raise ValueError(f"matrices are square, not {tuple(self.matrix.shape)}")
        if self.half_width.shape != self.matrix.shape:
            raise ValueError("half widths are in the shape of the matrix")
        if max(self.features.counts(), default=0) > self.matrix.shape[1]:
            raise ValueError("there are more features than rows in the matrix")
        for name in ("value", "baseline", "residual", "target", "foil", "converged"):
            tensor = getattr(self, name)
            if tensor is not None and len(tensor) != batch:
                raise ValueError(f"{name} has {len(tensor)} examples, matrices have {batch}")

    def __len__(self) -> int:
        return len(self.matrix)

    def of(self, example: int) -> Tensor:
        """The matrix of one example, ``[features, features]``."""
        number = self.features.counts()[example]
        return self.matrix[example, :number, :number]

    def question(self, example: int = 0) -> str:
        """What was asked of one example, in words."""
        target, foil = (named(index, example, self.labels) for index in (self.target, self.foil))
        return f"{target} rather than {foil}" if foil else target or "this unit"

    def label(self, example: int, feature: int) -> str:
        """The name of one feature."""
        if self.features.labels is not None:
            return self.features.labels[example][feature]
        return f"{self.features.kind} {feature}"

    def pairs(self, example: int) -> list[tuple[int, int]]:
        """All pairs of features of one example, those that do most together first."""
        found = self.of(example)
        one, other = torch.triu_indices(len(found), len(found), 1)
        order = found[one, other].abs().argsort(descending=True, stable=True)
        return list(zip(one[order].tolist(), other[order].tolist(), strict=True))

    def table(self) -> list[dict[str, Any]]:
        """Every feature on its own, then every pair, the strongest first."""
        return [
            self._row(example, one, other)
            for example in range(len(self))
            for one, other in [*((n, n) for n in range(len(self.of(example)))), *self.pairs(example)]
        ]

    def _row(self, example: int, one: int, other: int) -> dict[str, Any]:
        score, half = float(self.matrix[example, one, other]), float(self.half_width[example, one, other])
        return {
            "example": example,
            "feature": self.label(example, one),
            "with": self.label(example, other) if one != other else "",
            "score": score,
            "low": score - half,
            "high": score + half,
        }

    def summary(self) -> str:
        lines = []
        for example in range(len(self)):
            told = [
                f"{self.label(example, one)} with {self.label(example, other)} "
                f"({self.matrix[example, one, other]:+.3g} ± {self.half_width[example, one, other]:.2g})"
                for one, other in self.pairs(example)[:_STRONGEST]
            ]
            strongest = ", ".join(told) or "there is only one feature"
            lines.append(f"{self.question(example)} (value {self.value[example]:.4g}): strongest together {strongest}")
        return "\n".join([*lines, *self.notes])
