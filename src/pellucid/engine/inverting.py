"""Inputs from codes: by gradient descent in the units of the literature, or exactly where the layer is affine."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.seeds import generator
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.batching import fits_budget
from pellucid.engine.canvases import Bounds
from pellucid.engine.gradients import point_value
from pellucid.engine.optimize import Penalty, Rule, Transform, adam, momentum, power_norm, total_variation

# Pictures vary by about a quarter of their range, which is 255 in these units.
SPREAD = 64.0
_LARGEST_EXACT = 4096


@dataclass(frozen=True)
class Grey:
    """A canvas of 255ths of the range, around its middle, as in mahendran2015understanding; where there are no bounds 64 of
    them are one unit of the point."""

    leaf: Tensor
    bounds: Bounds

    def draw(self, leaf: Tensor) -> Tensor:
        """The point."""
        if self.bounds is None:
            return leaf / SPREAD
        low, high = (bound.to(leaf) for bound in self.bounds)
        return (low + high) / 2 + leaf * (high - low) / 255

    def read(self, point: Tensor) -> Tensor:
        """The inverse."""
        if self.bounds is None:
            return point * SPREAD
        low, high = (bound.to(point) for bound in self.bounds)
        return (point - (low + high) / 2) * 255 / (high - low)


def noise(points: Tensor, starts: int, seed: int, spread: float) -> Tensor:
    """``starts`` times normal noise for each point, drawn by its content: ``[points · starts, …]``."""
    found = [
        torch.randn(point.shape, generator=generator(seed, f"inversion {start}", point), dtype=point.dtype)
        for point in points
        for start in range(starts)
    ]
    return spread * torch.stack(found)


def priors(canvas: Grey, alpha: float, beta: float, norm_weight: float, variation_weight: float) -> list[Penalty]:
    """``(norm_weight · Σ|x|^α + variation_weight · Σ TV^β) / σ²`` in 255ths, σ the norm of a usual picture of this size; only
    pictures have a variation."""

    def scaled(prior: Callable[[Tensor], Tensor], weight: float) -> Penalty:
        return lambda point: weight * prior(canvas.read(point)) / (SPREAD**2 * math.prod(point.shape[1:]))

    found = [scaled(lambda x: power_norm(x, alpha), norm_weight)] if norm_weight else []
    if variation_weight and canvas.leaf.ndim == 4:
        found.append(scaled(lambda x: total_variation(x, beta), variation_weight))
    return found


def settling_adam(rate: float, steps: int) -> Rule:
    """Adam whose steps grow smaller over the last third."""
    rule = adam(rate, (0.9, 0.99))

    def fresh() -> Callable[[Tensor, Tensor, int], Tensor]:
        step = rule()
        return lambda gradient, values, number: min(1.0, 3 * (1 - number / steps)) * step(gradient, values, number)

    return fresh


def descending_momentum(rate: float, steps: int, elements: int) -> Rule:
    """``rate`` for a quarter of the steps, a tenth for half and a hundredth for the rest, in units of σ² over 2."""
    parts = [1.0] * math.ceil(steps / 4) + [0.1] * math.ceil(steps / 2) + [0.01] * steps
    return momentum([rate * part * SPREAD**2 * elements / 2 for part in parts[:steps]])


def moved(pixels: int) -> Transform:
    """Each picture moved by up to so many pixels along either side, at random; what leaves it comes in on the other side."""

    def transform(point: Tensor, draws: Sequence[torch.Generator]) -> Tensor:
        shifts = [torch.randint(-pixels, pixels + 1, (2,), generator=draw).tolist() for draw in draws]
        return torch.stack([row.roll(shift, (-2, -1)) for row, shift in zip(point, shifts, strict=True)])

    return transform


def exact(subject: Subject, inputs: Inputs, layer: str, codes: Tensor, ridge: float) -> Tensor:
    """The points ``[n, …point]`` of least norm whose codes are nearest to ``codes``; with ``ridge`` those that minimise
    ``|Φ(x) − Φ₀|² + ridge · |x|²``. Raises ``NotAnswerable`` where the layer is not affine in the input."""
    shape = inputs.value.shape[1:]
    elements, outputs = shape.numel(), codes[0].numel()
    if elements > _LARGEST_EXACT or not fits_budget(8 * elements * outputs):
        raise NotAnswerable(f"an exact inverse of {elements} values needs too much memory; leave recipe='exact' out")
    one = inputs.rows(slice(0, 1))

    def phi(points: Tensor) -> Tensor:
        rows = one.rows(torch.zeros(len(points), dtype=torch.long), points.to(one.value.dtype).view(-1, *shape))
        return point_value(subject, rows, layer).flatten(1).double()

    offset = phi(torch.zeros(1, elements))
    matrix = (phi(torch.eye(elements)) - offset).T
    probes = torch.randn(4, elements, generator=torch.Generator().manual_seed(0))
    found = phi(probes) - offset
    if not torch.allclose(found, probes.double() @ matrix.T, rtol=1e-3, atol=1e-4 * float(found.abs().max())):
        raise NotAnswerable(f"layer {layer!r} is not an affine function of the input; leave recipe='exact' out")
    aims = (codes.flatten(1).double() - offset).T
    if ridge:
        square = matrix.T @ matrix + ridge * torch.eye(elements, dtype=torch.float64)
        points = torch.linalg.solve(square, matrix.T @ aims)
    else:
        points = torch.linalg.pinv(matrix) @ aims
    return points.T.view(-1, *shape).to(one.value.dtype)


def correlations(images: Tensor, source: Tensor) -> Tensor:
    """The correlation of the elements of each image ``[n, …]`` with those of one source; 0 where either is constant."""
    rows = torch.cat([source[None], images]).double().flatten(1)
    rows = torch.nn.functional.normalize(rows - rows.mean(1, keepdim=True), dim=1)
    return rows[1:] @ rows[0]
