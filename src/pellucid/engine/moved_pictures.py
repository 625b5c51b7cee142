"""Pictures that are moved, enlarged or turned around their centre, in one sampling of each."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

Outside = Literal["border", "mean"]
Transformation = Literal["shift down", "shift right", "scale", "rotation"]
# The amount that changes nothing, and the unit.
NEUTRAL: dict[str, float] = {"shift down": 0.0, "shift right": 0.0, "scale": 1.0, "rotation": 0.0}


def moved(pictures: Tensor, kind: Transformation, amount: float, outside: Outside) -> Tensor:
    """Pictures ``[batch, channels, height, width]`` with their content shifted by a share of the side, enlarged by a factor,
    or turned counter-clockwise by degrees. What comes in from beyond the border repeats it, or is the picture's mean colour.

    A shift by whole pixels moves them exactly, and the neutral amount changes nothing.
    """
    if amount == NEUTRAL[kind]:
        return pictures
    height, width = pictures.shape[2:]
    if kind in ("shift down", "shift right"):
        axis, side = (2, height) if kind == "shift down" else (3, width)
        if float(amount * side).is_integer():
            return _rolled(pictures, axis, int(amount * side), outside)
    down, right = (amount if kind == name else 0.0 for name in ("shift down", "shift right"))
    angle = math.radians(amount) if kind == "rotation" else 0.0
    size = amount if kind == "scale" else 1.0
    cosine, sine, ratio = math.cos(angle) / size, math.sin(angle) / size, height / width
    # Where in the given picture each place of the moved one is read, in halves of its sides.
    matrix = [[cosine, -sine * ratio, -2 * right], [sine / ratio, cosine, -2 * down]]
    grid = affine_grid(torch.tensor([matrix]).to(pictures).expand(len(pictures), -1, -1), list(pictures.shape), False)
    if outside == "border":
        return grid_sample(pictures, grid, "bilinear", "border", False)
    middle = pictures.mean((2, 3), keepdim=True)
    return grid_sample(pictures - middle, grid, "bilinear", "zeros", False) + middle


def _rolled(pictures: Tensor, axis: int, places: int, outside: Outside) -> Tensor:
    length = pictures.shape[axis]
    index = torch.arange(length) - places
    found = pictures.index_select(axis, index.clamp(0, length - 1))
    if outside == "border":
        return found
    inside = ((index >= 0) & (index < length)).view(-1, *[1] * (3 - axis))
    return torch.where(inside, found, pictures.mean((2, 3), keepdim=True))
