"""A response: how the model's answer changes with one variable or two, over many cases."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result

# Start and stop of a change in a grid, and the 95 % interval of how large it is.
Change = tuple[int, int, float, float]

_HARDLY = 0.2


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Curve:
    """What is said of one variable at each point of its ``grid`` ``[points]``, in the variable's own unit.

    ``mean`` is over the cases, ``low`` and ``high`` its 95 % interval. ``individual`` ``[curves, points]`` are single
    cases. ``labels`` name the values of a choice, whose grid is 0, 1, …. ``counts`` tells how many cases there are around
    each point of the grid: nearer to it than to the others.
    ``changes`` are the largest rise and fall where cases are: start and stop in the grid, and the 95 % interval of the
    change. ``companion`` is the other column that goes most with this one, ``correlation`` how much, by ranks.
    """

    variable: str
    grid: Tensor
    mean: Tensor
    low: Tensor
    high: Tensor
    counts: Tensor
    individual: Tensor | None = None
    labels: tuple[str, ...] | None = None
    changes: tuple[Change, ...] = ()
    companion: str = ""
    correlation: float = 0.0

    def place(self, point: int) -> str:
        """One point of the grid in words."""
        return f"{float(self.grid[point]):.4g}" if self.labels is None else self.labels[point]

    @property
    def density(self) -> Tensor:
        """Cases around each point as a multiple of what an even spread over the whole grid would put there."""
        if self.labels is not None or len(self.grid) < 2:
            return self.counts * len(self.counts) / self.counts.sum()
        middle = (self.grid[1:] + self.grid[:-1]) / 2
        widths = torch.cat([self.grid[:1], middle, self.grid[-1:]]).diff()
        return self.counts / self.counts.sum() * (self.grid[-1] - self.grid[0]) / widths

    @property
    def thin(self) -> Tensor:
        """Where hardly any case is, ``[points]``: less than a fifth of what an even spread would put there."""
        return self.density < _HARDLY

    def check(self) -> None:
        """Raise ``ValueError`` where fields contradict each other."""
        points = len(self.grid)
        for name in ("mean", "low", "high", "counts"):
            if tuple(getattr(self, name).shape) != (points,):
                raise ValueError(
                    f"{self.variable}: {name} is {tuple(getattr(self, name).shape)}, the grid has {points}"
                )
        if self.individual is not None and (self.individual.ndim != 2 or self.individual.shape[1] != points):
            raise ValueError(
                f"{self.variable}: individual curves are {tuple(self.individual.shape)} on {points} points"
            )
        if self.labels is not None and len(self.labels) != points:
            raise ValueError(f"{self.variable}: {len(self.labels)} labels for {points} choices")

    def told(self, quantity: str) -> str:
        """The curve in plain words: where it rises and falls most, and where there is hardly any data."""
        if self.labels is not None:
            best, worst = int(self.mean.argmax()), int(self.mean.argmin())
            return (
                f"{self.variable}: the {quantity} is highest for {self.place(best)} ({self._height(best)}) and lowest for "
                f"{self.place(worst)} ({self._height(worst)})."
            )
        parts = [self._changed(change, quantity) for change in self.changes]
        seen = (~self.thin).nonzero().flatten().tolist() or [0]
        if parts and seen[0] > 0:
            parts.append(f"below {self.place(seen[0])} there is hardly any data")
        if parts and seen[-1] < len(self.grid) - 1:
            parts.append(f"above {self.place(seen[-1])} there is hardly any data")
        return f"{self.variable}: " + ("; ".join(parts) or f"the {quantity} hardly changes") + "."

    def _height(self, point: int) -> str:
        return (
            f"{float(self.mean[point]):.4g}, 95 % interval {float(self.low[point]):.4g} … {float(self.high[point]):.4g}"
        )

    def _changed(self, change: Change, quantity: str) -> str:
        start, stop, low, high = change
        amount = float(self.mean[stop] - self.mean[start])
        where = f"between {self.place(start)} and {self.place(stop)} the {quantity}"
        if low <= 0 <= high:
            return f"{where} changes by {amount:+.3g}, which may be chance (95 % interval {low:+.3g} … {high:+.3g})"
        least, most = sorted((abs(low), abs(high)))
        verb = "rises" if amount > 0 else "falls"
        return f"{where} {verb} by {abs(amount):.3g} (95 % interval {least:.3g} … {most:.3g})"


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Surface:
    """What is said of two variables together, ``[points of the first, points of the second]``.

    Of ``ale`` it is what the two do together beyond what each does alone. ``counts`` tells how many cases are around each
    pair of points. ``interaction`` is Friedman's H with its 95 % interval: the share of the pair's joint effect (as a
    deviation) that is not the sum of the two effects.
    """

    variables: tuple[str, str]
    grids: tuple[Tensor, Tensor]
    mean: Tensor
    low: Tensor
    high: Tensor
    counts: Tensor
    labels: tuple[tuple[str, ...] | None, tuple[str, ...] | None] = (None, None)
    interaction: tuple[float, float, float] | None = None

    def check(self) -> None:
        """Raise ``ValueError`` where fields contradict each other."""
        shape = tuple(len(grid) for grid in self.grids)
        for name in ("mean", "low", "high", "counts"):
            if tuple(getattr(self, name).shape) != shape:
                raise ValueError(f"{name} is {tuple(getattr(self, name).shape)}, the grids have {shape} points")

    def place(self, axis: int, point: int) -> str:
        """One point of a grid in words."""
        labels = self.labels[axis]
        return f"{float(self.grids[axis][point]):.4g}" if labels is None else labels[point]

    def table(self) -> list[dict[str, Any]]:
        """One row per pair of points."""
        return [
            {
                "variable": " × ".join(self.variables),
                "at": f"{self.place(0, first)}, {self.place(1, second)}",
                "mean": float(self.mean[first, second]),
                "low": float(self.low[first, second]),
                "high": float(self.high[first, second]),
                "cases": int(self.counts[first, second]),
            }
            for first in range(len(self.grids[0]))
            for second in range(len(self.grids[1]))
        ]

    def told(self) -> str:
        """What the two do together, in a sentence."""
        first, second = self.variables
        seen = torch.where(self.counts > 0, self.mean, torch.nan)
        low, high = (divmod(int(place), seen.shape[1]) for place in (_least(seen), _least(-seen)))
        said = (
            f"{first} × {second}: highest at {self._pair(high)}, lowest at {self._pair(low)}, of all pairs that cases are "
            "near"
        )
        if self.interaction is None:
            return said + "."
        strength, least, most = self.interaction
        interval = f"95 % interval {least:.0%} … {most:.0%}"
        return f"{said}; {strength:.0%} of what they do is done together (Friedman's H, {interval})."

    def _pair(self, pair: tuple[int, int]) -> str:
        places = ", ".join(self.place(axis, point) for axis, point in enumerate(pair))
        return f"({places}): {float(self.mean[pair]):.4g}"


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Response(Result):
    """How ``quantity`` changes with one variable at a time (``curves``) or with two at once (``surface``).

    ``kind`` is ``partial-dependence``, ``ice`` or ``ale``; ``form`` is ``plain``, ``centred`` (every curve starts at 0) or
    ``derivative`` (change per unit). ``level`` ``[1]`` is the mean quantity over the ``cases`` as they are.
    """

    kind: str
    quantity: str
    level: Tensor
    cases: int
    form: str = "plain"
    curves: tuple[Curve, ...] = ()
    surface: Surface | None = None
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        if not self.curves and self.surface is None:
            raise ValueError("there is neither a curve nor a surface")
        for curve in self.curves:
            curve.check()
        if self.surface is not None:
            self.surface.check()

    def table(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = [
            {
                "variable": curve.variable,
                "at": curve.place(point),
                "mean": float(curve.mean[point]),
                "low": float(curve.low[point]),
                "high": float(curve.high[point]),
                "cases": int(curve.counts[point]),
            }
            for curve in self.curves
            for point in range(len(curve.grid))
        ]
        return rows if self.surface is None else rows + self.surface.table()

    def summary(self) -> str:
        quantity = f"mean {self.quantity}" if self.form != "derivative" else f"slope of the mean {self.quantity}"
        lines = [curve.told(quantity) for curve in self.curves]
        if self.surface is not None:
            lines.append(self.surface.told())
        return "\n".join([*lines, *self.notes])


def _least(values: Tensor) -> int:
    return int(torch.where(values.isnan(), torch.inf, values).argmin())
