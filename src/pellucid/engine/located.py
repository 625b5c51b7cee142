"""Explanations against what is known of where their reason lies: masks from a judgement's reference, maps by position."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from pellucid.core.errors import BadInput, NotAnswerable
from pellucid.core.subject import Origin
from pellucid.engine.judged import Case, Judged
from pellucid.engine.perturb import position_axes

Pooling = Annotated[
    Literal["sum", "absolute sum", "l1", "l2", "squared l2", "max"],
    "how the scores of a position's channels become one; l1 and l2 are norms, max is the largest absolute score",
]


def masks_of(asked: Judged) -> list[Tensor]:
    """For each example the positions where the reason lies, bool, in the shape of its positions, without padding.

    The judgement's reference is a boolean tensor ``[batch, …positions]``, for pictures ``[batch, height, width]`` of the
    network's input or of the raw picture; or one in the shape of the point, where a position counts if any of its elements
    does; or one mask for all examples; or a list with one mask per example, whose length may be its own. Raises
    ``NotAnswerable`` where there is none, and ``BadInput`` where it does not fit or marks nothing.
    """
    axes, point = position_axes(asked.subject, asked.inputs), asked.inputs.value
    whole = tuple(point.shape[axis] for axis in axes)
    if asked.reference is None:
        shape = ", ".join(["examples", *map(str, whole)])
        raise NotAnswerable(
            f"it compares with what is known to be the reason; give boolean masks [{shape}]: "
            "Judgement(results, reference=masks)"
        )
    return [
        _fitted(asked, row, mask, axes, whole)
        for row, mask in enumerate(_per_example(asked.reference, len(point), len(whole)))
    ]


def by_position(case: Case, pooling: str) -> Tensor:
    """What each map says of each real position, ``[rows, positions]``, its channels pooled."""
    axes = position_axes(case.subject, case.inputs)
    moved = case.maps.movedim(axes, tuple(range(1, len(axes) + 1)))
    flat = moved.reshape(*moved.shape[: len(axes) + 1], -1)
    match pooling:
        case "sum":
            pooled = flat.sum(-1)
        case "absolute sum":
            pooled = flat.sum(-1).abs()
        case "l1":
            pooled = flat.abs().sum(-1)
        case "l2":
            pooled = flat.norm(dim=-1)
        case "squared l2":
            pooled = flat.square().sum(-1)
        case _:
            pooled = flat.abs().amax(-1)
    pooled = pooled if case.inputs.mask is None else pooled[:, case.inputs.mask[0]]
    return pooled.flatten(1)


def share_inside(relevance: Tensor, inside: Tensor, largest: int) -> Tensor:
    """The share of each row's ``largest`` positions that are ``inside`` (``[positions]``, bool): ``[rows]``.

    Where several are as large as the last of them, it is the expectation of a fair choice among these.
    """
    last = relevance.topk(largest, dim=1).values[:, -1:]
    above, level = relevance > last, relevance == last
    among = (level & inside).sum(1) / level.sum(1).double()
    return ((above & inside).sum(1) + (largest - above.sum(1)) * among) / largest


def _per_example(reference: Any, batch: int, positions: int) -> Sequence[Any]:
    if isinstance(reference, list | tuple):
        if len(reference) != batch:
            raise BadInput(f"the reference has {len(reference)} masks for {batch} examples; give one per example")
        return reference
    if not isinstance(reference, Tensor | np.ndarray):
        raise BadInput(f"the reference is a {type(reference).__name__}; give masks as a tensor or a list of tensors")
    if reference.ndim == positions:
        return [reference] * batch
    if len(reference) != batch:
        raise BadInput(f"the reference has {len(reference)} masks for {batch} examples; give one per example")
    return list(reference)


def _fitted(asked: Judged, row: int, given: Any, axes: tuple[int, ...], whole: tuple[int, ...]) -> Tensor:
    origin = asked.inputs.origins[row] if asked.inputs.origins else Origin()
    which = f"the mask of example {row}{f' ({origin.name})' if origin.name else ''}"
    mask = torch.as_tensor(given)
    if mask.dtype != torch.bool and not bool(((mask == 0) | (mask == 1)).all()):
        raise BadInput(f"{which} holds other values than 0 and 1; give booleans, such as segments == number")
    mask = mask.bool()
    real = None if asked.inputs.mask is None else asked.inputs.mask[row]
    wanted = whole if real is None else (int(real.sum()),)
    if mask.shape == asked.inputs.value.shape[1:] and mask.ndim > len(whole):
        mask = mask.any(tuple(axis - 1 for axis in range(1, mask.ndim + 1) if axis not in axes))
    if real is not None and mask.shape == whole:
        mask = mask[real]
    if mask.shape != wanted and isinstance(origin.raw, Image.Image) and mask.shape == origin.raw.size[::-1]:
        mask = _as_prepared(mask, origin, wanted)
    if mask.shape != wanted:
        raise BadInput(f"{which} has shape {tuple(mask.shape)}, its positions {wanted}; give one value per position")
    if not bool(mask.any()):
        raise BadInput(f"{which} marks nothing, so that no map can be right; leave the example out")
    return mask


def _as_prepared(mask: Tensor, origin: Origin, size: tuple[int, ...]) -> Tensor:
    """The part of a mask ``[height, width]`` of the raw picture that the network sees, in the size of its input; a pixel
    counts where half of what it shows does."""
    left, top, right, bottom = origin.box or (0, 0, *origin.raw.size)
    covered = interpolate(mask[None, None, top:bottom, left:right].double(), size, mode="area")
    return covered[0, 0] >= 0.5
