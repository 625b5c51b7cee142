"""Streaming choice of a few items whose value together is large (``elenberg2017streaming``).

Every item passes by once. Beside it stand a few growing sets, each with a threshold of its own for what an item must bring;
which thresholds are worth keeping follows from the best single item so far.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Value = Callable[[list[frozenset[int]]], list[float]]


@dataclass(frozen=True)
class Selection:
    """What was chosen: ``items`` in order and ``gains``, what each brought to the value of those before it.

    ``streamed`` of the items were chosen as they passed by, the others to fill up. ``singles`` is the value of each item
    alone; ``evaluations`` counts the sets whose value was asked for, ``sets`` the growing sets that stood side by side
    at most.
    """

    items: tuple[int, ...]
    gains: tuple[float, ...]
    streamed: int
    singles: tuple[float, ...]
    evaluations: int
    sets: int

    @property
    def value(self) -> float:
        """The value of all items together."""
        return math.fsum(self.gains)


def streak(order: Sequence[int], value: Value, k: int, epsilon: float) -> Selection:
    """Choose at most ``k`` of the items ``order``, which are the numbers from 0 in the order in which they pass by.

    ``value`` tells what sets are worth, several at a time; the empty set is worth 0. No set is asked about twice.
    Thresholds are powers of ``1 − epsilon``.
    """
    known = _Known(value)
    singles = known([frozenset({item}) for item in range(len(order))])
    best, sets, most = order[0], dict[int, _Growing](), 0
    for item in order:
        if singles[item] > singles[best]:
            best = item
        sets = {power: sets.get(power, _Growing()) for power in _powers(singles[best], k, epsilon)}
        most = max(most, len(sets))
        open_sets = {power: growing for power, growing in sets.items() if len(growing.items) < k}
        values = known([growing.members | {item} for growing in open_sets.values()])
        for (power, growing), with_item in zip(open_sets.items(), values, strict=True):
            if with_item - growing.value >= (1 - epsilon) ** power / k:
                growing.add(item, with_item)
    found = sorted(sets.values(), key=lambda growing: -growing.value)
    alone = _Growing([best], singles[best])
    chosen = found[0] if found and found[0].value >= alone.value else alone
    streamed = len(chosen.items)
    _fill(chosen, [item for growing in found for item in growing.items] + list(order), known, k)
    prefixes = known([frozenset(chosen.items[:size]) for size in range(1, len(chosen.items) + 1)])
    gains = tuple(now - before for now, before in zip(prefixes, [0.0, *prefixes], strict=False))
    return Selection(tuple(chosen.items), gains, streamed, tuple(singles), len(known.values) - 1, most)


@dataclass
class _Growing:
    """A set that grows, in the order of arrival, and what it is worth."""

    items: list[int] = field(default_factory=list)
    value: float = 0.0

    @property
    def members(self) -> frozenset[int]:
        return frozenset(self.items)

    def add(self, item: int, value: float) -> None:
        self.items.append(item)
        self.value = value


class _Known:
    """Values of sets, of which none is asked for twice and equal ones in a batch are one."""

    def __init__(self, value: Value) -> None:
        self._value = value
        self.values: dict[frozenset[int], float] = {frozenset(): 0.0}

    def __call__(self, sets: list[frozenset[int]]) -> list[float]:
        new = [members for members in dict.fromkeys(sets) if members not in self.values]
        if new:
            self.values.update(zip(new, self._value(new), strict=True))
        return [self.values[members] for members in sets]


def _powers(most: float, k: int, epsilon: float) -> range:
    """The powers ``i`` for which ``(1 − ε) most / 9k² ≤ (1 − ε)^i ≤ most k``, largest threshold first."""
    if most <= 0:
        return range(0)
    step = math.log1p(-epsilon)
    first, last = math.log(most * k) / step, math.log((1 - epsilon) * most / (9 * k * k)) / step
    return range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1)


def _fill(chosen: _Growing, candidates: list[int], known: _Known, k: int) -> None:
    """Append candidates until there are ``k`` items; from then on put each in the place of an appended one where the
    value does not fall for it. What was chosen as it passed by stays."""
    kept = len(chosen.items)
    for item in dict.fromkeys(candidates):
        if item in chosen.items or kept == k:
            continue
        if len(chosen.items) < k:
            chosen.add(item, *known([chosen.members | {item}]))
            continue
        places = range(kept, k)
        values = known([chosen.members - {chosen.items[place]} | {item} for place in places])
        place = max(places, key=lambda place: values[place - kept])
        if values[place - kept] >= chosen.value:
            chosen.items[place], chosen.value = item, values[place - kept]
