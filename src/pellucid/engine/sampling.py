"""Neighbourhoods of one example: random rows that a linear model is fitted to, and the points they stand for."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from pellucid.engine.perturb import blended

BLOCK = 1024
_FEW_FEATURES = 20

Draw = Callable[[int, Generator], Tensor]
Weights = Callable[[Tensor], Tensor]


class Draws:
    """``samples`` random rows, in blocks that can be made again in any order; row 0 is ``first`` where it ``opens`` them.

    Every block has a seed of its own, all of them drawn from ``source`` at the start. Rows therefore depend neither on
    what is asked of the model nor in which batches, and only one block at a time is held.
    """

    def __init__(self, samples: int, first: Tensor, draw: Draw, source: Generator, opens: bool = True) -> None:
        self.samples, self.first, self.opens = samples, first, opens
        self._draw = draw
        self._seeds = torch.randint(2**62, (math.ceil(samples / BLOCK),), generator=source).tolist()
        self._latest: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        return self.samples

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[slice, Tensor]]:
        """The rows from ``start`` to ``stop`` (all) in order, block by block, with their places."""
        stop = self.samples if stop is None else stop
        while start < stop:
            number, offset = divmod(start, BLOCK)
            rows = self._block(number)[offset : offset + stop - start]
            yield slice(start, start + len(rows)), rows
            start += len(rows)

    def rows(self, part: slice) -> Tensor:
        """The rows from ``part.start`` to ``part.stop``."""
        return torch.cat([rows for _, rows in self.blocks(part.start, part.stop)])

    def _block(self, number: int) -> Tensor:
        if self._latest is None or self._latest[0] != number:
            size = min(BLOCK, self.samples - number * BLOCK)
            rows = self._draw(size, torch.Generator().manual_seed(self._seeds[number]))
            if number == 0 and self.opens:
                rows[0] = self.first
            self._latest = (number, rows)
        return self._latest[1]


@dataclass(frozen=True)
class Neighbourhood:
    """Draws, what the linear model reads in them (``interpretable``: ``[n, features]``, float64) and their ``points``.

    ``weights`` tells what rows that the model reads weigh. ``together`` rows in turn were drawn as one; after every
    ``step`` rows the design is balanced. ``exact`` draws are all that there are.
    """

    draws: Draws
    interpretable: Callable[[Tensor], Tensor]
    points: Callable[[Tensor], Tensor]
    weights: Callable[[Tensor], Tensor]
    together: int = 1
    step: int = 1
    exact: bool = False

    @property
    def instance(self) -> Tensor:
        """The example as the linear model reads it: ``[features]``."""
        return self.interpretable(self.draws.first[None])[0]


def coin_flips(features: int) -> Draw:
    """Each feature of a row is shown with probability ½."""
    return lambda rows, source: torch.randint(2, (rows, features), generator=source, dtype=torch.uint8).bool()


def removals(features: int) -> Draw:
    """From each row a number of features uniform in 1 … all is removed: which ones is drawn without replacement."""

    def draw(rows: int, source: Generator) -> Tensor:
        removed = torch.randint(1, features + 1, (rows, 1), generator=source)
        rank = torch.rand(rows, features, generator=source, dtype=torch.float64).argsort(1).argsort(1)
        return rank >= removed

    return draw


def shown_and_hidden(
    point: Tensor, hidden: Tensor, segments: Tensor, draws: Draws, weights: Weights, **design: Any
) -> Neighbourhood:
    """Rows of features that are shown (True) or hidden (False); ``hidden`` is what stands where a feature is hidden.

    ``point``, ``hidden`` and ``segments`` are of one example, without batch dimension; ``design`` are further fields of
    the neighbourhood.
    """
    return Neighbourhood(
        draws,
        lambda rows: rows.double(),
        lambda rows: blended(point, hidden, segments, rows),
        weights,
        **design,
    )


def distinct(draws: Draws) -> tuple[Tensor, Tensor] | None:
    """The distinct masks and which of them each row is; None where features are too many for rows to repeat."""
    features = len(draws.first)
    if draws.first.dtype != torch.bool or features > _FEW_FEATURES or 2**features > len(draws):
        return None
    places = torch.arange(features)
    codes = torch.cat([(rows.long() << places).sum(1) for _, rows in draws.blocks()])
    known, which = codes.unique(return_inverse=True)
    return ((known[:, None] >> places) & 1).bool(), which


def feature_means(point: Tensor, segments: Tensor) -> Tensor:
    """One example's point with every feature replaced by its mean in each channel (the first axis)."""
    groups = segments.expand_as(point).flatten(1) + 1
    number = int(groups.max()) + 1
    index = (groups + number * torch.arange(len(point))[:, None]).reshape(-1)
    sums = torch.zeros(number * len(point), dtype=torch.float64).index_add_(0, index, point.double().reshape(-1))
    means = sums / torch.bincount(index, minlength=len(sums)).clamp(min=1)
    return means[index].view(point.shape).to(point.dtype)


