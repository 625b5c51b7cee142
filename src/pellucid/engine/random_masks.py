"""Random masks that show some of one example and hide the rest: of its features, or soft ones of a picture."""

import math
from typing import Protocol

import torch
from torch import Generator, Tensor

_CHUNK = 2 * 1024 * 1024
_MOST_SWITCHES = 1024


class RandomMasks(Protocol):
    """Masks drawn one by one, each known by a short row of whole numbers, so that many can be held.

    Every element of a mask, ``[elements]``, has the mean ``probability`` and the exact ``variance`` ``[elements]``.
    """

    probability: float
    variance: Tensor

    def draw(self, number: int, source: Generator) -> Tensor:
        """``[number, …]`` rows that stand for masks."""

    def opposite(self, rows: Tensor) -> Tensor:
        """The rows of the masks that show what these hide, and hide what these show."""

    def masks(self, rows: Tensor) -> Tensor:
        """The masks of rows, ``[n, elements]``, float64 in 0 … 1."""

    def switches(self, rows: Tensor) -> Tensor:
        """What was drawn, one number per switch: 1 − ``probability`` where it is on, else −``probability``."""

    def slopes(self, weights: Tensor) -> Tensor:
        """The covariance of each element of a mask with its ``switches(…) @ weights``, over ``variance``: ``[elements]``."""


class ShownFeatures:
    """Each of ``features`` is shown with this probability, whatever the others are."""

    def __init__(self, features: int, probability: float) -> None:
        self.probability = probability
        self.variance = torch.full((features,), probability * (1 - probability), dtype=torch.float64)

    def draw(self, number: int, source: Generator) -> Tensor:
        chances = torch.rand(number, len(self.variance), generator=source, dtype=torch.float64)
        return (chances < self.probability).byte()

    def opposite(self, rows: Tensor) -> Tensor:
        return 1 - rows

    def masks(self, rows: Tensor) -> Tensor:
        return rows.double()

    def switches(self, rows: Tensor) -> Tensor:
        return rows.double() - self.probability

    def slopes(self, weights: Tensor) -> Tensor:
        return weights


class UpsampledCells:
    """Soft masks of a picture (petsiuk2018rise): few cells, each shown with this probability, upsampled bilinearly to one
    cell more than the picture has, of which a window at a random place is cut out.

    The place makes the borders of cells fall anywhere. Within reach of the picture's edge, where cells end, the variance is
    a little larger than elsewhere; it is known exactly, because rows and columns are interpolated one after the other.
    """

    def __init__(self, size: tuple[int, int], cells: int, probability: float) -> None:
        self.probability, self._cells = probability, cells
        self._along = tuple(_windows(side, min(cells, side)) for side in size)
        rows, columns = (windows.square().sum(2).mean(0) for windows in self._along)
        self.variance = probability * (1 - probability) * (rows[:, None] * columns).flatten()

    def draw(self, number: int, source: Generator) -> Tensor:
        height, width = self._grid
        chances = torch.rand(number, height * width, generator=source, dtype=torch.float64)
        places = [torch.randint(len(windows), (number, 1), generator=source) for windows in self._along]
        return torch.cat([(chances < self.probability).short(), *(place.short() for place in places)], 1)

    def opposite(self, rows: Tensor) -> Tensor:
        return torch.cat([1 - rows[:, :-2], rows[:, -2:]], 1)

    def masks(self, rows: Tensor) -> Tensor:
        cells = rows[:, :-2].double().view(len(rows), *self._grid)
        down, across = (windows[rows[:, column].long()] for windows, column in zip(self._along, (-2, -1), strict=True))
        return (down @ cells @ across.transpose(1, 2)).flatten(1)

    def switches(self, rows: Tensor) -> Tensor:
        return rows[:, :-2].double() - self.probability

    def slopes(self, weights: Tensor) -> Tensor:
        down, across = (windows.mean(0) for windows in self._along)
        spread = self.probability * (1 - self.probability)
        return spread * (down @ weights.view(*self._grid) @ across.T).flatten() / self.variance

    @property
    def _grid(self) -> tuple[int, int]:
        height, width = (windows.shape[2] for windows in self._along)
        return height, width


class LinearControl:
    """What a mask's switches tell of the quantity under it, by least squares over all masks so far (owen2013monte).

    Masks that are drawn later do not depend on it. What it tells of their quantity can therefore be taken off and its
    known mean put back: no bias comes of that, and much less noise where parts mostly add up. Before there are eight masks
    per switch it tells the mean alone.
    """

    def __init__(self, masks: RandomMasks) -> None:
        self._masks = masks
        switches = masks.switches(masks.draw(1, Generator())).shape[1]
        self.level = 0.0
        self.weights = torch.zeros(switches, dtype=torch.float64)
        self._count = 0
        self._products = torch.zeros(0, dtype=torch.float64)
        self._answers = torch.zeros(switches + 1, dtype=torch.float64)

    @property
    def first(self) -> int:
        """How many masks it takes before more than the mean is told; 0 where there are too many switches."""
        switches = len(self.weights)
        return 8 * (switches + 1) if switches <= _MOST_SWITCHES else 0

    def told(self, rows: Tensor) -> Tensor:
        """What the switches of ``rows`` tell: ``[n]``."""
        return self.level + self._masks.switches(rows) @ self.weights

    def add(self, rows: Tensor, values: Tensor) -> None:
        """Learn from masks and the quantity under them."""
        design = torch.cat([self._masks.switches(rows), torch.ones(len(rows), 1, dtype=torch.float64)], 1)
        self._count += len(rows)
        self._answers += design.T @ values
        self.level = float(self._answers[-1] / self._count)
        if not self.first:
            return
        self._products = design.T @ design + (self._products if len(self._products) else 0.0)
        if self._count >= self.first:
            solved = torch.linalg.lstsq(self._products, self._answers, driver="gelsd").solution
            self.weights, self.level = solved[:-1], float(solved[-1])


def chunks(number: int, elements: int) -> list[slice]:
    """Parts of so many masks that take little memory each."""
    size = max(1, _CHUNK // elements)
    return [slice(start, min(start + size, number)) for start in range(0, number, size)]


def _windows(side: int, cells: int) -> Tensor:
    """For every place of the window the weights of the cells in each of ``side`` pixels: ``[places, side, cells]``."""
    step = math.ceil(side / cells)
    long = (cells + 1) * step
    centres = ((torch.arange(long, dtype=torch.float64) + 0.5) * cells / long - 0.5).clamp(0, cells - 1)
    weights = (1 - (centres[:, None] - torch.arange(cells)).abs()).clamp(min=0)
    return torch.stack([weights[place : place + side] for place in range(step)])
