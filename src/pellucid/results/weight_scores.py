"""A weight attribution: which filters, rows and other units of parameters a decision hangs on, and whether that was so."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result
from pellucid.results.attribution import named


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class WeightScores(Result):
    """How much the explained quantity ``value`` ``[batch]`` hangs on each unit of parameters.

    ``scores`` are by layer, ``[batch, units]``: gradient times value, summed over the unit's parameters. ``top`` ``[batch, n,
    2]`` are the units of largest score by number of layer and unit, ``effects`` ``[batch, n]`` what the quantity truly loses
    where that unit alone is set to zero. ``together`` ``[batch]`` is what it loses without all of them whose scores have
    the sign of the first one's, ``control`` ``[batch, draws]`` without as many units of the same layers drawn at random.
    """

    scores: Mapping[str, Tensor]
    kinds: tuple[str, ...]
    value: Tensor
    top: Tensor
    effects: Tensor
    together: Tensor
    control: Tensor
    target: Tensor | None = None
    foil: Tensor | None = None
    labels: tuple[str, ...] = ()
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        batch = len(self.value)
        lengths = {len(scores) for scores in self.scores.values()}
        lengths |= {len(self.top), len(self.effects), len(self.together), len(self.control)}
        if lengths != {batch}:
            raise ValueError(f"fields are of {sorted(lengths)} examples, values of {batch}")
        if len(self.kinds) != len(self.scores):
            raise ValueError(f"{len(self.kinds)} kinds for {len(self.scores)} layers")
        if self.top.shape != (*self.effects.shape, 2):
            raise ValueError(f"{tuple(self.effects.shape)} effects of {tuple(self.top.shape)} units")
        if self.top.numel() and not 0 <= int(self.top[..., 0].min()) <= int(self.top[..., 0].max()) < len(self.scores):
            raise ValueError("units are in layers that are not there")

    def __len__(self) -> int:
        return len(self.value)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers by name, in the order of the network."""
        return tuple(self.scores)

    def unit(self, example: int, rank: int) -> str:
        """One of the top units in words."""
        layer, number = self.top[example, rank].tolist()
        return f"{self.layers[layer]}/{number}"

    def score(self, example: int, rank: int) -> float:
        """The score of one of the top units."""
        layer, number = self.top[example, rank].tolist()
        return float(self.scores[self.layers[layer]][example, number])

    def question(self, example: int = 0) -> str:
        """What was asked of one example, in words."""
        target, foil = (named(index, example, self.labels) for index in (self.target, self.foil))
        return f"{target} rather than {foil}" if foil else target or "this unit"

    def table(self) -> list[dict[str, Any]]:
        return [
            {
                "example": example,
                "explains": self.question(example),
                "rank": rank + 1,
                "unit": self.unit(example, rank),
                "kind": self.kinds[int(self.top[example, rank, 0])],
                "score": self.score(example, rank),
                "effect": float(self.effects[example, rank]),
                "control": float(self.control[example].double().mean()) if self.control.shape[1] else None,
            }
            for example in range(len(self))
            for rank in range(self.top.shape[1])
        ]

    def summary(self) -> str:
        lines = []
        for example in range(len(self)):
            ranks = range(min(3, self.top.shape[1]))
            best = ", ".join(f"{self.unit(example, rank)} ({self.score(example, rank):+.3g})" for rank in ranks)
            lines.append(f"{self.question(example)} (value {float(self.value[example]):.4g}): hangs most on {best}")
            lines.append(self.evidence(example))
        return "\n".join([*lines, *self.notes])

    def evidence(self, example: int) -> str:
        """What setting the top units to zero truly did, and what it does to others."""
        number, lost = self.top.shape[1], float(self.together[example])
        alike = sum((self.score(example, rank) > 0) == (self.score(example, 0) > 0) for rank in range(number))
        said = f"Without the {alike} of {number} that act as the first does, together, the value falls by {lost:.3g}"
        if self.control.shape[1]:
            control = self.control[example].double()
            said += (
                f"; without as many drawn from the same layers by {float(control.mean()):.3g} on average "
                f"({float(control.min()):.3g} to {float(control.max()):.3g} in {len(control)} draws)"
            )
        signs = (self.effects[example] > 0).tolist()
        agree = sum((self.score(example, rank) > 0) == sign for rank, sign in enumerate(signs))
        return f"{said}. Alone, {agree} of {number} change it in the direction of their score."
