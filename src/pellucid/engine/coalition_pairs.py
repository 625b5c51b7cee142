"""Pairs of complementary coalitions in the order in which they are best asked about."""

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

_FEW = 20_000


def complementary_pairs(players: int, source: Generator) -> Iterator[Tensor]:
    """One coalition (``[players]``, bool) of every pair that is not the two ends, each once, in random order.

    The pairs of one player alone come first: with them every additive game is known. After that all sizes take turns,
    which makes them equally likely until one is used up (musco2025provably); the complement is never drawn itself.
    """
    single = _of_size(players, 1, source)
    if players > 1:
        yield from single
    sizes = {size: _of_size(players, size, source) for size in range(2, players // 2 + 1)}
    while sizes:
        known = list(sizes)
        for place in torch.randperm(len(known), generator=source).tolist():
            drawn = next(sizes[known[place]], None)
            if drawn is None:
                del sizes[known[place]]
            else:
                yield drawn


def number_of_pairs(players: int) -> int:
    """How many pairs there are beside the two ends."""
    return 2 ** (players - 1) - 1


def _of_size(players: int, size: int, source: Generator) -> Iterator[Tensor]:
    """Coalitions of one size in random order; of those of half the players only the ones with the first player."""
    halves = 2 * size == players
    total = math.comb(players, size) // (2 if halves else 1)
    if total <= _FEW:
        every = itertools.combinations(range(players), size)
        listed = list(itertools.islice(every, total))  # in lexical order those with the first player come first
        for place in torch.randperm(total, generator=source).tolist():
            yield _mask(players, listed[place])
        return
    seen: set[tuple[int, ...]] = set()
    while len(seen) < total:
        chosen = tuple(sorted(torch.randperm(players, generator=source)[:size].tolist()))
        if halves and chosen[0] != 0:
            chosen = tuple(sorted(set(range(players)) - set(chosen)))
        if chosen not in seen:
            seen.add(chosen)
            yield _mask(players, chosen)


def _mask(players: int, members: tuple[int, ...]) -> Tensor:
    mask = torch.zeros(players, dtype=torch.bool)
    mask[list(members)] = True
    return mask
