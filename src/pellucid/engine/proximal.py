"""Descent on a smooth loss plus a cost of every element, within bounds: many rows at once, each with its own steps."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]
LossAndSlopes = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_HALVINGS = 30
_GROWTH = 1.2
_SHORT = 1e-4


@dataclass(frozen=True)
class Cost:
    """``l1 · |u|₁ + l2 · |u|₂²`` within ``low`` ≤ u ≤ ``high``."""

    l1: float
    l2: float
    low: Tensor
    high: Tensor

    def shrunk(self, offsets: Tensor, steps: Tensor) -> Tensor:
        """The point that balances this cost with the squared distance from ``offsets``: soft threshold, then bounds."""
        soft = offsets.sign() * (offsets.abs() - steps * self.l1).clamp(min=0) / (1 + 2 * steps * self.l2)
        return torch.maximum(torch.minimum(soft, self.high), self.low)


def descend(
    loss: Loss, loss_and_slopes: LossAndSlopes, cost: Cost, starts: Tensor, iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """The rows after at most so many accelerated proximal steps, ``[n, d]``, and which came to rest (``[n]``, bool).

    ``loss(offsets, rows)`` and ``loss_and_slopes`` take those rows whose numbers are given. A row's step is halved until
    the loss lies below its quadratic bound; momentum starts anew where it leads uphill (beck2009fast). A row rests when it
    moves by less than ``tolerance``, relative to its size.
    """
    now = torch.maximum(torch.minimum(starts, cost.high), cost.low)
    ahead, steps = now.clone(), torch.ones(len(now), 1, dtype=now.dtype)
    growth = torch.full_like(steps, _GROWTH)
    age, moving = torch.zeros(len(now)), torch.ones(len(now), dtype=torch.bool)
    for _ in range(iterations):
        rows = moving.nonzero()[:, 0]
        if not len(rows):
            break
        value, slopes = loss_and_slopes(ahead[rows], rows)
        longer = steps[rows] * growth[rows]
        following, steps[rows] = _stepped(loss, cost, ahead[rows], value, slopes, longer, rows)
        travelled = following - now[rows]
        uphill = ((ahead[rows] - following) * travelled).sum(1) > 0
        age[rows] = torch.where(uphill, torch.zeros(len(rows)), age[rows] + 1)
        momentum = (age[rows] / (age[rows] + 3)).to(now.dtype)[:, None]
        moved = travelled.abs().amax(1) / following.abs().amax(1).clamp(min=1e-12)
        # Of short moves rounding hides whether the step is too long.
        growth[rows] = torch.where(moved > _SHORT, _GROWTH, 1.0)[:, None].to(now.dtype)
        resting = moved <= tolerance
        # Where momentum has just been dropped, a short move says nothing yet.
        moving[rows] = ~(resting & ((ahead[rows] - now[rows]).abs().amax(1) <= tolerance * 10))
        ahead[rows] = torch.maximum(torch.minimum(following + momentum * travelled, cost.high), cost.low)
        now[rows] = following
    return now, ~moving


def _stepped(
    loss: Loss, cost: Cost, ahead: Tensor, value: Tensor, slopes: Tensor, steps: Tensor, rows: Tensor
) -> tuple[Tensor, Tensor]:
    found = cost.shrunk(ahead - steps * slopes, steps)
    unsure = torch.ones(len(rows), dtype=torch.bool)
    for _ in range(_HALVINGS):
        moved = found[unsure] - ahead[unsure]
        bound = value[unsure] + (slopes[unsure] * moved).sum(1) + moved.square().sum(1) / (2 * steps[unsure, 0])
        above = loss(found[unsure], rows[unsure]) > bound + 1e-12 * value[unsure].abs()
        unsure[unsure.clone()] = above
        if not bool(unsure.any()):
            break
        steps[unsure] /= 2
        found[unsure] = cost.shrunk(ahead[unsure] - steps[unsure] * slopes[unsure], steps[unsure])
    return found, steps
