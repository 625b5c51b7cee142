"""Prototypes: a few examples that stand for a category, those that they do not explain, and how well they cover it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class PrototypeSet(Result):
    """``prototypes`` and ``criticisms`` of each group, as places of examples in the data, in the order of choice.

    ``names`` are those of the examples, ``groups`` the classes, or one that holds everything; ``group`` ``[examples]`` is the
    one an example belongs to, −1 where it belongs to none, and ``confidence`` ``[examples]`` the probability (or score) that
    the model gives to the class. ``widths`` ``[groups]`` are those of the kernels.

    How well they cover: ``discrepancy`` ``[groups]`` is the squared maximum mean discrepancy between a group and its
    prototypes, ``distance`` ``[groups]`` the mean distance of its examples to the nearest one; ``random_discrepancy`` and
    ``random_distance`` ``[groups, 3]`` are those of random choices of as many: mean and the range of 95 % of them.
    ``accuracy`` ``[3]`` is the share of the other examples whose nearest prototype is of their own group, with its 95 %
    interval, and ``random_accuracy`` ``[3]`` that of the random choices; None for a single group.
    """

    layer: str
    choice: str
    names: tuple[str, ...]
    groups: tuple[str, ...]
    prototypes: tuple[Tensor, ...]
    criticisms: tuple[Tensor, ...]
    group: Tensor
    confidence: Tensor
    discrepancy: Tensor
    distance: Tensor
    random_discrepancy: Tensor
    random_distance: Tensor
    widths: Tensor
    accuracy: Tensor | None = None
    random_accuracy: Tensor | None = None
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        number = len(self.groups)
        for name in ("prototypes", "criticisms", "discrepancy", "distance", "random_discrepancy", "random_distance"):
            if len(getattr(self, name)) != number:
                raise ValueError(f"{name} are of {len(getattr(self, name))} groups, not {number}")
        if {len(self.group), len(self.confidence)} != {len(self.names)}:
            raise ValueError(f"{len(self.confidence)} confidences for {len(self.names)} examples")
        for place, chosen in enumerate(self.prototypes):
            if len(chosen) and not bool((self.group[chosen] == place).all()):
                raise ValueError(f"a prototype of {self.groups[place]!r} is not in that group")

    def called(self, number: int) -> str:
        """An example in a word."""
        return self.names[number].removeprefix("example ")

    def size(self, place: int) -> int:
        """How many examples a group has."""
        return int((self.group == place).sum())

    def table(self) -> list[dict[str, Any]]:
        return [
            {
                "group": name,
                "role": role,
                "rank": rank + 1,
                "example": self.called(number),
                "confidence": float(self.confidence[number]),
                "discrepancy": float(self.discrepancy[place]),
                "by chance": float(self.random_discrepancy[place, 0]),
            }
            for place, name in enumerate(self.groups)
            for role, chosen in (("prototype", self.prototypes[place]), ("criticism", self.criticisms[place]))
            for rank, number in enumerate(chosen.tolist())
        ]

    def summary(self) -> str:
        lines = [self.coverage(place) for place in range(len(self.groups))]
        if self.accuracy is not None and self.random_accuracy is not None:
            right, low, high = self.accuracy.tolist()
            chance, least, most = self.random_accuracy.tolist()
            lines.append(
                f"The nearest prototype tells {right:.1%} ({low:.1%} to {high:.1%}) of the other examples their group; "
                f"that of random choices {chance:.1%} (95 % of them {least:.1%} to {most:.1%})."
            )
        return "\n".join([*lines, *self.notes])

    def coverage(self, place: int) -> str:
        """How well the prototypes of one group cover it, in a sentence."""
        chance, least, most = self.random_discrepancy[place].tolist()
        numbers = ", ".join(self.called(number) for number in self.prototypes[place].tolist())
        return (
            f"{self.groups[place]}: examples {numbers} stand for {self.size(place)}; discrepancy "
            f"{float(self.discrepancy[place]):.3g} (random choices {chance:.3g}, 95 % of them {least:.3g} to {most:.3g}), "
            f"mean distance to the nearest {float(self.distance[place]):.3g} ({float(self.random_distance[place, 0]):.3g})."
        )
