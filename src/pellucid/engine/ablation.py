"""Ablation of channels while the signal flows: what is switched off in one layer is missing in all that follow."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.subject import Inputs, Replacement, Run, Subject
from pellucid.engine.batching import in_batches
from pellucid.engine.crossings import Crossing
from pellucid.engine.perturb import baseline_value, with_padding

Silence = Literal["reference", "mean", "zero"]

_FINEST = 2.0**20


@dataclass(frozen=True)
class Ablation:
    """One example, and what stands in each of several layers where a channel is switched off.

    A set of channels is a mask over all layers' channels, one layer after the other: ``[channels]``, True where a
    channel works as usual. ``silent`` holds a tensor by layer that broadcasts to its output.
    """

    subject: Subject
    inputs: Inputs
    layers: tuple[Crossing, ...]
    silent: Mapping[str, Tensor]

    @property
    def layer_of(self) -> Tensor:
        """The number of each channel's layer."""
        return torch.repeat_interleave(torch.tensor([layer.channels for layer in self.layers]))

    def by_layer(self, values: Tensor) -> tuple[Tensor, ...]:
        """Values of all channels ``[…, channels]``, one tensor per layer."""
        return values.split([layer.channels for layer in self.layers], dim=-1)

    def replacements(self, masks: Tensor) -> dict[str, Replacement]:
        """What :meth:`Subject.run` needs to switch off, in each row of a batch, what ``masks`` ``[n, channels]`` says."""
        return {
            layer.name: _switch(layer, mask, self.silent[layer.name])
            for layer, mask in zip(self.layers, self.by_layer(masks), strict=True)
        }

    def evaluate(self, masks: Tensor, read: Callable[[Run], Tensor], capture: Sequence[str] = ()) -> Tensor:
        """What ``read`` makes of a pass with each of ``masks``: ``[n, …]``."""

        def work(part: slice) -> Tensor:
            given = masks[part]
            rows = self.inputs.rows(torch.zeros(len(given), dtype=torch.long))
            return read(self.subject.run(rows, capture=capture, replace=self.replacements(given)))

        return in_batches(len(masks), self.subject.batch_size(self.inputs), work)

    def per_channel(self, values: Mapping[str, Tensor]) -> Tensor:
        """Sums over positions of values in the shape of the layers, one row: ``[channels]``, float64."""
        sums = [
            values[layer.name][0].double().movedim(layer.axis, 0).reshape(layer.channels, -1).sum(1)
            for layer in self.layers
        ]
        return torch.cat(sums)

    def shares(self, amounts: Tensor) -> Tensor:
        """Amounts of all channels as parts of what is positive in their layer, ``[channels]``.

        Rounded to a millionth, so that amounts which differ in their last bits are equal and go by number.
        """
        parts = [part / part.clamp(min=0).sum().clamp(min=1e-30) for part in self.by_layer(amounts)]
        return (torch.cat(parts) * _FINEST).round() / _FINEST

    def random(self, mask: Tensor, draws: int, source: torch.Generator) -> Tensor:
        """Sets that have as many channels in every layer as ``mask`` has, but any: ``[draws, channels]``."""
        masks = torch.zeros(draws, len(mask), dtype=torch.bool)
        for row in masks:
            for part, kept in zip(self.by_layer(row), self.by_layer(mask), strict=True):
                part[torch.randperm(len(kept), generator=source)[: int(kept.sum())]] = True
        return masks


def _switch(layer: Crossing, mask: Tensor, silent: Tensor) -> Callable[[Tensor], Tensor]:
    sides = [1] * len(layer.shape)
    sides[layer.axis] = layer.channels
    shown = mask.reshape(len(mask), *sides)
    return lambda output: torch.where(shown.to(output.device), output, silent.to(output))


def silence(
    subject: Subject, inputs: Inputs, layers: Sequence[Crossing], kind: Silence, reference: Any = None
) -> dict[str, Tensor]:
    """What channels hold that are switched off, of one example.

    ``reference``: what they hold for the task's neutral input (or, on average, for the ``reference`` inputs) at the
    same position; ``mean``: that, averaged over the positions too; ``zero``: nothing. No set of channels can make
    information of the first: with all channels of one layer off, everything behind it is as for the neutral input.
    """
    if kind == "zero":
        return {layer.name: torch.zeros(()) for layer in layers}
    if reference is None:
        neutral = inputs.at(with_padding(inputs, baseline_value(subject, inputs, subject.task.baselines()[0])))
    else:
        neutral = subject.prepare(reference)
    found = _means(subject, neutral, layers, whole=kind == "mean")
    for layer in layers:
        if kind == "reference" and tuple(found[layer.name].shape[1:]) != layer.shape:
            raise UsageError(
                f"the reference gives layer {layer.name!r} the shape {tuple(found[layer.name].shape[1:])}, the input "
                f"{layer.shape}; give a reference of the same size, or ask ablation='mean'"
            )
    return found


def _means(subject: Subject, inputs: Inputs, layers: Sequence[Crossing], whole: bool) -> dict[str, Tensor]:
    """The mean of each layer's output over examples, and over the positions as well where the ``whole`` is meant."""
    sums: dict[str, Tensor] = {}
    counts: Counter[str] = Counter()
    size = subject.batch_size(inputs)
    for start in range(0, len(inputs), size):
        run = subject.run(inputs.rows(slice(start, start + size)), capture=[layer.name for layer in layers])
        for layer in layers:
            output = run.activations[layer.name]
            axes = [axis for axis in range(output.ndim) if axis == 0 or (whole and axis != layer.axis + 1)]
            part = output.double().sum(axes, keepdim=True)
            sums[layer.name] = sums[layer.name] + part if layer.name in sums else part
            counts[layer.name] += math.prod(output.shape[axis] for axis in axes)
    return {name: (total / counts[name]).to(output.dtype) for name, total in sums.items()}
