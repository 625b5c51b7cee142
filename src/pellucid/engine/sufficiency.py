"""Sufficiency: a smallest set of units that still does what all of them do, by dropping what matters least first.

What a set does is a *slack*, one number per set: positive as long as the set suffices, 1 for all units. Importance says
where to try first; only slack decides. No choice depends on how many sets are evaluated at once.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

Slack = Callable[[Tensor], Tensor]
Importance = Callable[[Tensor], Tensor]

# The shares of each layer's importance that are tried first, finer towards all of it.
_SHARES = (*(1 - 0.5 * 0.75**step for step in range(0, 24, 2)), 1.0)
# The shares of the remaining units that are tried to be dropped after each new look at their importance.
_DROPS = (0.5, 0.35, 0.25, 0.15, 0.08, 0.04)
# How much of the best slack so far must stay while large steps are made, one after the other.
_RESERVES = (0.5, 0.25, 0.0)
_GROUP = 16
_TOGETHER = 16


class Sufficient(NamedTuple):
    """A sufficient set ``[units]`` (bool). ``minimal``: it was tried that no single unit can be left out."""

    mask: Tensor
    minimal: bool


class _Spent(Exception):
    """The budget is used up."""


def sufficient(slack: Slack, importance: Importance, layer_of: Tensor, budget: int) -> Sufficient:
    """A small sufficient set, found in at most ``budget`` evaluations of ``slack``.

    ``slack`` takes sets ``[n, units]`` (bool) and gives ``[n]``. ``importance`` takes one set and gives ``[units]``:
    how much each of its units matters within it, as a share of its layer, negative where it is in the way; equal shares
    go by number. ``layer_of`` ``[units]`` numbers the layers. First the sets that hold the same share of every layer's
    importance are tried; then the least important rest is dropped in large steps, importance being asked again after
    each; then in groups, each tried on its own, of half the size each time, down to single units
    (zeller2002simplifying).
    """
    search = _Search(slack, importance, layer_of, budget)
    try:
        minimal = search.run()
    except _Spent:
        minimal = False
    return Sufficient(search.mask, minimal)


class _Search:
    def __init__(self, slack: Slack, importance: Importance, layer_of: Tensor, budget: int) -> None:
        self._slack, self._importance, self._layer_of, self._left = slack, importance, layer_of, budget
        self._best = 1.0
        self.mask = torch.ones(len(layer_of), dtype=torch.bool)

    def run(self) -> bool:
        """Shrink the set as far as it goes; whether single units were all tried."""
        nothing = torch.zeros_like(self.mask)
        if bool(self._asked(nothing[None])[0] > 0):
            self.mask = nothing
            return True
        self._by_share()
        for reserve in _RESERVES:
            while self._large_step(reserve):
                pass
        size = _GROUP
        while size > 1:
            self._by_groups(size)
            size //= 2
        return self._one_by_one()

    def _asked(self, masks: Tensor) -> Tensor:
        if len(masks) > self._left:
            self._left = 0
            raise _Spent
        self._left -= len(masks)
        found = self._slack(masks)
        self._best = max(self._best, float(found.max()))
        return found

    def _by_share(self) -> None:
        """Keep the same share of every layer's importance: the smallest that suffices with some slack in reserve."""
        importance = self._importance(self.mask)
        masks = torch.stack([_most_important(importance, self._layer_of, share) for share in _SHARES])
        self._keep_first(masks, _RESERVES[0])

    def _large_step(self, reserve: float) -> bool:
        """Drop as many of the least important units as possible; whether any could be dropped."""
        order = self._order()
        counts = sorted({max(1, int(len(order) * share)) for share in _DROPS} if len(order) else (), reverse=True)
        return bool(counts) and self._keep_first(self._without(order[:count] for count in counts), reserve)

    def _keep_first(self, masks: Tensor, reserve: float) -> bool:
        """Go on with the first of these sets that suffices; whether there was one."""
        found = self._asked(masks)
        enough = (found > reserve * self._best).nonzero()
        if len(enough):
            self.mask = masks[int(enough[0])]
        return bool(len(enough))

    def _by_groups(self, size: int) -> None:
        """Try once for each group of units, the least important first, whether the set suffices without it."""
        groups = self._order().split(size)
        for first in range(0, len(groups), _TOGETHER):
            self._drop(groups[first : first + _TOGETHER])

    def _one_by_one(self) -> bool:
        """Try single units over and over, until each was tried in vain since the last one was dropped."""
        queue = self._order().split(1)
        in_vain = 0
        while in_vain < len(queue):
            now = queue[:_TOGETHER]
            dropped = self._drop(now)
            queue = (*queue[_TOGETHER:], *(unit for unit in now if bool(self.mask[unit])))
            in_vain = 0 if dropped else in_vain + len(now)
        return True

    def _drop(self, groups: Iterable[Tensor]) -> bool:
        """Drop, of those groups without which the set suffices, the most harmless, as many as go together."""
        groups = list(groups)
        found = self._asked(self._without(groups))
        order = found.argsort(descending=True, stable=True).tolist()
        good = [groups[number] for number in order if found[number] > 0]
        certain, possible = min(1, len(good)), len(good)
        while certain < possible:
            tried = possible if certain == 1 else (certain + possible + 1) // 2
            if bool(self._asked(self._without([torch.cat(good[:tried])]))[0] > 0):
                certain = tried
            else:
                possible = tried - 1
        if certain:
            self.mask = self._without([torch.cat(good[:certain])])[0]
        return bool(certain)

    def _without(self, groups: Iterable[Tensor]) -> Tensor:
        masks = []
        for group in groups:
            masks.append(self.mask.clone())
            masks[-1][group] = False
        return torch.stack(masks)

    def _order(self) -> Tensor:
        """The units of the set, the least important first."""
        units = self.mask.nonzero()[:, 0]
        return units[self._importance(self.mask)[units].argsort(stable=True)]


def _most_important(importance: Tensor, layer_of: Tensor, share: float) -> Tensor:
    """The fewest units of each layer that together have this share of its positive importance; with 1 all units."""
    mask = torch.ones(len(layer_of), dtype=torch.bool)
    for layer in layer_of.unique().tolist() if share < 1 else ():
        units = (layer_of == layer).nonzero()[:, 0]
        positive = importance[units].clamp(min=0)
        order = positive.argsort(descending=True, stable=True)
        reached = positive[order].cumsum(0) - positive[order]
        mask[units[order]] = reached < share * positive.sum()
    return mask
