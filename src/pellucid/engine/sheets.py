"""What a reader is shown of an explanation: named features of each example with their strengths, or the first few."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.seeds import generator
from pellucid.core.subject import Inputs
from pellucid.engine.readings import Reading
from pellucid.engine.shared_regions import shared_regions


@dataclass(frozen=True)
class Sheet:
    """For each example the ``names`` of features, their signed ``strengths`` (0 where one is not shown), which of the
    elements of the point belong to each (``segments`` ``[batch, …point]``), and the class that a positive strength speaks
    ``towards``, if signs mean that."""

    names: tuple[tuple[str, ...], ...]
    strengths: tuple[Tensor, ...]
    segments: Tensor
    towards: Tensor | None = None

    def only(self, number: int | None) -> "Sheet":
        """The sheet with the ``number`` strongest features of each example alone, as reason codes are given."""
        if number is None:
            return self
        kept = []
        for strengths in self.strengths:
            order = strengths.abs().argsort(descending=True, stable=True)[:number]
            kept.append(torch.zeros_like(strengths).index_copy(0, order, strengths[order]))
        return dataclasses.replace(self, strengths=tuple(kept))

    def dealt(self, inputs: Inputs, seed: int) -> "Sheet":
        """The same strengths dealt out anew among the features of each example: a sheet that says nothing."""
        found = []
        for row, strengths in enumerate(self.strengths):
            order = torch.randperm(len(strengths), generator=generator(seed, "dealt", inputs.value[row]))
            found.append(strengths[order])
        return dataclasses.replace(self, strengths=tuple(found))

    def blank(self) -> "Sheet":
        """The names alone: every feature looks like every other."""
        return dataclasses.replace(self, strengths=tuple(torch.ones_like(own) for own in self.strengths))

    def for_advice(self, advice: Tensor, known: Sequence[str], example: int) -> float | None:
        """Which share of what speaks for the ``advice``, a class per example, falls on ``known`` features; of all strength
        where signs say nothing. None where nothing speaks for it."""
        sizes = self.strengths[example]
        if self.towards is None:
            sizes = sizes.abs()
        else:
            sizes = (sizes if int(self.towards[example]) == int(advice[example]) else -sizes).clamp(min=0)
        total = float(sizes.sum())
        inside = torch.tensor([name in known for name in self.names[example]], dtype=torch.bool)
        return float(sizes[inside].sum()) / total if total > 0 else None


def sheets(readings: Sequence[Reading], picture: bool) -> list[Sheet]:
    """What can be shown of each explanation; of a ``picture`` regions that a person can point at, the same for all."""
    if picture and all(reading.at == "input" for reading in readings):
        point = tuple(readings[0].scores.shape[1:])
        cut = shared_regions([reading.features for reading in readings], point, True)
        readings = [dataclasses.replace(own, features=parts) for own, parts in zip(readings, cut, strict=True)]
    return [_sheet(reading) for reading in readings]


def _sheet(reading: Reading) -> Sheet:
    examples = range(len(reading.scores))
    return Sheet(
        names=tuple(reading.labels(example) for example in examples),
        strengths=tuple(reading.strengths(example) for example in examples),
        segments=reading.features.segments.expand(reading.scores.shape),
        towards=reading.towards,
    )
