"""How the values of each channel are distributed, counted while a data set passes by."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

# Each power of two between the smallest and the largest that are told apart has this many bins of equal width.
_BITS = 4
_LOWEST, _HIGHEST = -20, 20
_SIDE = (_HIGHEST - _LOWEST) << _BITS
_FIRST = (127 + _LOWEST) << _BITS


class Distribution:
    """Counts of float32 values in bins that are the same for every data set, and the exact extremes, of each channel.

    A bin is as wide as a sixteenth of the power of two below it, so that a quantile is right to 1/16 of itself, and to
    much less where values are many; magnitudes below 2^-20 count as zero, those from 2^20 on share a bin. Counts do not
    depend on order or batches, and those of parts add up.
    """

    def __init__(self, channels: int) -> None:
        self.counts = torch.zeros(channels, 2 * _SIDE + 1, dtype=torch.long)
        self.lowest = torch.full((channels,), torch.inf)
        self.highest = torch.full((channels,), -torch.inf)

    def add(self, values: Tensor) -> None:
        """Take in ``[channels, values]``, all of them finite."""
        values = values.float()
        numbers = _bins(values)
        channel = torch.arange(len(values))[:, None] * self.counts.shape[1]
        cells = (numbers + channel).flatten()
        self.counts.view(-1).index_add_(0, cells, torch.ones_like(cells))
        self.lowest = torch.minimum(self.lowest, values.amin(1))
        self.highest = torch.maximum(self.highest, values.amax(1))

    def merge(self, other: "Distribution") -> None:
        """Take in what has been counted of other data."""
        self.counts += other.counts
        self.lowest = torch.minimum(self.lowest, other.lowest)
        self.highest = torch.maximum(self.highest, other.highest)

    def quantile(self, share: float) -> Tensor:
        """The value of each channel that this share of its values does not exceed, ``[channels]``."""
        totals = self.counts.cumsum(1)
        rank = (share * totals[:, -1:].double()).clamp(min=1)
        number = torch.searchsorted(totals.double(), rank).clamp(max=self.counts.shape[1] - 1)
        below = totals.gather(1, number) - self.counts.gather(1, number)
        within = (rank - below) / self.counts.gather(1, number).clamp(min=1)
        edges = bin_edges()
        low, high = edges[number], edges[number + 1]
        low, high = (torch.where(number == _SIDE, 0.0, edge) for edge in (low, high))
        return (low + within * (high - low))[:, 0].clamp(self.lowest, self.highest)

    def histogram(self, channel: int, bins: int = 40) -> tuple[Tensor, Tensor]:
        """Counts of one channel in bins of equal width from its lowest to its highest value, and their edges.

        Counts are shares of the bins that are kept, so they need not be whole numbers, but add up to all values.
        """
        low, high = float(self.lowest[channel]), float(self.highest[channel])
        edges = torch.linspace(low, high, bins + 1, dtype=torch.float64)
        total = self.counts[channel].cumsum(0).double()
        if low == high:
            return torch.cat([total[-1:], edges.new_zeros(bins - 1)]), edges
        below = np.interp(edges, bin_edges().clamp(low, high), torch.cat([total.new_zeros(1), total]))
        return torch.from_numpy(below).diff(), edges

    def above_zero(self) -> Tensor:
        """The share of values of each channel that are larger than zero (than 2^-20)."""
        return self.counts[:, _SIDE + 1 :].sum(1) / self.counts.sum(1)

    def zeros(self) -> Tensor:
        """The share of values of each channel that are zero (no further from it than 2^-20)."""
        return self.counts[:, _SIDE] / self.counts.sum(1)

    def state(self) -> dict[str, Tensor]:
        """Everything that is known, to go on from; of the counts only the bins in which there is something."""
        used = self.counts.any(0).nonzero()[:, 0]
        return {"counts": self.counts[:, used], "used": used, "lowest": self.lowest, "highest": self.highest}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        self.counts.zero_()[:, state["used"]] = state["counts"]
        self.lowest, self.highest = state["lowest"], state["highest"]


def bin_edges() -> Tensor:
    """The edges of the bins, ``[bins + 1]``, float64, from the lowest to the highest."""
    octaves = torch.arange(_LOWEST, _HIGHEST, dtype=torch.float64)[:, None]
    steps = 1 + torch.arange(1 << _BITS, dtype=torch.float64) / (1 << _BITS)
    side = torch.cat([(octaves.exp2() * steps).flatten(), torch.tensor([2.0**_HIGHEST], dtype=torch.float64)])
    return torch.cat([-side.flip(0), side])


def _bins(values: Tensor) -> Tensor:
    """The number of each value's bin: a float32 without its sign, read as an integer, counts bins by itself."""
    size = (values.contiguous().view(torch.int32) & 0x7FFFFFFF) >> (23 - _BITS)
    number = (size.long() - _FIRST).clamp(-1, _SIDE - 1) + 1
    return torch.where(values < 0, _SIDE - number, _SIDE + number)
