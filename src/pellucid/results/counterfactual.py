"""Counterfactuals: what would have to be different for the answer to be another one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result
from pellucid.core.subject import Features
from pellucid.results.attribution import named

_NAMED = 6
_NOTHING = {"feature": "", "is": "", "instead": ""}


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class RegionSwaps:
    """Cells of a layer's map that were replaced by cells of other pictures, in the order of their choice.

    ``cells`` are one tensor ``[swaps, 3]`` per example: the cell of the example (row by row in a map of ``grid`` = (rows,
    columns)), the number of the other picture, and its cell. ``gaps`` are one tensor ``[swaps + 1]`` per example: how far
    the answer was ahead (above 0) before the first and after each swap.
    """

    layer: str
    grid: tuple[int, int]
    cells: tuple[Tensor, ...]
    gaps: tuple[Tensor, ...]

    def place(self, cell: int) -> str:
        """A cell in words, counted from 1."""
        row, column = divmod(cell, self.grid[1])
        return f"row {row + 1}, column {column + 1}"


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Counterfactuals(Result):
    """For each example one or several inputs near it that are answered otherwise, or the closest attempt.

    ``inputs`` ``[batch, …point]`` are what was asked about, ``points`` ``[batch, number, …point]`` what was found, both as
    the subject reads them (of swaps at a layer: its activation). ``before`` ``[batch, outputs]`` and ``after`` ``[batch,
    number, outputs]`` are the subject's own answers, asked again after the search. ``found`` ``[batch, number]`` is True
    where ``after`` is the answer that was wanted and ``kept``, that all constraints are respected; ``reason`` says per
    example why one was not found, or "". ``distance`` is by the ``measure`` of the search. ``converged`` ``[batch]``: the
    search came to its end and was not cut off by a limit.

    ``features`` say what is changed as one. A point in own units is ``point × factor + offset``; ``choices`` are those
    elements, numbered, of which one is 1: so "colour red" can be said instead of numbers. ``answer`` says which kind of
    outputs the subject has, ``wanted`` what had to be reached.

    Of a pertinent positive ``points`` hold what suffices, and ``absent`` ``[batch, …point]`` elsewhere, which stands for "no
    information".

    A file of this kind holds the inputs, because what was found is hardly different: it is as personal as they are.
    """

    kind: str
    inputs: Tensor
    points: Tensor
    before: Tensor
    after: Tensor
    found: Tensor
    kept: Tensor
    distance: Tensor
    converged: Tensor
    features: Features
    answer: str
    measure: str
    reason: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    factor: Tensor | None = None
    offset: Tensor | None = None
    choices: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    target: Tensor | None = None
    foil: Tensor | None = None
    wanted: float | None = None
    labels: tuple[str, ...] = ()
    absent: Tensor | None = None
    swaps: RegionSwaps | None = None
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        batch, number = self.found.shape
        if self.points.shape != (batch, number, *self.inputs.shape[1:]):
            raise ValueError(
                f"points {tuple(self.points.shape)} are not [batch, number, …] of {tuple(self.inputs.shape)}"
            )
        for name in ("inputs", "before", "after", "kept", "distance", "converged", "reason"):
            if len(getattr(self, name)) != batch:
                raise ValueError(f"{name} has {len(getattr(self, name))} examples, found has {batch}")
        for name in ("after", "kept", "distance"):
            if getattr(self, name).shape[1] != number:
                raise ValueError(f"{name} is not [batch, {number}]")
        if bool((self.found & ~self.kept).any()):
            raise ValueError("what breaks a constraint cannot have been found")
        if len(self.features.segments) not in (1, batch):
            raise ValueError(f"features have {len(self.features.segments)} examples, found has {batch}")

    def __len__(self) -> int:
        return len(self.found)

    @property
    def number(self) -> int:
        """How many counterfactuals each example has room for."""
        return self.found.shape[1]

    def differs(self, example: int, number: int = 0) -> Tensor:
        """The features, numbered, that are different; of a pertinent positive those that are there."""
        segments = self._segments(example)
        moved = self.points[example, number] != self._compared(example)
        found = segments.expand(moved.shape)[moved].unique()
        return found[found >= 0]

    @property
    def changes(self) -> Tensor:
        """How many features are different, ``[batch, number]``."""
        counts = [[len(self.differs(example, n)) for n in range(self.number)] for example in range(len(self))]
        return torch.tensor(counts)

    def own(self, points: Tensor) -> Tensor:
        """Points in the units that a person knows."""
        if self.factor is None or self.offset is None:
            return points
        return points.double() * self.factor + self.offset

    def label(self, feature: int) -> str:
        """The name of one feature."""
        names = self.features.labels
        return f"{self.features.kind} {feature}" if names is None else names[0][feature]

    def told(self, example: int, feature: int, number: int | None = None) -> str:
        """The value of a feature as it is, or in a counterfactual, in words."""
        points = self.inputs[example] if number is None else self.points[example, number]
        own, name = self.own(points).flatten(), self.label(feature)
        if name in self.choices:
            group = list(self.choices[name])
            return _short(self.elements[group[int(own[group].argmax())]], name)
        segments = self._segments(example).expand(points.shape).flatten()
        return _written(float(own[segments == feature].mean()), self._rounding(segments == feature))

    def _rounding(self, elements: Tensor) -> float:
        """How far rounding of points can move own values."""
        if self.factor is None or self.offset is None:
            return 0.0
        sizes = self.factor.abs() + self.offset.abs()
        return 1e-6 * float(sizes.expand(self.inputs.shape[1:]).flatten()[elements].max())

    def answered(self, example: int, number: int | None = None) -> str:
        """What the subject answers about the example, or about a counterfactual, in words."""
        scores = (self.before[example] if number is None else self.after[example, number]).double()
        if self.answer == "value" or len(scores) == 1:
            return f"{float(scores[self._output(example)]):.4g}"
        first = int(scores.argmax())
        probability = scores if self.answer == "probabilities" else scores.softmax(0)
        name = self.labels[first] if first < len(self.labels) else f"output {first}"
        return f"{name} ({float(probability[first]):.0%})"

    def _output(self, example: int) -> int:
        if self.target is None or self.before.shape[1] == 1:
            return 0
        return int(self.target[example].reshape(-1)[-1])

    def question(self, example: int = 0) -> str:
        """What was asked of one example, in words."""
        target, foil = named(self.target, example, self.labels), named(self.foil, example, self.labels)
        if self.kind == "pertinent-positive":
            return f"what suffices for {target}"
        reach = "" if self.wanted is None else f" (at least {self.wanted:g})"
        if self.answer == "value" or not target:
            return f"what would have to change for {target or 'this unit'} to reach {self.wanted:g}"
        return f"what would have to change for {foil or f'anything but {target}'}{reach}"

    def sentence(self, example: int, number: int = 0) -> str:
        """One counterfactual in plain words."""
        differing = self.differs(example, number).tolist()
        if not bool(self.found[example, number]):
            return f"None was found: {self.reason[example] or 'no other one'}."
        if self.kind == "pertinent-positive":
            some = f"{len(differing)} of {int(self.features.segments.max()) + 1} {self.features.kind}s"
            return f"With {some} alone{self._listed(differing)} the answer would still be {self.answered(example, number)}."
        if self.swaps is not None:
            count = len(self.swaps.cells[example])
            what = f"{count} of {self.swaps.grid[0] * self.swaps.grid[1]} regions looked as in the other picture"
            return (
                f"The answer would be {self.answered(example, number)} instead of {self.answered(example)} if {what}."
            )
        if not differing:
            return f"The answer is {self.answered(example)} as it is: nothing has to change."
        if self.features.labels is None or len(differing) > _NAMED:
            count = len(differing)
            total = int(self.features.segments.max()) + 1
            what = f"{count} of {total} {self.features.kind}s were different"
        else:
            values = [(self.label(f), self.told(example, f, number), self.told(example, f)) for f in differing]
            parts = [f"{name} were {instead} instead of {value}" for name, instead, value in values]
            what = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
        return f"The answer would be {self.answered(example, number)} instead of {self.answered(example)} if {what}."

    def _listed(self, features: list[int]) -> str:
        """Names of features in brackets, as far as they have names and are few."""
        short = self.features.labels is not None and 0 < len(features) <= _NAMED
        return f" ({', '.join(map(self.label, features))})" if short else ""

    def summary(self) -> str:
        lines = []
        for example in range(len(self)):
            shown = [number for number in range(self.number) if bool(self.found[example, number])] or [0]
            lines += [self.sentence(example, number) for number in shown]
        return "\n".join([*lines, *self.notes])

    def table(self) -> list[dict[str, Any]]:
        rows = []
        for example in range(len(self)):
            for number in range(self.number):
                answer = {"would be": self.answered(example, number), "found": bool(self.found[example, number])}
                where = {"example": example, "number": number}
                distance = {"distance": float(self.distance[example, number])}
                rows += [where | part | answer | distance for part in self._parts(example, number)]
        return rows

    def _parts(self, example: int, number: int) -> list[dict[str, Any]]:
        """The changed features with their values, the largest changes first."""
        if self.swaps is not None:
            place = self.swaps.place
            return [
                {"feature": place(cell), "is": "", "instead": f"picture {picture}: {place(other)}"}
                for cell, picture, other in self.swaps.cells[example].tolist()
            ] or [_NOTHING]
        moved = (self.own(self.points[example, number]) - self.own(self._compared(example))).abs()[None]
        sizes = Features(self.features.kind, self._segments(example)[None]).sums(moved)[0]
        differing = sorted(self.differs(example, number).tolist(), key=lambda feature: -float(sizes[feature]))
        return [
            {"feature": self.label(f), "is": self.told(example, f), "instead": self.told(example, f, number)}
            for f in differing
        ] or [_NOTHING]

    def _compared(self, example: int) -> Tensor:
        """What points differ from: the example, or nothing, of which a positive is told."""
        return self.inputs[example] if self.absent is None else self.absent[example]

    def _segments(self, example: int) -> Tensor:
        return self.features.segments[min(example, len(self.features.segments) - 1)]


def _written(value: float, rounding: float) -> str:
    nearest = round(value)
    return str(nearest) if abs(value - nearest) <= rounding + 1e-6 * abs(value) else f"{value:.4g}"


def _short(option: str, group: str) -> str:
    """The name of a choice's column without the name of the choice in front."""
    rest = option.removeprefix(group).lstrip(" =:_-")
    return rest or option
