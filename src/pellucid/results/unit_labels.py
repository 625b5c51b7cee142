"""Unit labels: which human concept the units of a layer respond to where, how well, and whether better than by chance."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result

_LEVEL = 0.05


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class UnitLabels(Result):
    """Intersection over union of where units are active with where concepts are, over all examples.

    ``ratios`` ``[units, concepts]`` are of the ``units`` of ``layer``, above their ``thresholds`` ``[units]``. A unit is
    labelled with its best concept where that ratio is above ``least``. ``p_values`` ``[units]`` are the share of random
    assignments of masks to examples that reach a ratio as large for any concept, ``false_discovery`` ``[units]`` the same
    corrected for the number of labels; 1 where a unit has none. ``areas`` ``[concepts]`` are the shares of all places
    that hold a concept, ``peaks`` ``[examples, units]`` the largest activations in the examples, whose ``names`` these are.

    ``shown`` ``[n]`` are the places in ``units`` of the best labels, ``examples`` ``[n, m]`` those of its strongest examples,
    and ``maps`` ``[n, m, height, width]`` where it is active in them.
    """

    layer: str
    units: Tensor
    concepts: tuple[str, ...]
    ratios: Tensor
    thresholds: Tensor
    p_values: Tensor
    false_discovery: Tensor
    least: float
    areas: Tensor
    peaks: Tensor
    names: tuple[str, ...]
    shown: Tensor
    examples: Tensor
    maps: Tensor
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        number = len(self.units)
        if tuple(self.ratios.shape) != (number, len(self.concepts)):
            raise ValueError(
                f"ratios are {tuple(self.ratios.shape)} for {number} units and {len(self.concepts)} concepts"
            )
        for name in ("thresholds", "p_values", "false_discovery"):
            if len(getattr(self, name)) != number:
                raise ValueError(f"{name} are of {len(getattr(self, name))} units, not {number}")
        if tuple(self.peaks.shape) != (len(self.names), number):
            raise ValueError(f"peaks are {tuple(self.peaks.shape)} for {len(self.names)} examples and {number} units")
        if self.maps.shape[:2] != self.examples.shape or len(self.examples) != len(self.shown):
            raise ValueError(f"{tuple(self.maps.shape)} maps of {tuple(self.examples.shape)} examples")

    def concept(self, place: int) -> str | None:
        """The label of a unit, None where it has none."""
        best = int(self.ratios[place].argmax())
        return self.concepts[best] if float(self.ratios[place, best]) > self.least else None

    def labelled(self) -> list[int]:
        """The places of the units that have a label, best first."""
        best = self.ratios.amax(1)
        return [
            place for place in best.argsort(descending=True, stable=True).tolist() if self.concept(place) is not None
        ]

    def stands(self, place: int) -> bool:
        """Whether a label is better than by chance, corrected for the number of labels."""
        return float(self.false_discovery[place]) < _LEVEL

    def table(self) -> list[dict[str, Any]]:
        rows = []
        for place in self.ratios.amax(1).argsort(descending=True, stable=True).tolist():
            label = self.concept(place)
            rows.append(
                {
                    "unit": int(self.units[place]),
                    "label": label,
                    "best": self.concepts[int(self.ratios[place].argmax())],
                    "ratio": float(self.ratios[place].amax()),
                    "p": None if label is None else float(self.p_values[place]),
                    "false discovery": None if label is None else float(self.false_discovery[place]),
                    "threshold": float(self.thresholds[place]),
                }
            )
        return rows

    def summary(self) -> str:
        found = self.labelled()
        standing = [place for place in found if self.stands(place)]
        kinds = {self.concept(place) for place in standing}
        told = ", ".join(
            f"{int(self.units[place])} {self.concept(place)} ({float(self.ratios[place].amax()):.2f})"
            for place in standing[:6]
        )
        lines = [
            f"{len(found)} of {len(self.units)} units of {self.layer} overlap with one of {len(self.concepts)} concepts by "
            f"more than {self.least:g}; {len(standing)} labels, of {len(kinds)} concepts, are better than by chance (false "
            f"discovery below {_LEVEL:.0%}){': ' + told if told else ''}."
        ]
        return "\n".join([*lines, *self.notes])
