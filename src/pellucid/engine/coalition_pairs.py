"""Pairs of complementary coalitions in the order in which they are best asked about, and what they tell of a game."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from pellucid.core.errors import UsageError
from pellucid.engine.coalitions import Game

_FEW = 20_000
_SPARE = 4
_GROWTH = 1.5


@dataclass(frozen=True)
class Halves:
    """Both halves of a game at coalitions ``masks`` ``[n, players]``, that of all players first: half of the difference
    to the complement's worth (``odd``, ``[n]``), and half of the sum (``even``)."""

    masks: Tensor
    odd: Tensor
    even: Tensor


def halves(game: Game, masks: Tensor) -> Halves:
    """Ask about every coalition and its complement, and about the two ends."""
    masks = torch.cat([torch.ones(1, game.features, dtype=torch.bool), masks])
    shown, rest = game(torch.cat([masks, ~masks])).chunk(2)
    return Halves(masks, (shown - rest) / 2, (shown + rest) / 2)


def least_pairs(players: int) -> int:
    """How many pairs leave something over to tell how far the additive game is from the game."""
    return players + _SPARE


def affordable_pairs(game: Game, budget: int, method: str) -> int:
    """How many pairs a budget of coalitions allows; fewer than are needed are refused."""
    most, least = budget // 2 - 1, least_pairs(game.features)
    if most < least:
        raise UsageError(
            f"{method}(budget={budget}) is too small for {game.features} features; give {2 * least + 2} or more, or "
            "group the features"
        )
    return most


def rounds(least: int, most: int) -> Iterator[int]:
    """After how many pairs to look whether these are enough."""
    number = min(2 * least, most)
    while number < most:
        yield number
        number = int(number * _GROWTH)
    yield most


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
