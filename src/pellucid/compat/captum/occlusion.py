"""Captum's Occlusion: one input at a time, the others as they are."""

from typing import Any

import torch
from torch import Tensor

from pellucid.compat.captum.asking import Asked, Attribution, arguments_of, positive, progress
from pellucid.compat.captum.groups import asked_alone_or_together
from pellucid.compat.captum.packing import as_tuple
from pellucid.core.errors import UsageError
from pellucid.engine.covered import Windows
from pellucid.engine.windows import with_windows


class Occlusion(Attribution):
    """The mean fall of the output over the windows that cover an element, each window put at its baseline."""

    @property
    def multiplies_by_inputs(self) -> bool:
        return True

    def attribute(
        self,
        inputs: Any,
        sliding_window_shapes: Any,
        strides: Any = None,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        perturbations_per_eval: int = 1,
        show_progress: bool = False,
    ) -> Any:
        """Scores in the shapes of the inputs; windows and strides are shapes without the batch."""
        positive("Occlusion", perturbations_per_eval=perturbations_per_eval)
        tensors, arguments = as_tuple(inputs, "inputs"), arguments_of(additional_forward_args)
        windows = _each(sliding_window_shapes, tensors, "sliding_window_shapes")
        steps, covers = _each(strides, tensors, "strides"), _each(baselines, tensors, "baselines", scalars=True)
        found = []
        with progress(show_progress):
            for number, tensor in enumerate(tensors):
                others = (*tensors[:number], *tensors[number + 1 :], *arguments)
                asked = asked_alone_or_together(self, tensor, target, others, place=number)
                cover = asked.baseline(covers[number])
                found.append(asked.out(_mean_falls(asked, cover, _windows(asked, windows[number], steps[number]))))
        return found[0] if isinstance(inputs, Tensor) else tuple(found)


def _each(given: Any, tensors: tuple[Tensor, ...], what: str, scalars: bool = False) -> tuple[Any, ...]:
    """An argument that is one for all of a single input, or one per input."""
    per_input = isinstance(given, tuple) and (scalars or len(tensors) > 1 or any(isinstance(v, tuple) for v in given))
    values = given if per_input else (given,) * (len(tensors) if given is None else 1)
    if len(values) != len(tensors):
        raise UsageError(f"Occlusion: {what} must be given for each of {len(tensors)} inputs")
    return values


def _windows(asked: Asked, window: Any, step: Any) -> Windows:
    """Windows over the axes of one example, of which those are left out that a window covers whole."""
    sizes, first = asked.layout.shapes[0][1:], 2 if asked.layout.together else 1
    sides = _extent(window, sizes, "sliding_window_shapes")
    steps = (1,) * len(sizes) if step is None else _extent(step, sizes, "strides")
    if any(stride > side for stride, side, size in zip(steps, sides, sizes, strict=True) if side < size):
        raise UsageError(f"Occlusion: strides {steps} leave gaps between windows of {sides}; make them smaller")
    axes = [axis for axis, (side, size) in enumerate(zip(sides, sizes, strict=True)) if side < size]
    counts = [-(-(sizes[axis] - sides[axis]) // steps[axis]) + 1 for axis in axes]
    along = [torch.arange(count) * steps[axis] for axis, count in zip(axes, counts, strict=True)]
    starts = torch.cartesian_prod(*along).view(-1, len(axes)) if axes else torch.zeros(1, 0, dtype=torch.long)
    return Windows(starts, tuple(sides[axis] for axis in axes), tuple(first + axis for axis in axes))


def _extent(given: Any, sizes: tuple[int, ...], what: str) -> tuple[int, ...]:
    extent = given if isinstance(given, tuple) else (given,) * len(sizes)
    if len(extent) != len(sizes) or not all(isinstance(side, int) and side > 0 for side in extent):
        raise UsageError(
            f"Occlusion: {what} {given!r} must have one whole number for each axis of {sizes}, the batch left out"
        )
    return tuple(min(side, size) for side, size in zip(extent, sizes, strict=True))


def _mean_falls(asked: Asked, cover: Tensor, windows: Windows) -> Tensor:
    point = asked.inputs.value
    plain = asked.answers(point)
    total, covers = (torch.zeros(point.shape, dtype=torch.float64) for _ in range(2))
    for row in range(len(point)):
        own = slice(row, row + 1)
        one, target = asked.inputs.rows(own), asked.target.rows(own)
        covered, _ = with_windows(asked.subject, one, target, cover[own], windows, "occlusion")
        for number, fall in enumerate((plain[row] - covered).tolist()):
            index = windows.index(number, point.ndim)
            total[own][index] += fall
            covers[own][index] += 1
    return (total / covers).to(point)