def inert(point: Tensor, hidden: Tensor, segments: Tensor) -> Tensor:
    """Which features of one example look the same hidden as shown: ``[features]``, bool."""
    groups = segments.expand_as(point)
    found = torch.ones(int(segments.max()) + 1, dtype=torch.bool)
    found[groups[(groups >= 0) & (point != hidden)]] = False
    return found


def unchanged(point: Tensor, hidden: Tensor, segments: Tensor) -> int:
    """How many features of one example look the same hidden as shown."""
    return int(inert(point, hidden, segments).sum())


class Quartiles:
    """Columns of ``reference`` ``[rows, columns]`` cut at their quartiles, with each part's share, mean and deviation.

    A value at a border belongs to the part below it; equal borders are one.
    """

    def __init__(self, reference: Tensor) -> None:
        reference = reference.double()
        cuts = torch.from_numpy(np.percentile(reference.numpy(), [25, 50, 75], axis=0).T.copy())
        repeated = torch.zeros_like(cuts, dtype=torch.bool)
        repeated[:, 1:] = cuts[:, 1:] == cuts[:, :-1]
        self.cuts = torch.where(repeated, torch.inf, cuts).sort(1).values
        columns, part = len(cuts), self.part(reference)
        self.lowest = torch.cat([reference.amin(0)[:, None], self.cuts], 1)
        self.highest = torch.cat([self.cuts, torch.full((columns, 1), torch.inf)], 1)
        self.highest = self.highest.minimum(reference.amax(0)[:, None])
        self.mean, self.deviation, share = (torch.zeros(columns, 4, dtype=torch.float64) for _ in range(3))
        for number in range(4):
            inside = (part == number).double()
            count = inside.sum(0).clamp(min=1)
            self.mean[:, number] = (inside * reference).sum(0) / count
            self.deviation[:, number] = ((inside * (reference - self.mean[:, number]).square()).sum(0) / count).sqrt()
            share[:, number] = inside.sum(0)
        self.cumulative = share.cumsum(1) / len(reference)

    def part(self, rows: Tensor) -> Tensor:
        """The part 0 … 3 in which each value of ``rows`` ``[n, columns]`` lies."""
        return (rows[:, :, None] > self.cuts).sum(2)

    def draw(self, rows: int, source: Generator) -> Tensor:
        """A part by its share in the reference, then a value from the normal of that part, cut off at its borders."""
        columns = len(self.cuts)
        chance = torch.rand(rows, columns, generator=source, dtype=torch.float64)
        height = torch.rand(rows, columns, generator=source, dtype=torch.float64)
        part = (chance[:, :, None] >= self.cumulative).sum(2).T
        mean, deviation, low, high = (
            of_part.gather(1, part).T for of_part in (self.mean, self.deviation, self.lowest, self.highest)
        )
        scale = deviation.clamp(min=torch.finfo(torch.float64).tiny)
        start, stop = (torch.special.ndtr((border - mean) / scale) for border in (low, high))
        drawn = mean + deviation * torch.special.ndtri(start + height * (stop - start))
        return torch.where(deviation > 0, drawn, mean).clamp(low, high)


def same_quartiles(
    point: Tensor, reference: Tensor, segments: Tensor, samples: int, source: Generator, weights: Weights
) -> Neighbourhood:
    """Rows drawn column by column from the quartiles of ``reference``; a feature is 1 where all its columns lie in the
    same part as the example's. Columns of no feature keep the example's value."""
    quartiles = Quartiles(reference)
    here = quartiles.part(point.double()[None])
    inside = segments >= 0
    features = int(segments.max()) + 1

    def interpretable(rows: Tensor) -> Tensor:
        same = (quartiles.part(rows) == here)[:, inside].double()
        index = segments[inside].expand_as(same)
        return torch.ones(len(rows), features, dtype=torch.float64).scatter_reduce(1, index, same, "amin")

    return Neighbourhood(
        Draws(samples, point.double(), quartiles.draw, source),
        interpretable,
        lambda rows: torch.where(inside, rows.to(point.dtype), point),
        weights,
    )


def standard_normal(
    point: Tensor, segments: Tensor, samples: int, source: Generator, weights: Weights
) -> Neighbourhood:
    """Rows whose columns are independent standard normal numbers; each feature is one column, read as it is."""
    inside = segments >= 0
    columns = segments.masked_fill(~inside, len(segments)).argsort(stable=True)[: int(inside.sum())]

    def draw(rows: int, generator: Generator) -> Tensor:
        return torch.randn(rows, len(point), generator=generator, dtype=torch.float64)

    return Neighbourhood(
        Draws(samples, point.double(), draw, source),
        lambda rows: rows[:, columns],
        lambda rows: torch.where(inside, rows.to(point.dtype), point),
        weights,
    )
