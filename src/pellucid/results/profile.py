"""A profile: how quantities change along an axis, such as the layers of a network or how far a picture was turned."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Line:
    """One quantity at each place of an axis: ``mean`` ``[places]`` over the cases, ``low`` and ``high`` its 95 % interval.

    A single example has no interval. A ``control`` is what would be seen without what is looked for.
    """

    name: str
    mean: Tensor
    low: Tensor | None = None
    high: Tensor | None = None
    control: bool = False


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Panel:
    """Lines of one ``quantity`` over the same ``places`` of an ``axis``.

    ``grid`` ``[places]`` are the places as numbers, where these have distances from each other that mean something.
    """

    quantity: str
    axis: str
    places: tuple[str, ...]
    lines: tuple[Line, ...]
    grid: Tensor | None = None

    def check(self) -> None:
        """Raise ``ValueError`` where fields contradict each other."""
        for line in self.lines:
            for part in (line.mean, line.low, line.high, self.grid):
                if part is not None and tuple(part.shape) != (len(self.places),):
                    raise ValueError(f"{line.name}: {tuple(part.shape)} numbers for {len(self.places)} places")


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Profile(Result):
    """Quantities along axes over ``cases`` examples, one panel for each; ``findings`` say in words what is to be seen."""

    panels: tuple[Panel, ...]
    cases: int
    findings: tuple[str, ...] = ()
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        if not self.panels:
            raise ValueError("there is no panel")
        for panel in self.panels:
            panel.check()

    def table(self) -> list[dict[str, Any]]:
        return [
            {
                "quantity": panel.quantity,
                "axis": panel.axis,
                "at": place,
                "line": line.name,
                "mean": float(line.mean[number]),
                "low": None if line.low is None else float(line.low[number]),
                "high": None if line.high is None else float(line.high[number]),
            }
            for panel in self.panels
            for line in panel.lines
            for number, place in enumerate(panel.places)
        ]

    def summary(self) -> str:
        return "\n".join([*self.findings, *self.notes])
