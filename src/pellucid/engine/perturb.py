"""Perturbations of the point: what is taken away, what stands in its place, and how features are named."""

from typing import Union

import torch
from torch import Tensor

from pellucid.core.errors import UsageError, nearest
from pellucid.core.spec import Modality
from pellucid.core.subject import Features, Inputs, Subject

Baseline = Union[str, float, Tensor]
Grouping = Union[str, Tensor, None]


def baseline_value(subject: Subject, inputs: Inputs, baseline: Baseline, seed: int = 0) -> Tensor:
    """What stands for "no information" at the point, in the shape of the point.

    A number fills it; a tensor is used as it is (with or without the batch dimension); a name is one that the task
    knows, such as ``zero``, ``mean``, ``blur`` or ``uniform``.
    """
    point = inputs.value
    if isinstance(baseline, Tensor):
        try:
            return baseline.to(point).expand_as(point).clone()
        except RuntimeError as error:
            raise UsageError(
                f"a baseline of shape {tuple(baseline.shape)} does not fit the point {tuple(point.shape)}"
            ) from error
    if isinstance(baseline, str):
        if baseline not in subject.task.baselines():
            raise UsageError(f"there is no baseline {baseline!r} here; {nearest(baseline, subject.task.baselines())}")
        return subject.task.baseline(inputs, baseline, seed)
    return torch.full_like(point, float(baseline))


def with_padding(inputs: Inputs, replaced: Tensor) -> Tensor:
    """``replaced`` where a position is real, and padding as it is in the inputs."""
    if inputs.mask is None:
        return replaced
    real = inputs.mask.view(*inputs.mask.shape, *[1] * (replaced.ndim - inputs.mask.ndim))
    return torch.where(real, replaced, inputs.value)


def grouping(subject: Subject, inputs: Inputs, wanted: Grouping, number: int | None = None) -> Features:
    """Features of the point: the task's default, one of its groupings by name, or a tensor of group numbers.

    A tensor has the shape of the point, broadcasts to it, or is one example's; its group numbers are compacted to
    0, 1, … in ascending order and negative numbers belong to no feature.
    """
    if wanted is None:
        wanted = subject.task.groupings()[0]
    if isinstance(wanted, str):
        if wanted not in subject.task.groupings():
            raise UsageError(f"there is no grouping {wanted!r} here; {nearest(wanted, subject.task.groupings())}")
        return subject.task.features(inputs, wanted, number)
    point = inputs.value
    segments = wanted.long()
    segments = segments.view(*[1] * (point.ndim - segments.ndim), *segments.shape)
    try:
        segments.expand_as(point)
    except RuntimeError as error:
        raise UsageError(
            f"a grouping of shape {tuple(wanted.shape)} does not fit the point {tuple(point.shape)}"
        ) from error
    if len(segments) == 1:
        segments = segments.expand(len(point), *segments.shape[1:])
    return Features("groups", torch.stack([_compact(example) for example in segments]))


def position_axes(subject: Subject, inputs: Inputs) -> tuple[int, ...]:
    """The axes of the point along which positions lie: rows and columns, words, columns of a table."""
    match subject.task.modality:
        case Modality.IMAGE:
            return (2, 3)
        case Modality.TEXT | Modality.SEQUENCE | Modality.TABULAR:
            return (1,)
    return tuple(range(2, inputs.value.ndim)) if inputs.value.ndim > 2 else (1,)


def blended(point: Tensor, baseline: Tensor, segments: Tensor, keep: Tensor) -> Tensor:
    """One example's point with only the features of each row of ``keep`` (``[n, features]``, bool) left standing.

    ``point``, ``baseline`` and ``segments`` are of one example, without batch dimension; elements of no feature stay.
    """
    shown = torch.cat([keep, keep.new_ones(len(keep), 1)], 1)
    index = torch.where(segments < 0, keep.shape[1], segments)
    # Floats, which torch gathers five times as fast as truth values.
    mask = shown.float().index_select(1, index.reshape(-1)).bool().view(len(keep), *segments.shape)
    return torch.where(mask, point, baseline)


def faded(point: Tensor, baseline: Tensor, segments: Tensor, degrees: Tensor) -> Tensor:
    """One example's point with each feature faded in by its degree in a row of ``degrees`` (``[n, features]``, 0 … 1).

    At 0 it is as in ``baseline``, at 1 as it is; elements of no feature stay. Otherwise like :func:`blended`.
    """
    shown = torch.cat([degrees, degrees.new_ones(len(degrees), 1)], 1)
    index = torch.where(segments < 0, degrees.shape[1], segments)
    return torch.lerp(baseline, point, shown[:, index.reshape(-1)].view(len(degrees), *segments.shape).to(point.dtype))


def _compact(segments: Tensor) -> Tensor:
    numbers = segments[segments >= 0].unique()
    if not len(numbers):
        raise UsageError("a grouping needs at least one group number of 0 or more")
    compact = torch.searchsorted(numbers, segments.clamp(min=0).contiguous())
    return torch.where(segments < 0, -1, compact)
