"""Codes: what a layer makes of inputs, how they vary over data, and how far one is from another."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.meter import report
from pellucid.core.subject import Inputs, Run, Subject
from pellucid.engine.averaging import Running

Match = Literal["distance", "product", "caricature"]


@dataclass(frozen=True)
class CodeStatistics:
    """Of each element of a code ``[…code]`` over data, in single precision: its mean, variance and least value.

    ``scale`` is the square root of the mean square of all elements, 1 where all are 0.
    """

    mean: Tensor
    variance: Tensor
    lowest: Tensor

    @property
    def scale(self) -> float:
        return float((self.mean.double().square() + self.variance.double()).mean().sqrt()) or 1.0


def codes_of(subject: Subject, inputs: Inputs, *layers: str, differentiable: bool = False) -> tuple[Tensor, ...]:
    """The outputs of layers ``[batch, …]``, in single precision on the CPU, from one pass that ends there."""
    run = subject.run(inputs, capture=tuple(dict.fromkeys(layers)), differentiable=differentiable, partial=True)
    return tuple(plain(run.activations[layer]) for layer in layers)


def code_statistics(subject: Subject, inputs: Inputs, layer: str) -> CodeStatistics:
    """How the codes of a layer vary over inputs; no more than a batch of them is ever held."""
    size, found, lowest = subject.batch_size(inputs), None, torch.empty(0)
    for start in range(0, len(inputs), size):
        (codes,) = codes_of(subject, inputs.rows(slice(start, start + size)), layer)
        least = codes.amin(0)
        lowest = least if found is None else torch.minimum(lowest, least)
        found = Running(codes[0]) if found is None else found
        found.extend(codes)
        report(min(start + size, len(inputs)), len(inputs), f"codes of {layer}")
    assert found is not None
    variance = found.variance if found.count > 1 else torch.zeros_like(found.mean)
    return CodeStatistics(found.mean.float(), variance.float(), lowest)


def relative_error(missed: Tensor, whole: Tensor) -> Tensor:
    """The squared length of each row of ``missed`` as a share of that of ``whole``, in float64: ``[n]``."""
    squares = [rows.double().flatten(1).square().sum(1) for rows in (missed, whole)]
    return squares[0] / squares[1].clamp(min=torch.finfo(torch.float64).tiny)


def plain(tensor: Tensor) -> Tensor:
    """In single precision on the CPU, with its graph."""
    return tensor.to("cpu", torch.float32)


@dataclass(frozen=True)
class CodeMatch:
    """How well a pass has the ``codes`` ``[rows, …code]`` of ``layer``, one per example: an objective.

    ``distance`` is ``−|Φ − Φ₀|² / |Φ₀|²``; ``product`` is ``⟨Φ, Φ₀⟩ / |Φ₀|²``; a ``caricature`` has of Φ₀ only what is
    positive. ``part`` ``[…code]``, 0 or 1, says which elements of the code count.
    """

    layer: str
    codes: Tensor
    kind: Match = "distance"
    part: Tensor | None = None

    @property
    def capture(self) -> tuple[str, ...]:
        """The layer itself."""
        return (self.layer,)

    def rows(self, rows: Tensor | slice) -> "CodeMatch":
        """The codes of some of the examples, or of repeated ones."""
        return replace(self, codes=self.codes[rows])

    def __call__(self, run: Run) -> Tensor:
        """``[batch]``, differentiable where the run is."""
        found = run.activations[self.layer]
        aim = self.aims.to(found)
        missed, size = self._counting(found) - aim, aim.square().sum(1)
        return -missed.square().sum(1) / size if self.kind == "distance" else 1 + (missed * aim).sum(1) / size

    @property
    def aims(self) -> Tensor:
        """Of the codes what counts, ``[rows, elements]``."""
        return self._counting(self.codes.clamp(min=0) if self.kind == "caricature" else self.codes)

    def measured(self, found: Tensor) -> tuple[Tensor, Tensor]:
        """Distance and product of codes ``[rows, …code]`` that were found, with those that were sought, in float64."""
        run = Run(torch.empty(len(found), 0), {self.layer: found.double()})
        return -replace(self, kind="distance")(run), replace(self, kind="product")(run)

    def _counting(self, codes: Tensor) -> Tensor:
        return (codes if self.part is None else codes * self.part.to(codes)).flatten(1)
