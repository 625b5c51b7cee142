"""Integrals over a straight path with as many steps as are asked for, by captum's names of rules."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pellucid.compat.captum.asking import Asked
from pellucid.core.errors import UsageError, nearest
from pellucid.engine.gradients import gradients

_RULES = ("gausslegendre", "riemann_left", "riemann_middle", "riemann_right", "riemann_trapezoid")


def rule(method: str, n_steps: int) -> tuple[list[float], list[float]]:
    """Places in [0, 1] and their weights.

    The weights of ``riemann_trapezoid`` sum to less than 1, as captum's do: n places have n − 1 parts between them, and
    each is given 1/n.
    """
    if method not in _RULES:
        raise UsageError(f"there is no rule {method!r} for integrals; {nearest(str(method), _RULES)}")
    fewest = 1 if method == "gausslegendre" else 2
    if not isinstance(n_steps, int) or n_steps < fewest:
        raise UsageError(f"n_steps={n_steps!r} must be a whole number of at least {fewest}")
    if method == "gausslegendre":
        nodes, weights = np.polynomial.legendre.leggauss(n_steps)
        return ((1 + nodes) / 2).tolist(), (weights / 2).tolist()
    even = np.arange(n_steps)
    places = {
        "riemann_left": even / n_steps,
        "riemann_middle": (even + 0.5) / n_steps,
        "riemann_right": (even + 1) / n_steps,
        "riemann_trapezoid": even / (n_steps - 1),
    }[method]
    weights = np.full(n_steps, 1 / n_steps)
    if method == "riemann_trapezoid":
        weights[[0, -1]] /= 2
    return places.tolist(), weights.tolist()


def average_gradient(asked: Asked, at: str, start: Tensor, end: Tensor, method: str, n_steps: int) -> Tensor:
    """The gradient at the point or the layer, averaged from ``start`` to ``end``, ``[batch, …]`` (float64)."""
    places, weights = rule(method, n_steps)
    rows = torch.arange(len(end)).repeat(len(places))
    share, weight = (torch.tensor(v, dtype=torch.float64).repeat_interleave(len(end)) for v in (places, weights))
    total = torch.zeros_like(end, dtype=torch.float64)
    for own, gradient in _along(asked, at, start, end, rows, share):
        total.index_add_(0, rows[own], gradient.double() * _beside(weight[own], gradient).double())
    return total


def _along(
    asked: Asked, at: str, start: Tensor, end: Tensor, rows: Tensor, share: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    size = max(1, asked.subject.batch_size(asked.inputs) // 2)
    for own in torch.arange(len(rows)).split(size):
        given = rows[own]
        points = torch.lerp(start[given], end[given], _beside(share[own], end))
        found = gradients(asked.subject, asked.inputs.rows(given), asked.target.rows(given), at, points)
        yield own, found.gradient


def _beside(numbers: Tensor, like: Tensor) -> Tensor:
    """One number per row, broadcastable to rows of that shape."""
    return numbers.to(like.dtype).view(-1, *[1] * (like.ndim - 1))
