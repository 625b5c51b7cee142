"""A unit report: what a unit inside a network responds to, shown by the examples it is strongest on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result
from pellucid.core.subject import Inputs
from pellucid.results.attribution import Attribution


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class UnitReport(Result):
    """Unit ``index`` of ``layer`` (a channel, or a full index into its output), measured on every example of the data.

    ``measures`` hold one number per example, ``[examples]``, by name; ``examples`` are the numbers of those that are
    strongest by the first measure, best first. ``maps`` show what of each speaks through the unit, ``regions`` ``[examples
    shown, 4]`` the part of each picture (top, left, bottom, right, in the network's own pixels) that its strongest place
    sees. Where the unit was looked for, ``channels`` ``[channels]`` is the first measure of every channel of the layer,
    over all the data.

    ``names`` are those of the examples shown, ``places`` the full indices into the layer's output where each is strongest.
    ``shown`` are these examples as the network reads them; they stay in memory only, because pictures of people are
    personal data.
    """

    layer: str
    index: int | tuple[int, ...]
    measures: Mapping[str, Tensor]
    examples: Tensor
    maps: Attribution | None = None
    regions: Tensor | None = None
    channels: Tensor | None = None
    names: tuple[str, ...] = ()
    places: tuple[tuple[int, ...], ...] = ()
    shown: Inputs | None = field(default=None, compare=False, repr=False)
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        sizes = {len(values) for values in self.measures.values()}
        if len(sizes) != 1:
            raise ValueError(f"measures are of {sorted(sizes)} examples")
        if len(self.examples) and not 0 <= int(self.examples.min()) <= int(self.examples.max()) < sizes.pop():
            raise ValueError("examples are outside the data")
        if self.maps is not None and len(self.maps) != len(self.examples):
            raise ValueError(f"{len(self.maps)} maps for {len(self.examples)} examples")
        for what in ("names", "places"):
            if getattr(self, what) and len(getattr(self, what)) != len(self.examples):
                raise ValueError(f"{len(getattr(self, what))} {what} for {len(self.examples)} examples")
        if self.regions is not None and tuple(self.regions.shape) != (len(self.examples), 4):
            raise ValueError(f"regions are {tuple(self.regions.shape)} for {len(self.examples)} examples")

    @property
    def unit(self) -> str:
        """The unit in words."""
        return f"{'channel' if isinstance(self.index, int) else 'unit'} {self.index} of {self.layer}"

    @property
    def shares(self) -> dict[str, Tensor]:
        """The shares of each map that lie inside a region, ``[examples shown]``, by name."""
        qualities = {} if self.maps is None else self.maps.quality
        return {name: values for name, values in qualities.items() if name.startswith("inside_")}

    def strongest(self, measure: str) -> Tensor:
        """As many examples as are shown, by another measure, best first; equals in the order of the data."""
        return self.measures[measure].argsort(descending=True, stable=True)[: len(self.examples)]

    def table(self) -> list[dict[str, Any]]:
        rows = []
        for rank, number in enumerate(self.examples.tolist()):
            row: dict[str, Any] = {"rank": rank + 1, "example": number}
            if self.names:
                row["name"] = self.names[rank]
            if self.maps is not None and self.maps.target is not None:
                row["explains"] = self.maps.question(rank)
            row |= {name: float(values[number]) for name, values in self.measures.items()}
            if self.places:
                row["place"] = ",".join(map(str, self.places[rank]))
            if self.regions is not None:
                row["region"] = ",".join(map(str, self.regions[rank].tolist()))
            rows.append(row | {name: float(values[rank]) for name, values in self.shares.items()})
        return rows

    def summary(self) -> str:
        first, *others = self.measures
        best = ", ".join(f"{row.get('name', row['example'])} ({row[first]:.3g})" for row in self.table()[:5])
        lines = [f"{self.unit}: of {len(self.measures[first])} examples, {first} is largest for {best}"]
        for other in others:
            same = len(set(self.examples.tolist()) & set(self.strongest(other).tolist()))
            lines.append(f"Of these {len(self.examples)}, {same} are among those of largest {other}.")
        if self.channels is not None:
            order = self.channels.argsort(descending=True, stable=True)[:5].tolist()
            told = ", ".join(f"{number} ({float(self.channels[number]):.3g})" for number in order)
            lines.append(f"Of {len(self.channels)} channels, {first} over all examples is largest for {told}.")
        for name, shares in self.shares.items():
            said = f"{float(shares.mean()):.0%} on average and {float(shares.min()):.0%} at least"
            lines.append(f"Of what was projected back, {said} lies {name.replace('_', ' ')}.")
        return "\n".join([*lines, *self.notes])
