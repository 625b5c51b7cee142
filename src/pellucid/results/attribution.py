"""An attribution: a score for every element of a point, and how far to trust it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result
from pellucid.core.subject import Features


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Attribution(Result):
    """How much each element of the point (the input, or a layer) counts for the explained quantity.

    ``scores`` has the shape of the point, ``[batch, …]``; padding scores exactly 0. ``value`` ``[batch]`` is the
    explained quantity itself, ``target`` and ``foil`` the class indices it is about. ``mask`` is True where a
    position is real.

    How far to trust it: ``residual`` ``[batch]`` is what the scores leave unexplained of what the method claims to
    account for; ``absorbed`` names what went to sources other than the point, ``reaching`` is the share of the value
    that arrives at the point; ``interval`` is a 95 % interval ``(low, high)`` of the scores by feature; ``converged``
    tells per example whether the method met its own tolerance; ``evaluations`` are the passes used, in F and B.
    """

    scores: Tensor
    value: Tensor
    features: Features
    at: str = "input"
    target: Tensor | None = None
    foil: Tensor | None = None
    labels: tuple[str, ...] = ()
    mask: Tensor | None = None
    residual: Tensor | None = None
    absorbed: Mapping[str, Tensor] = field(default_factory=dict)
    reaching: Tensor | None = None
    interval: tuple[tuple[Tensor, ...], tuple[Tensor, ...]] | None = None
    evaluations: Mapping[str, int] = field(default_factory=dict)
    converged: Tensor | None = None
    quality: Mapping[str, Tensor] = field(default_factory=dict)

    def check(self) -> None:
        batch = len(self.scores)
        for name in ("value", "target", "foil", "residual", "reaching", "converged", "mask"):
            tensor = getattr(self, name)
            if tensor is not None and len(tensor) != batch:
                raise ValueError(f"{name} has {len(tensor)} examples, scores have {batch}")
        if len(self.features.segments) != batch:
            raise ValueError(f"features have {len(self.features.segments)} examples, scores have {batch}")
        try:
            torch.broadcast_shapes(self.features.segments.shape, self.scores.shape)
        except RuntimeError as error:
            raise ValueError("features do not fit the scores") from error

    def __len__(self) -> int:
        return len(self.scores)

    def by_feature(self) -> tuple[Tensor, ...]:
        """The scores summed over each feature: one vector per example."""
        return self.features.sums(self.scores)

    def named(self, index: Tensor | None, example: int) -> str:
        """The label of ``target`` or ``foil`` of one example."""
        return named(index, example, self.labels)

    def question(self, example: int = 0) -> str:
        """What was asked of one example, in words."""
        target, foil = self.named(self.target, example), self.named(self.foil, example)
        return f"{target} rather than {foil}" if foil else target or "this unit"

    def summary(self) -> str:
        lines = []
        for example, vector in enumerate(self.by_feature()):
            order = vector.abs().argsort(descending=True, stable=True)[:3].tolist()
            strongest = ", ".join(f"{self.label(example, number)} ({vector[number]:+.3g})" for number in order)
            lines.append(f"{self.question(example)} (value {self.value[example]:.4g}): strongest {strongest}")
        return "\n".join([*lines, *self.notes])

    def label(self, example: int, feature: int) -> str:
        """The name of one feature."""
        if self.features.labels is not None:
            return self.features.labels[example][feature]
        return f"{self.features.kind} {feature}"

    def table(self) -> list[dict[str, Any]]:
        rows = []
        for example, vector in enumerate(self.by_feature()):
            low, high = (None, None) if self.interval is None else (side[example] for side in self.interval)
            for feature, score in enumerate(vector.tolist()):
                row = {"example": example, "feature": self.label(example, feature), "score": score}
                if low is not None and high is not None:
                    row |= {"low": float(low[feature]), "high": float(high[feature])}
                rows.append(row)
        return rows


def named(index: Tensor | None, example: int, labels: Sequence[str]) -> str:
    """The label of the output that ``index`` (``[batch]``, or ``[batch, k]`` with positions) holds for one example."""
    if index is None:
        return ""
    number = index[example].tolist()
    if isinstance(number, list):
        *position, number = number
        place = " at position " + ", ".join(map(str, position))
    else:
        place = ""
    name = labels[number] if 0 <= number < len(labels) else f"output {number}"
    return name + place
