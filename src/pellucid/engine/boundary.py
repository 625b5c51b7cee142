"""Along the boundary of a decision: rows that are pulled to it, and moved on it to where it is nearest.

A row is a point of a search space, as offsets from its origin, where the goal is not reached. Every step takes the goal
for linear where the row stands; the cheapest point that reaches a linear goal is known in closed form
(``halfspace.cheapest_step``). What counts is only what the judge says of the points themselves.
"""

import torch
from torch import Tensor

from pellucid.engine.halfspace import cheapest_step
from pellucid.engine.judge import Judge
from pellucid.engine.search_space import SearchSpace

_LENGTHS = (1.0, 0.5, 0.2, 0.05)
_EXTENSIONS = (1.01, 1.05, 1.2, 1.5, 2.0, 4.0)
_WALK = 12
_SECTIONS = 12


def walked(judge: Judge, space: SearchSpace, starts: Tensor) -> Tensor:
    """Where rows first reach the goal when they follow the linear goal, in long and in short steps: ``[n·k, d]``.

    Where slopes are dear there are long steps only.
    """
    kinds = 3 if 3 * _WALK * len(starts) * judge.cost_of_slopes(space) <= judge.left else 1
    lengths = torch.tensor(_LENGTHS[:kinds], dtype=torch.float64).repeat(len(starts))[:, None]
    now = starts.repeat_interleave(kinds, 0)
    open_ = torch.ones(len(now), dtype=torch.bool)
    for _ in range(_WALK):
        rows = open_.nonzero()[:, 0]
        if not len(rows) or len(rows) * judge.cost_of_slopes(space) > judge.left // 2:
            break
        gaps, slopes = judge.slopes(space, now[rows])
        open_[rows[judge.goal.met(gaps)]] = False
        moving = ~judge.goal.met(gaps) & (slopes != 0).any(1)
        open_[rows[~moving]] = False
        rows = rows[moving]
        if len(rows):
            aim = _linear(judge, space, now[rows], gaps[moving], slopes[moving])
            now[rows] = now[rows] + lengths[rows] * (aim - now[rows])
    return now


def reached(judge: Judge, space: SearchSpace, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Rows pulled to the boundary, those that do not reach it as they are, and their gaps.

    Rows short of the boundary are first drawn out, as far as the bounds allow.
    """
    gaps = judge.gaps(space, offsets)
    offsets = offsets.clone()
    short = (~judge.goal.met(gaps)).nonzero()[:, 0]
    if len(short):
        factors = torch.tensor(_EXTENSIONS, dtype=torch.float64)
        tried = space.clamped((offsets[short, None] * factors[:, None]).flatten(0, 1))
        found = judge.gaps(space, tried).view(len(short), -1)
        good = judge.goal.met(found)
        first = torch.where(good.any(1), good.int().argmax(1), torch.zeros(len(short), dtype=torch.long))
        chosen = tried.view(len(short), len(factors), -1)[torch.arange(len(short)), first]
        rescued = good.any(1)
        offsets[short[rescued]] = chosen[rescued]
        gaps[short[rescued]] = found[torch.arange(len(short)), first][rescued]
    met = judge.goal.met(gaps).nonzero()[:, 0]
    if len(met):
        offsets[met], gaps[met] = _pulled(judge, space, offsets[met], gaps[met], _SECTIONS)
    return offsets, gaps


def retreated(judge: Judge, space: SearchSpace, offsets: Tensor, rounds: int) -> Tensor:
    """Rows beyond the boundary, pulled to it and moved along it until none gets cheaper: ``[n, d]``."""
    if not len(offsets):
        return offsets
    now, gaps = _pulled(judge, space, offsets, judge.gaps(space, offsets), _SECTIONS)
    moving = torch.ones(len(now), dtype=torch.bool)
    for _ in range(rounds):
        rows = moving.nonzero()[: judge.left // (2 * judge.cost_of_slopes(space)), 0]
        if not len(rows):
            break
        before = space.cost(now[rows])
        found, reach = _moved(judge, space, now[rows])
        after = space.cost(found)
        better = after < before
        now[rows[better]], gaps[rows[better]] = found[better], reach[better]
        moving[rows] = after < before * (1 - 1e-6)
    return _pulled(judge, space, now, gaps, 2 * _SECTIONS)[0]


def _linear(judge: Judge, space: SearchSpace, now: Tensor, gaps: Tensor, slopes: Tensor) -> Tensor:
    """The cheapest points that reach the goal if it is linear around each row; a little beyond, so that they do."""
    need = 2 * judge.goal.slack - gaps + (slopes * now).sum(1)
    return cheapest_step(slopes, need, space.low, space.high, space.norm)


def _moved(judge: Judge, space: SearchSpace, now: Tensor) -> tuple[Tensor, Tensor]:
    """The cheapest point on the boundary that steps of several lengths from each row lead to, and its gap."""
    gaps, slopes = judge.slopes(space, now)
    aim = _linear(judge, space, now, gaps, slopes)
    lengths = torch.tensor(_LENGTHS, dtype=torch.float64)[:, None]
    tried = (now[:, None] + lengths * (aim - now)[:, None]).flatten(0, 1)
    tried, found = reached(judge, space, tried)
    costs = torch.where(judge.goal.met(found), space.cost(tried), torch.inf).view(len(now), -1)
    best = torch.arange(len(now)) * len(lengths) + costs.argmin(1)
    return torch.where(costs.isfinite().any(1)[:, None], tried[best], now), found[best]


def _pulled(judge: Judge, space: SearchSpace, offsets: Tensor, gaps: Tensor, sections: int) -> tuple[Tensor, Tensor]:
    """Rows that reach the goal, drawn towards the origin as far as they still do.

    The line is cut where a straight line between its ends would cross the boundary, and in halves in turn.
    """
    origin = float(judge.gaps(space, torch.zeros_like(offsets[:1]))[0]) - judge.goal.slack
    low, high = torch.zeros(len(offsets), dtype=torch.float64), torch.ones(len(offsets), dtype=torch.float64)
    below, above = torch.full_like(gaps, origin), gaps - judge.goal.slack
    if origin >= 0:
        return torch.zeros_like(offsets), torch.full_like(gaps, origin + judge.goal.slack)
    reach = gaps.clone()
    for section in range(sections):
        straight = low + (high - low) * (-below / (above - below).clamp(min=1e-300)).clamp(0.02, 0.98)
        middle = straight if section % 3 < 2 else (low + high) / 2
        found = judge.gaps(space, offsets * middle[:, None])
        met = judge.goal.met(found)
        high, low = torch.where(met, middle, high), torch.where(met, low, middle)
        reach = torch.where(met, found, reach)
        above = torch.where(met, found - judge.goal.slack, above)
        below = torch.where(met, below, found - judge.goal.slack)
    return offsets * high[:, None], reach
