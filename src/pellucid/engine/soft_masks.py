"""Soft masks that are optimised: smooth ones over a picture, or a degree for each feature, and the points they make."""

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from pellucid.engine.perturb import faded

_CELLS = 32
_TEMPERATURE = 1 / 20
_LEVELS = 8
_PLACES = 5
_HALVINGS = 12


class SoftMasks(Protocol):
    """Masks in 0 … 1 that are functions of ``parameters``, and from which gradients flow back to these."""

    parameters: int

    def masks(self, parameters: Tensor) -> Tensor:
        """``[n, elements]`` masks of ``[n, parameters]``, which lie in 0 … 1 too."""

    def starts(self, share: float) -> Tensor:
        """``[n, parameters]`` from which to look for a mask that shows this share."""

    def placed(self, values: Tensor) -> Tensor:
        """At each element what is said of the parameters there: ``[n, elements]`` of ``[n, parameters]``."""


class SmoothCells:
    """Masks of a picture that have no detail finer than ``smoothness`` × its side (fong2019understanding).

    Each cell lights up what is around it, by a Gaussian; a place is as light as the largest of what reaches it, where the
    maximum is a smooth one at temperature 1/20. Masks are 0 and 1 where all cells are, whatever is at the border. A picture
    has at most 32 cells along a side, between which masks are bilinear.
    """

    def __init__(self, size: tuple[int, int], smoothness: float) -> None:
        self._size = size
        self._cells = min(size[0], _CELLS), min(size[1], _CELLS)
        self.parameters = self._cells[0] * self._cells[1]
        weights = [_gaussian(cells, smoothness * cells) for cells in self._cells]
        self._reach = len(weights[0]) // 2, len(weights[1]) // 2
        self._kernel = (weights[0][:, None] * weights[1]).flatten()
        self._full = self._spread(torch.ones(1, 1, *self._cells, dtype=torch.float64))

    def masks(self, parameters: Tensor) -> Tensor:
        cells = parameters.view(-1, 1, *self._cells)
        lit = self._spread(cells) / self._full.to(cells)
        # A lone cell can be a little lighter than among others. It is cut off, but not its slope: all masks start at a limit.
        lit = lit + (lit.clamp(0, 1) - lit).detach()
        return self._between(lit)

    def starts(self, share: float) -> Tensor:
        """Discs in 5 × 5 places, each as large as the share."""
        rows, columns = (torch.arange(cells, dtype=torch.float64) + 0.5 for cells in self._cells)
        found = []
        for down in range(_PLACES):
            for across in range(_PLACES):
                y, x = (
                    (place + 0.5) / _PLACES * cells for place, cells in zip((down, across), self._cells, strict=True)
                )
                distance = ((rows - y).square()[:, None] + (columns - x).square()).sqrt().flatten()
                found.append(self._disc(distance, share))
        return torch.stack(found)

    def _disc(self, distance: Tensor, share: float) -> Tensor:
        """The cells up to the largest distance at which the mask shows no more than ``share``."""
        low, high = 0.0, float(distance.max()) + 1
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            fits = float(self.masks((middle - distance).clamp(0, 1)[None]).mean()) <= share
            low, high = (middle, high) if fits else (low, middle)
        return (low - distance).clamp(0, 1)

    def placed(self, values: Tensor) -> Tensor:
        return self._between(values.view(-1, 1, *self._cells))

    def _between(self, cells: Tensor) -> Tensor:
        return functional.interpolate(cells, self._size, mode="bilinear", align_corners=False).flatten(1)

    def _spread(self, cells: Tensor) -> Tensor:
        kernel = self._kernel.to(cells)
        sides = 2 * self._reach[0] + 1, 2 * self._reach[1] + 1
        reached = functional.unfold(cells, sides, padding=self._reach) * kernel[:, None]
        return (reached * (reached / _TEMPERATURE).softmax(1)).sum(1).view(-1, 1, *self._cells)


class Degrees:
    """Masks of ``features``, each with a degree of its own."""

    def __init__(self, features: int) -> None:
        self.parameters = features

    def masks(self, parameters: Tensor) -> Tensor:
        return parameters

    def starts(self, share: float) -> Tensor:
        """All features by the same degree."""
        return torch.full((1, self.parameters), share, dtype=torch.float64)

    def placed(self, values: Tensor) -> Tensor:
        return values


def blurring(point: Tensor, most: float) -> Callable[[Tensor], Tensor]:
    """Makes one picture ``[channels, height, width]`` sharp where a mask ``[n, height × width]`` is 1 and blurred elsewhere,
    down to a Gaussian of ``most`` × its side at 0.

    Between 8 pictures of evenly growing blur it is interpolated place by place, so that a mask has the same effect on all
    scales of detail (fong2019understanding).
    """
    side = max(point.shape[1:])
    levels = torch.stack([_blurred(point, most * side * (1 - level / (_LEVELS - 1))) for level in range(_LEVELS)])

    def points(masks: Tensor) -> Tensor:
        height = masks.view(-1, 1, *point.shape[1:]) * (_LEVELS - 1)
        # At a level itself the slope is that of the part below, and at 0 that of the part above: never of neither.
        below = (height.detach().ceil().long() - 1).clamp(0, _LEVELS - 2).expand(-1, len(point), -1, -1)
        return torch.lerp(levels.gather(0, below), levels.gather(0, below + 1), height.to(point.dtype) - below)

    return points


def fading(point: Tensor, hidden: Tensor, segments: Tensor) -> Callable[[Tensor], Tensor]:
    """Shows each feature of one example by its degree in a mask ``[n, features]``, the rest as in ``hidden``."""
    return lambda masks: faded(point, hidden, segments, masks)


def area_excess(masks: Tensor, order: Tensor, ones: Tensor) -> Tensor:
    """How far each element of ``masks`` ``[n, elements]`` is above a mask with ``ones`` ``[n]`` elements at 1 and all others
    at 0: half of the slope of the area loss, which compares the two in order of size (fong2019understanding).

    Which elements these are is told by the masks plus ``order``: among equals by that alone, not by where they stand.
    """
    ranks = (masks + order).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return masks - (ones[:, None] - ranks).clamp(0, 1).to(masks.dtype)


def _gaussian(cells: int, deviation: float) -> Tensor:
    reach = min(math.ceil(3 * deviation), cells - 1)
    return (-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / deviation).square()).exp()


def _blurred(point: Tensor, deviation: float) -> Tensor:
    """A picture under a Gaussian; what is beyond its border is as the border is."""
    if deviation < 0.1:
        return point
    reach = math.ceil(3 * deviation)
    weights = (-0.5 * (torch.arange(-reach, reach + 1) / deviation).square()).exp().to(point)
    weights = weights / weights.sum()
    wide = functional.pad(point[:, None], (reach,) * 4, mode="replicate")
    across = functional.conv2d(wide, weights.view(1, 1, 1, -1))
    return functional.conv2d(across, weights.view(1, 1, -1, 1))[:, 0]
