"""Integrals over a path whose total is known beforehand: one number per feature, as few evaluations as the path allows.

Along the path a *height* (a score) is known wherever its *rate* (one number per element, which sum to the derivative of
the height) is evaluated, so every part of the path tells for free what the parts' rates fail to account for.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.polynomial import Chebyshev
from torch import Tensor

_START = 4
_LARGEST_ORDER = 64
_LIVE_PANELS = (32, 1024)
_LIVE_BYTES = 64 * 1024 * 1024
_SMOOTH = 4.0
_FAR = 100.0
_WORTH = 1000.0
_ROUND = 4
_NORMAL = 1.96


def clenshaw_curtis(order: int) -> tuple[Tensor, Tensor]:
    """``order + 1`` nodes in [0, 1], both ends among them, and their weights, which sum to 1 (float64).

    Exact for polynomials up to degree ``order`` (one more where it is even). The nodes of ``order`` are every second
    node of ``2 * order``, bit by bit. Order 1 is the trapezoid, order 2 Simpson's rule (clenshaw1960method).
    """
    steps = torch.arange(order + 1, dtype=torch.float64)
    nodes = torch.tensor([math.sin(math.pi / 2 * (k / order)) ** 2 for k in range(order + 1)], dtype=torch.float64)
    nodes[-1] = 1.0
    waves = torch.arange(1, order // 2 + 1, dtype=torch.float64)
    factors = torch.where(2 * waves == order, 1.0, 2.0) / (4 * waves**2 - 1)
    sums = (factors * torch.cos(2 * math.pi / order * torch.outer(steps, waves))).sum(1)
    ends = torch.where((steps == 0) | (steps == order), 1.0, 2.0)
    return nodes, ends * (1 - sums) / (2 * order)


@dataclass(frozen=True, eq=False)
class _Node:
    """Height and rate at one place; ``slope`` is the sum of the rate, ``size`` the largest number that enters it."""

    place: float
    height: float
    rate: Tensor
    slope: float
    size: float


@dataclass(frozen=True, eq=False)
class _Panel:
    """A part of the path between two nodes, integrated by the trapezoid rule.

    ``residual`` is what the rule misses of the rise in height. ``variance``, per feature, is that of the integral of a
    rate known at both ends only: width² · change² / 12, for one jump anywhere between them as for many small ones.
    """

    left: _Node
    right: _Node
    residual: float
    variance: Tensor
    spread: float

    def integral(self) -> Tensor:
        width = self.right.place - self.left.place
        return (self.left.rate.double() + self.right.rate.double()) * (width / 2)


class PathIntegral:
    """The integral of one example's rate over [0, 1], refined until its error is within ``tolerance`` or steps run out.

    A smooth rate is integrated over the whole path by nested Clenshaw–Curtis rules of rising order. Where doubling the
    order does not pay, the rate has kinks; the path is then cut into panels at the nodes it has, and the panels that
    miss most are halved. No evaluation is thrown away, and no score is rescaled to close the residual.

    ``wanted`` are the places whose height and rate must be told next; it is empty when the integral is done. What is
    held is bounded whatever the number of steps (see :func:`most_held`): past that the best known panels become final.
    """

    def __init__(self, tolerance: float, max_steps: int, by_feature: Callable[[Tensor], Tensor]) -> None:
        self._tolerance, self._max_steps, self._by_feature = tolerance, max_steps, by_feature
        self._order = next(order for order in (_START, 2, 1) if order + 1 <= max(max_steps, 2))
        self._nodes: dict[float, _Node] = {}
        self._panels: list[_Panel] | None = None
        self._final: Tensor | None = None
        self._final_variance: Tensor | float = 0.0
        self._final_residual = self._final_square = 0.0
        self._cuts: list[_Panel] = []
        self.steps = 0
        self.converged = False
        self.wanted = clenshaw_curtis(self._order)[0].tolist()

    def take(self, place: float, height: float, rate: Tensor) -> None:
        """Height and rate at a wanted place; when all wanted ones are in, the next are chosen."""
        slope, size = (float(numbers.sum(dtype=torch.float64)) for numbers in (rate, rate.abs()))
        self._nodes[place] = _Node(place, height, rate, slope, max(size, abs(height)))
        self.steps += 1
        self.wanted.remove(place)
        if not self.wanted:
            self._refine() if self._panels is None else self._halve()

    def integral(self) -> Tensor:
        """The integral, in the shape of the rate (float64)."""
        if self._panels is None:
            return self._rule(self._order)
        total = (
            torch.zeros_like(self._nodes[1.0].rate, dtype=torch.float64) if self._final is None else self._final.clone()
        )
        for panel in self._panels:
            total += panel.integral()
        return total

    def half_widths(self) -> Tensor:
        """Half of the 95 % interval of each feature's integral; on a smooth path the change at the last doubling of the
        order, which is more than the error left."""
        if self._panels is None:
            return self._change(self._order).abs()
        return _NORMAL * self._variance().sqrt()

    def height(self, end: float) -> float:
        """The height at an end of the path, 0.0 or 1.0."""
        return self._nodes[end].height

    def rise(self) -> float:
        """The difference in height between the ends of the path, which the integral should sum to."""
        return self.height(1.0) - self.height(0.0)

    def _refine(self) -> None:
        sizes, change = self._by_feature(self._rule(self._order)), self._change(self._order)
        smooth = self._is_smooth(change, sizes)
        self.converged = smooth and self._within(self._largest_residual(), change, sizes)
        if self.converged:
            return
        # Far from the tolerance panels would need hundreds of steps, so that a rate which only looks rough at first is
        # worth the next order.
        far = float(change.norm()) > _FAR * self._tolerance * float(sizes.norm())
        if (smooth or far) and 2 * self._order <= _LARGEST_ORDER and 2 * self._order + 1 <= self._max_steps:
            self._order *= 2
            self.wanted = [place for place in clenshaw_curtis(self._order)[0].tolist() if place not in self._nodes]
        elif self.steps < self._max_steps:
            places = sorted(self._nodes)
            self._panels = [self._panel(self._nodes[a], self._nodes[b]) for a, b in itertools.pairwise(places)]
            self._choose()

    def _is_smooth(self, change: Tensor, sizes: Tensor) -> bool:
        if self._order == 1:
            return False
        now = float(change.norm())
        if now <= self._tolerance * float(sizes.norm()):
            return True
        return self._order > 2 and now * _SMOOTH <= float(self._change(self._order // 2).norm())

    def _largest_residual(self) -> float:
        """The most that the rule misses of the rise from the start to any of its nodes, the end among them."""
        nodes = [self._nodes[place] for place in clenshaw_curtis(self._order)[0].tolist()]
        places, slopes, heights = (np.array([getattr(n, f) for n in nodes]) for f in ("place", "slope", "height"))
        integrated = Chebyshev.fit(places, slopes, self._order, domain=[0, 1]).integ(lbnd=0)(places)
        return float(np.abs(heights - heights[0] - integrated).max())

    def _halve(self) -> None:
        assert self._panels is not None
        for panel in self._cuts:
            middle = self._nodes[_middle(panel)]
            self._panels.remove(panel)
            self._panels += [self._panel(panel.left, middle), self._panel(middle, panel.right)]
        self._settle()
        self._choose()

    def _choose(self) -> None:
        assert self._panels is not None
        missed = self._final_residual + sum(panel.residual for panel in self._panels)
        square = self._final_square + sum(panel.residual**2 for panel in self._panels)
        # Residuals that cancel by luck do not count: with signs at random they would sum to about the root of their
        # squares, and that may be twice the tolerance at most.
        residual = max(abs(missed), math.sqrt(square) / 2)
        self.converged = self._met(residual) and self._within(
            residual, self._variance().sqrt(), self._by_feature(self.integral())
        )
        left = self._max_steps - self.steps
        if self.converged or left <= 0:
            return
        number = min(left, _ROUND, max(1, (len(self._panels) + 1) // 8))
        shares = self._shares()
        wide = [panel for panel in self._worst_first() if panel.left.place < _middle(panel) < panel.right.place]
        self._cuts = [panel for panel in wide[:number] if shares[panel] * _WORTH >= shares[wide[0]]]
        self.wanted = [_middle(panel) for panel in self._cuts]

    def _shares(self) -> dict[_Panel, float]:
        """Each panel's share of the squared residuals plus its share of the variance."""
        assert self._panels is not None
        residuals = sum(panel.residual**2 for panel in self._panels) or 1.0
        spreads = sum(panel.spread for panel in self._panels) or 1.0
        return {panel: panel.residual**2 / residuals + panel.spread / spreads for panel in self._panels}

    def _worst_first(self) -> list[_Panel]:
        return [panel for panel, _ in sorted(self._shares().items(), key=lambda it: (-it[1], it[0].left.place))]

    def _settle(self) -> None:
        assert self._panels is not None
        for panel in self._worst_first()[_live_panels(self._nodes[1.0].rate) :]:
            self._final = panel.integral() if self._final is None else self._final + panel.integral()
            self._final_variance = self._final_variance + panel.variance
            self._final_residual += panel.residual
            self._final_square += panel.residual**2
            self._panels.remove(panel)
        used = {node.place for panel in self._panels for node in (panel.left, panel.right)} | {0.0, 1.0}
        self._nodes = {place: node for place, node in self._nodes.items() if place in used}

    def _panel(self, left: _Node, right: _Node) -> _Panel:
        width = right.place - left.place
        residual = right.height - left.height - width * (left.slope + right.slope) / 2
        variance = self._by_feature(right.rate.double() - left.rate.double()).mul_(width).square_().div_(12)
        return _Panel(left, right, residual, variance, float(variance.sum()))

    def _variance(self) -> Tensor:
        assert self._panels is not None
        return sum((panel.variance for panel in self._panels), start=self._final_variance)  # type: ignore[return-value]

    def _rule(self, order: int) -> Tensor:
        nodes, weights = clenshaw_curtis(order)
        total = torch.zeros_like(self._nodes[1.0].rate, dtype=torch.float64)
        for place, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
            total.add_(self._nodes[place].rate.double(), alpha=weight)
        return total

    def _change(self, order: int) -> Tensor:
        lower = self._rule(order // 2) if order > 1 else self._nodes[0.0].rate.double()
        return self._by_feature(self._rule(order) - lower)

    def _met(self, residual: float) -> bool:
        rounding = 16 * torch.finfo(self._nodes[1.0].rate.dtype).eps * max(node.size for node in self._nodes.values())
        return residual <= max(self._tolerance * abs(self.rise()), rounding)

    def _within(self, residual: float, errors: Tensor, sizes: Tensor) -> bool:
        scale = max(abs(self.rise()), _largest(sizes))
        return self._met(residual) and _largest(errors) <= self._tolerance * scale


def most_held(rate: Tensor) -> int:
    """How many rates a path holds at most, for rates of this size: some 64 MiB of them, and 65 of whatever size."""
    return max(2 * _live_panels(rate), _LARGEST_ORDER + 1)


def _live_panels(rate: Tensor) -> int:
    fewest, most = _LIVE_PANELS
    return min(most, max(fewest, _LIVE_BYTES // (2 * max(rate.nbytes, 1))))


def _middle(panel: _Panel) -> float:
    return (panel.left.place + panel.right.place) / 2


def _largest(values: Tensor) -> float:
    return float(values.abs().max()) if len(values) else 0.0
