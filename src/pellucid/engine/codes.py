"""Codes: what a layer makes of inputs, how they vary over data, and how far one is from another."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.meter import report
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.averaging import Running


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
