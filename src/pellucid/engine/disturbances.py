"""Changes ``I`` of one example, drawn at random, of which infidelity asks what the map and the model make."""

import torch
from torch import Generator, Tensor

from pellucid.core.errors import BadInput, NotAnswerable
from pellucid.engine.judged import Case
from pellucid.engine.perturb import Baseline, baseline_value, position_axes


def noise(case: Case, spread: float, draws: int, source: Generator) -> Tensor:
    """Normal noise on every real element, ``[draws, …point]``; its deviation is ``spread`` of the example's range.

    Raises ``NotAnswerable`` where inputs are whole numbers and ``BadInput`` where an example has no range.
    """
    point = case.inputs.value[0]
    if not point.is_floating_point():
        raise NotAnswerable(
            f"{case.subject.name} reads whole numbers, to which no noise can be added; use perturbation='square'"
        )
    real = _real(case)
    width = float(point[real].max() - point[real].min())
    if width == 0:
        raise BadInput("all elements of an example are equal, so it has no range for noise; use perturbation='square'")
    drawn = torch.zeros(draws, *point.shape, dtype=point.dtype)
    for row in drawn:
        row[real] = torch.randn(point[real].shape, generator=source, dtype=torch.float64).to(point.dtype)
    return drawn * (spread * width)


def removals(case: Case, side: int | None, cover: Baseline, draws: int, source: Generator) -> Tensor:
    """What is lost where a window of ``side`` positions along each of their axes is erased by a baseline, ``[draws,
    …point]``: a square of a picture, a run of words or columns. By default it is half as long as each axis.

    All places of the window are equally likely, and it lies among the real positions.
    """
    point = case.inputs.value[0]
    real = _real(case)
    lost = point - baseline_value(case.subject, case.inputs, cover)[0]
    inside = real.view(1, -1, *[1] * (point.ndim - 1))
    for axis in position_axes(case.subject, case.inputs):
        # Places are counted among what is no padding; only the first axis has any.
        place = real.cumsum(0) - 1 if axis == 1 else torch.arange(point.shape[axis - 1])
        length = int(place[-1]) + 1
        size = max(1, min(length // 2 if side is None else side, length))
        start = torch.randint(length - size + 1, (draws, 1), generator=source)
        window = (start <= place) & (place < start + size)
        inside = inside & window.view(draws, *[1] * (axis - 1), -1, *[1] * (point.ndim - axis))
    return torch.where(inside, lost, torch.zeros_like(lost))


def _real(case: Case) -> Tensor:
    """Which positions along the first axis of the point are no padding."""
    point = case.inputs.value[0]
    return torch.ones(len(point), dtype=torch.bool) if case.inputs.mask is None else case.inputs.mask[0]
