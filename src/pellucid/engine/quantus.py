"""What quantus does where the papers say something else, for the metrics that can be asked for it: ``compat="quantus"``."""

from typing import Annotated, Literal

import numpy as np
import torch
from skimage.segmentation import slic
from torch import Tensor

from pellucid.core.subject import Features, Inputs

Compat = Annotated[Literal["quantus"] | None, "whose definition: None is the paper's, quantus that package's"]


def darkest(inputs: Inputs) -> Tensor:
    """What quantus calls black: everywhere the smallest value of each example, over all channels."""
    point = inputs.value
    return point.flatten(1).amin(1).view(-1, *[1] * (point.ndim - 1)).expand_as(point)


def mean_value(inputs: Inputs) -> Tensor:
    """The mean of each example over all its elements, channels together."""
    point = inputs.value
    return point.flatten(1).mean(1).view(-1, *[1] * (point.ndim - 1)).expand_as(point)


def superpixels(inputs: Inputs) -> Features:
    """SLIC on the numbers that the model sees, with scikit-image's defaults."""
    found = [slic(point.double().permute(1, 2, 0).numpy(), start_label=0) for point in inputs.value]
    return Features("superpixel", torch.from_numpy(np.stack(found))[:, None].long())


def patches(inputs: Inputs, side: int) -> Features:
    """Squares of ``side`` pixels that cover all of a picture, row by row; those at the border may stick out, on both
    sides as evenly as they can."""
    across, down = (_tiles(length, side) for length in (inputs.value.shape[3], inputs.value.shape[2]))
    segments = down[:, None] * (int(across[-1]) + 1) + across
    return Features(f"square of {side} × {side} pixels", segments.expand(len(inputs), 1, *segments.shape))


def area_of_unit_steps(curve: Tensor) -> Tensor:
    """The area under a curve ``[…, stages]`` whose first stage, of nothing erased, is left out, by the trapezoid rule
    with steps of one: it grows with the number of stages."""
    return torch.trapezoid(curve[..., 1:], dim=-1)


def _tiles(length: int, side: int) -> Tensor:
    missing = -length % side
    return (torch.arange(length) + missing // 2) // side
