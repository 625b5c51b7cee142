"""The average of a derivative over a straight path: Gauss–Legendre rules on parts of it, halved where they fall short.

How much the whole changes along any part is known from its ends, so that no part is done before its derivatives account
for that; neither a kink nor a jump between two nodes goes unseen.
"""

import functools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

K = TypeVar("K", bound=Hashable)
_PANELS, _ROUNDING = 127, 16


@dataclass(frozen=True)
class _Panel(Generic[K]):
    """A part of the path: the average's share of it, what it leaves unaccounted for, and what the coarser rule got wrong."""

    start: float
    end: float
    shares: Mapping[K, Tensor]
    missed: float
    changed: float


@dataclass(eq=False)
class PathAverage(Generic[K]):
    """∂/∂k of a height averaged over [0, 1], where every ``k`` moves by ``changes[k]`` at even speed.

    ``gradients(place)`` are the derivatives there and ``height(place)`` is a sum of ``terms``, of which their size alone
    is read, because it says how large rounding is. Refined until what the derivatives account for, element by element and
    in sum, is right to some five digits in single and eleven in double precision, or parts run out.
    """

    gradients: Callable[[float], Mapping[K, Tensor]]
    height: Callable[[float], float]
    changes: Mapping[K, Tensor]
    terms: Sequence[Tensor]
    _heights: dict[float, float] = field(default_factory=dict)
    _largest: float = 0.0
    _sum: float = 0.0

    def __post_init__(self) -> None:
        epsilon = max(torch.finfo(change.dtype).eps for change in self.changes.values())
        self._tolerance, self._orders = epsilon**0.7, (8, 16) if epsilon < 1e-10 else (4, 8)
        self._rounding = _ROUNDING * epsilon * _largest(self.terms) + torch.finfo(torch.float64).tiny
        self._rounding_of_sum = self._rounding + _ROUNDING * epsilon * math.hypot(*map(_norm, self.terms))

    def average(self) -> dict[K, Tensor]:
        """The averaged derivatives, of the ``k`` that have any."""
        waiting, number = [self._panel(0.0, 1.0)], 1
        done: dict[K, Tensor] = {}
        while waiting:
            waiting.sort(key=self._error)
            panel = waiting.pop()
            if number < _PANELS and self._error(panel) > 1:
                middle = (panel.start + panel.end) / 2
                waiting += [self._panel(panel.start, middle), self._panel(middle, panel.end)]
                number += 2
            else:
                done = {k: done[k] + share if k in done else share for k, share in panel.shares.items()}
        return done

    def _panel(self, start: float, end: float) -> _Panel[K]:
        coarse, fine = (self._shares(start, end, order) for order in self._orders)
        accounts = [accounted(share, self.changes[k]) for k, share in fine.items()]
        changed = [accounted(share - coarse[k], self.changes[k]) for k, share in fine.items()]
        self._largest = max(self._largest, _largest(accounts))
        self._sum = max(self._sum, sum(float(part.abs().sum(dtype=torch.float64)) for part in accounts))
        missed = sum(float(part.sum(dtype=torch.float64)) for part in accounts) - (self._at(end) - self._at(start))
        return _Panel(start, end, fine, abs(missed), _largest(changed))

    def _error(self, panel: _Panel[K]) -> float:
        """In units of what is tolerated."""
        changed = panel.changed / (self._tolerance * self._largest + self._rounding)
        return max(changed, panel.missed / (self._tolerance * self._sum + self._rounding_of_sum))

    def _shares(self, start: float, end: float, order: int) -> dict[K, Tensor]:
        total: dict[K, Tensor] = {}
        for node, weight in zip(*_gauss_legendre(order), strict=True):
            for k, gradient in self.gradients(start + node * (end - start)).items():
                share = gradient * (weight * (end - start))
                total[k] = total[k] + share if k in total else share
        return total

    def _at(self, place: float) -> float:
        if place not in self._heights:
            self._heights[place] = self.height(place)
        return self._heights[place]


def accounted(multiplier: Tensor, change: Tensor) -> Tensor:
    """What a multiplier accounts for, element by element."""
    return (multiplier.conj() * change).real if multiplier.is_complex() else multiplier * change


def _norm(tensor: Tensor) -> float:
    return float(tensor.double().norm())


def _largest(tensors: Sequence[Tensor]) -> float:
    return max((float(tensor.abs().max()) for tensor in tensors if tensor.numel()), default=0.0)


@functools.cache
def _gauss_legendre(order: int) -> tuple[list[float], list[float]]:
    """Nodes in (0, 1) and weights that sum to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return ((nodes + 1) / 2).tolist(), (weights / 2).tolist()
