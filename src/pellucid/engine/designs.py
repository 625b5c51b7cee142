"""Designs: masks of features that tell the coefficients of a linear model with fewer rows than independent draws."""

import torch
from torch import Generator, Tensor

from pellucid.engine.sampling import BLOCK, Draw, Draws


def order_for(features: int) -> int:
    """The smallest power of two above the number of features: half the rows after which pairs are balanced."""
    return 1 << features.bit_length()


def orthogonal_pairs(features: int) -> Draw:
    """Masks and their complements from random Hadamard matrices, each mask by itself as likely as any other.

    In every block of ``2 · order_for(features)`` rows each feature is shown half of the time and no two features go
    together, so that a linear model loses nothing to chance correlations; what features do in twos, fours, … cancels
    between a mask and its complement (a folded-over orthogonal array, ``box1961fractional``). Which of the matrix's
    columns are used, and which of these are flipped, is drawn anew for each block.
    """
    order = order_for(features)

    def draw(rows: int, source: Generator) -> Tensor:
        blocks, left = [], rows
        while left > 0:
            pairs = min(order, -(-left // 2))
            columns = 1 + torch.randperm(order - 1, generator=source)[:features]
            flipped = torch.randint(2, (features,), generator=source)
            place = torch.randperm(order, generator=source)[:pairs]
            masks = _parity(place[:, None] & columns) ^ flipped
            blocks.append(torch.stack([masks, 1 - masks], 1).view(-1, features))
            left -= 2 * pairs
        return torch.cat(blocks)[:rows].bool()

    return draw


def sized(features: int, chances: Tensor) -> Draw:
    """Masks that show each number of features as often as ``chances`` ``[features + 1]`` say, up to rounding; which
    ones is drawn without replacement."""
    cumulative = (chances / chances.sum()).cumsum(0)

    def draw(rows: int, source: Generator) -> Tensor:
        height = (torch.arange(rows) + torch.rand(1, generator=source, dtype=torch.float64)) / rows
        shown = torch.searchsorted(cumulative, height).clamp(max=features)
        shown = shown[torch.randperm(rows, generator=source)]
        rank = torch.rand(rows, features, generator=source, dtype=torch.float64).argsort(1).argsort(1)
        return rank < shown[:, None]

    return draw


class EveryMask(Draws):
    """All ``2^features`` masks, each once, in the place of draws."""

    def __init__(self, features: int) -> None:
        everything = torch.ones(features, dtype=torch.bool)
        super().__init__(2**features, everything, lambda rows, source: everything, torch.Generator(), opens=False)

    def _block(self, number: int) -> Tensor:
        places = torch.arange(number * BLOCK, min((number + 1) * BLOCK, self.samples))
        return (places[:, None] >> torch.arange(len(self.first)) & 1).bool()


def _parity(numbers: Tensor) -> Tensor:
    for shift in (16, 8, 4, 2, 1):
        numbers = numbers ^ numbers >> shift
    return numbers & 1
