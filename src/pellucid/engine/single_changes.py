"""Changes of single features: put together until a goal is reached, and taken back as far as it stays reached."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.engine.judge import Judge
from pellucid.engine.search_space import SearchSpace

_LISTED, _MANY = 1024, 256
_WIDTH = 4
_DEPTH = 4
_KEPT = 4
_VALUES = 24
_STEPS = (0.1, 0.25, 0.5, 0.75, 1.0)
_PARTS = (0.0, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99, 0.999)


@dataclass(frozen=True)
class Moves:
    """Single changes: row ``i`` gives the elements in ``mask[i]`` the offsets ``values[i]``, both ``[moves, elements]``."""

    mask: Tensor
    values: Tensor

    def __len__(self) -> int:
        return len(self.mask)

    def of(self, states: Tensor) -> Tensor:
        """Every state with every change: ``[states · moves, elements]``."""
        return torch.where(self.mask, self.values, states[:, None]).flatten(0, 1)


def single_changes(space: SearchSpace, reference: Tensor | None) -> Moves:
    """What each feature can be instead: each other choice; of a number values that occur, or steps to its bounds.

    Of many elements only the bounds themselves; of very many, and where there are no bounds, there is nothing to list.
    """
    size = len(space.origin)
    mask, values = [torch.zeros(0, size, dtype=torch.bool)], [torch.zeros(0, size, dtype=torch.float64)]
    chosen = {int(element) for group in space.choices for element in group}
    for group in space.choices if size <= _LISTED else ():
        options = space.options(group)
        rows = torch.zeros(len(options), size, dtype=torch.float64)
        rows[:, group] = options
        own = torch.zeros(size, dtype=torch.bool)
        own[group] = True
        mask.append(own.expand(len(rows), -1))
        values.append(rows)
    for element in space.movable.nonzero()[:, 0].tolist() if size <= _LISTED else ():
        if element in chosen:
            continue
        numbers = torch.tensor(_numbers(space, reference, element), dtype=torch.float64)
        rows = torch.zeros(len(numbers), size, dtype=torch.float64)
        rows[:, element] = numbers
        rows = space.snapped(rows, outwards=True).unique(dim=0) if len(rows) else rows
        rows = rows[rows[:, element] != 0]
        mask.append((torch.arange(size) == element).expand(len(rows), -1))
        values.append(rows)
    return Moves(torch.cat(mask), torch.cat(values))


def put_together(judge: Judge, space: SearchSpace, moves: Moves, most: int | None) -> Tensor:
    """Points that reach the goal by few changes, ``[n, elements]``: those that gain most, and most per cost, go on.

    What costs more than the best that is known is not tried.
    """
    states = torch.zeros(1, len(space.origin), dtype=torch.float64)
    gaps, found = judge.gaps(space, states), [states[:0]]
    for _ in range(min(_DEPTH, most or _DEPTH)):
        tried, before = moves.of(states), torch.stack([gaps, space.cost(states)], 1).repeat_interleave(len(moves), 0)
        costs = space.cost(tried)
        worth = (costs < judge.best.cost) & (costs > before[:, 1])
        tried, before, costs = tried[worth], before[worth], costs[worth]
        if not len(tried) or len(tried) > judge.left // 4:
            break
        now = judge.gaps(space, tried)
        met = judge.goal.met(now)
        found.append(tried[met][costs[met].argsort(stable=True)[:_KEPT]])
        rate = (now - before[:, 0]) / (costs - before[:, 1])
        rate[met | (now <= before[:, 0])] = -torch.inf
        nearest = torch.where(rate > -torch.inf, now, -torch.inf)
        order = torch.stack([values.argsort(descending=True, stable=True)[:_WIDTH] for values in (rate, nearest)], 1)
        chosen = list(dict.fromkeys(row for row in order.flatten().tolist() if rate[row] > -torch.inf))
        states, gaps = tried[chosen], now[chosen]
    return torch.cat(found)


def taken_back(judge: Judge, space: SearchSpace, offsets: Tensor) -> Tensor:
    """One point ``[elements]`` with changes of single features undone, wholly or in part, while the goal stays reached."""
    while True:
        tried = _undone(space, offsets)
        if not len(tried) or len(tried) > judge.left // 4:
            return offsets
        met = judge.goal.met(judge.gaps(space, tried))
        costs = torch.where(met, space.cost(tried), torch.inf)
        if float(costs.min()) >= float(space.cost(offsets[None])) * (1 - 1e-5):
            return offsets
        offsets = tried[costs.argmin()]


def _undone(space: SearchSpace, offsets: Tensor) -> Tensor:
    changed = space.changed(offsets[None])[0].nonzero()[:, 0]
    if len(changed) > _MANY:
        return offsets[None][:0]
    parts = torch.tensor(_PARTS, dtype=torch.float64)[:, None]
    own = space.features == changed[:, None, None]
    tried = space.snapped(torch.where(own, offsets * parts, offsets).flatten(0, 1))
    return tried[(tried != offsets).any(1)]


def _numbers(space: SearchSpace, reference: Tensor | None, element: int) -> list[float]:
    low, high = float(space.low[element]), float(space.high[element])
    if len(space.origin) > _MANY:
        return [end for end in (low, high) if abs(end) < torch.inf]
    if reference is not None:
        seen = space.clamped(space.offsets(reference))[:, element].unique()
        return seen[torch.linspace(0, len(seen) - 1, min(len(seen), _VALUES)).long()].tolist()
    return [end * part for end in (low, high) if abs(end) < torch.inf for part in _STEPS]
