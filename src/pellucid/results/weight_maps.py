"""Weight maps: the parameters of one layer as pictures, with what their numbers say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result

Form = Literal["colour", "slices", "matrix", "points"]
_DIMENSIONS = {"colour": 4, "slices": 4, "matrix": 2, "points": 2}


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class WeightMaps(Result):
    """What is shown of the weights of ``layer``, and measures of all its units.

    ``maps`` are by ``form``: filters that read colours ``[shown, 3, height, width]``; ``slices`` of filters ``[shown, slices,
    height, width]``, of the input channels ``inputs`` ``[shown, slices]``; a ``matrix`` ``[shown, columns]`` of the inputs
    ``inputs`` ``[columns]``; or ``points`` ``[shown, 2]``, rows of a table on two principal axes with ``axes`` ``[2]`` of the
    variance. ``shown`` are the units' numbers, ``names`` all units' names, where they have any.

    ``measures`` hold one number per unit, ``[units]``, by name; ``facts`` say something of the whole layer. ``dead`` are
    units whose weights are nothing beside the others', ``duplicates`` ``[pairs, 2]`` those with the same direction, with
    their ``cosines``. ``near`` ``[neighbours]`` and ``nearness`` are the rows nearest to the one that was asked about.
    """

    layer: str
    kind: str
    form: Form
    maps: Tensor
    shown: Tensor
    measures: Mapping[str, Tensor]
    facts: Mapping[str, float]
    dead: Tensor
    duplicates: Tensor
    cosines: Tensor
    inputs: Tensor | None = None
    names: tuple[str, ...] = ()
    axes: Tensor | None = None
    near: Tensor | None = None
    nearness: Tensor | None = None
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        if self.maps.ndim != _DIMENSIONS[self.form] or len(self.maps) != len(self.shown):
            raise ValueError(f"maps {tuple(self.maps.shape)} are no {self.form} of {len(self.shown)} units")
        if {len(values) for values in self.measures.values()} != {self.units}:
            raise ValueError("measures are of different numbers of units")
        if len(self.shown) and not 0 <= int(self.shown.min()) <= int(self.shown.max()) < self.units:
            raise ValueError("units are shown that the layer does not have")
        if self.names and len(self.names) != self.units:
            raise ValueError(f"{len(self.names)} names for {self.units} units")
        if len(self.duplicates) != len(self.cosines):
            raise ValueError(f"{len(self.cosines)} cosines for {len(self.duplicates)} pairs")

    @property
    def units(self) -> int:
        """How many units the layer has."""
        return len(next(iter(self.measures.values())))

    def name(self, unit: int) -> str:
        """A unit in words."""
        return self.names[unit] if self.names else str(unit)

    def table(self) -> list[dict[str, Any]]:
        dead = set(self.dead.tolist())
        twins: dict[int, int] = {}
        for one, other in self.duplicates.tolist():
            twins.setdefault(one, other)
            twins.setdefault(other, one)
        return [
            {
                "unit": unit,
                "name": self.name(unit),
                **{name: float(values[unit]) for name, values in self.measures.items()},
                "dead": unit in dead,
                "like": twins.get(unit),
            }
            for unit in self.shown.tolist()
        ]

    def summary(self) -> str:
        norms = self.measures["norm"]
        middle, largest = float(norms.median()), int(norms.argmax())
        told = ", ".join(f"{name} {value:.4g}" for name, value in self.facts.items())
        lines = [
            f"{self.layer} ({self.kind}) has {self.units} units; {told}.",
            f"Norms: median {middle:.3g}, largest {float(norms[largest]):.3g} ({self.name(largest)}). "
            f"{len(self.dead)} dead{self._some(self.dead)}; {len(self.duplicates)} pairs of one direction{self._pairs()}.",
        ]
        if self.axes is not None:
            lines.append(f"Two axes show {float(self.axes.sum()):.0%} of how the rows shown vary.")
        if self.near is not None and self.nearness is not None:
            pairs = zip(self.near.tolist(), self.nearness.tolist(), strict=True)
            near = ", ".join(f"{self.name(row)} ({cosine:.2f})" for row, cosine in pairs)
            lines.append(f"Nearest to {self.name(int(self.shown[0]))}: {near}.")
        return "\n".join([*lines, *self.notes])

    def _some(self, units: Tensor) -> str:
        more = ", …" if len(units) > 6 else ""
        return f" ({', '.join(map(self.name, units[:6].tolist()))}{more})" if len(units) else ""

    def _pairs(self) -> str:
        told = [f"{self.name(one)} = {self.name(other)}" for one, other in self.duplicates[:4].tolist()]
        return f" ({', '.join(told)}{', …' if len(self.duplicates) > 4 else ''})" if told else ""


def no_pairs() -> tuple[Tensor, Tensor]:
    """No duplicates and no cosines."""
    return torch.zeros(0, 2, dtype=torch.long), torch.zeros(0, dtype=torch.float64)
