"""The cheapest step that gains enough on a linear function, within bounds: in closed form."""

import torch
from torch import Tensor


def cheapest_step(slopes: Tensor, need: Tensor, low: Tensor, high: Tensor, norm: str) -> Tensor:
    """The step with the smallest L1 or L2 norm for which ``slopes · step ≥ need``: ``[n, d]``.

    ``low`` ≤ 0 ≤ ``high`` bound steps. Where all bounds together do not gain enough, the step goes to all of them. Every
    element gains at most ``|slope| × room``; L1 takes elements whole, the steepest first, L2 moves all in proportion to
    their slopes until they meet their bounds.
    """
    steep = slopes.abs()
    room = torch.where(slopes > 0, high, -low).clamp(min=0).expand_as(slopes)
    room = torch.where(steep > 0, room, torch.zeros_like(room))
    need = need.clamp(min=0)[:, None]
    size = _by_steepness(steep, room, need) if norm == "l1" else _in_proportion(steep, room, need)
    return torch.where(slopes > 0, size, -size)


def _by_steepness(steep: Tensor, room: Tensor, need: Tensor) -> Tensor:
    order = steep.argsort(dim=1, descending=True, stable=True)
    rates, space = steep.gather(1, order), room.gather(1, order)
    gain = torch.where(rates > 0, rates * space, torch.zeros_like(space))
    before = torch.cat([torch.zeros_like(need), gain.cumsum(1)[:, :-1]], 1)
    left = (need - before).clamp(min=0)
    taken = torch.where(rates > 0, torch.minimum(left / rates.clamp(min=1e-300), space), torch.zeros_like(space))
    # Infinite room makes everything behind it infinite as well: nothing is left for that.
    taken = torch.where(before.isinf(), torch.zeros_like(taken), taken)
    return torch.zeros_like(room).scatter(1, order, taken)


def _in_proportion(steep: Tensor, room: Tensor, need: Tensor) -> Tensor:
    """``min(factor × steep, room)`` with the factor that gains what is needed; it is linear between the bounds."""
    meets = torch.where(steep > 0, room / steep.clamp(min=1e-300), torch.zeros_like(room))
    order = meets.argsort(dim=1, stable=True)
    points, rates, space = meets.gather(1, order), steep.gather(1, order), room.gather(1, order)
    full = torch.where(space.isfinite(), rates * space, torch.zeros_like(space)).cumsum(1)
    full = torch.cat([torch.zeros_like(need), full[:, :-1]], 1)
    # Slopes of all that have not met their bounds yet, summed from the end: without cancellation.
    moving = rates.square().flip(1).cumsum(1).flip(1)
    factor = (need - full) / moving.clamp(min=1e-300)
    fits = (factor <= points) & (moving > 0)
    first = torch.where(fits.any(1), fits.int().argmax(1), torch.full((len(fits),), fits.shape[1] - 1))
    chosen = factor.gather(1, first[:, None])
    size = torch.minimum(chosen.clamp(min=0) * steep, room)
    return torch.where(fits.any(1)[:, None], size, torch.where(room.isfinite(), room, torch.zeros_like(room)))
