"""Shapley values and pair interactions of games whose coalitions are all known, and the regression that gives them."""

import math
from typing import Literal

import torch
from torch import Tensor

Index = Literal["sii", "stii", "fsii"]


def coalitions(players: int) -> Tensor:
    """Every coalition, ``[2^players, players]``: player ``j`` is in row ``c`` where bit ``j`` of ``c`` is set."""
    return ((torch.arange(2**players)[:, None] >> torch.arange(players)) & 1).bool()


def shapley_values(worth: Tensor) -> Tensor:
    """The Shapley value of every player (shapley1953value) from the worth of :func:`coalitions`: ``[players]``.

    A coalition of ``s`` among ``n`` counts ``(s−1)! (n−s)! / n!`` for its members and ``−s! (n−s−1)! / n!`` for the
    others: one product of a matrix and a vector.
    """
    players = len(worth).bit_length() - 1
    masks = coalitions(players).double()
    size = masks.sum(1).long()
    joined = torch.tensor([_orders(s - 1, players - s) / players for s in range(players + 1)], dtype=torch.float64)
    left = torch.tensor([_orders(s, players - s - 1) / players for s in range(players + 1)], dtype=torch.float64)
    return masks.T @ (worth * (joined + left)[size]) - (worth * left[size]).sum()


def pair_interactions(worth: Tensor, index: Index) -> Tensor:
    """The interaction of every pair of players from the worth of :func:`coalitions`, ``[players, players]``, diagonal 0.

    The second difference of the worth by two players, averaged over the ``t`` others that are present by the weights of
    the index: ``sii`` (grabisch1999axiomatic), ``stii`` (sundararajan2020shapley), ``fsii`` (tsai2023faith).
    """
    players = len(worth).bit_length() - 1
    present = coalitions(players).double()
    absent, size = 1 - present, present.sum(1).long()
    weights = torch.tensor([_pair_weight(t, players, index) for t in range(-2, players + 1)], dtype=torch.float64)
    both, one, none = (worth * weights[size + 2 - members] for members in (2, 1, 0))
    mixed = present.T @ (one[:, None] * absent)
    found = present.T @ (both[:, None] * present) + absent.T @ (none[:, None] * absent) - mixed - mixed.T
    return ((found + found.T) / 2).fill_diagonal_(0)


def symmetric(pairs: Tensor, players: int) -> Tensor:
    """A number per pair, in the order of ``torch.triu_indices``, as a matrix with 0 on its diagonal."""
    found = torch.zeros(players, players, dtype=torch.float64)
    found[*torch.triu_indices(players, players, 1)] = pairs
    return found + found.T


def kernel_regression(masks: Tensor, worth: Tensor, weights: Tensor, nothing: float, everything: float) -> Tensor:
    """Coefficients of the additive game nearest to ``worth`` by weighted squares, whose sum is ``everything − nothing``.

    The constraint is met by eliminating one player, not by giving the ends a large weight (lundberg2017unified).
    """
    shown = masks.double()
    rise = everything - nothing
    root = weights.sqrt()[:, None]
    differences = root * (shown[:, :-1] - shown[:, -1:])
    rest = root[:, 0] * (worth - nothing - shown[:, -1] * rise)
    others = torch.linalg.solve(differences.T @ differences, differences.T @ rest)
    return torch.cat([others, (rise - others.sum())[None]])


def kernel_weights(masks: Tensor) -> Tensor:
    """The Shapley kernel ``(n−1) / (C(n,s) s (n−s))`` of coalitions that are neither empty nor full."""
    players = masks.shape[1]
    by_size = [(players - 1) / (math.comb(players, s) * s * (players - s)) for s in range(1, players)]
    return torch.tensor(by_size, dtype=torch.float64)[masks.sum(1) - 1]


def _orders(before: int, after: int) -> float:
    """``before! after! / (before + after)!``, the chance of one split of all orders; 0 where a number is negative."""
    return 0.0 if before < 0 or after < 0 else 1 / math.comb(before + after, before)


def _pair_weight(others: int, players: int, index: Index) -> float:
    """The weight of a second difference with ``others`` present of the ``players − 2``."""
    if not 0 <= others <= players - 2:
        return 0.0
    match index:
        case "sii":
            return _orders(others, players - 2 - others) / (players - 1)
        case "stii":
            return 2 / players * _orders(others, players - 1 - others)
        case "fsii":
            return 6 * _orders(others + 1, players - 1 - others) / (players + 1)
