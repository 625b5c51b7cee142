"""The strongest activations of each channel, kept while a data set passes by."""

from collections.abc import Mapping

import torch
from torch import Tensor

_PLACE_BITS = 32


class Strongest:
    """The ``k`` largest values of each channel and the codes of where they were seen, strongest first.

    Equal values are ordered by the lowest code. The table is that of sorting everything at once, whatever the order and
    the size of the batches, and however the data was split between tables that are merged. Memory is ``channels × k``.
    """

    def __init__(self, channels: int, k: int) -> None:
        self.k = k
        self.values = torch.empty(channels, 0)
        self.codes = torch.empty(channels, 0, dtype=torch.long)

    def add(self, values: Tensor, codes: Tensor) -> None:
        """Take in a batch, both ``[batch, channels]``; no code may come twice, and no value may be NaN."""
        self._take(values.T, codes.T)

    def merge(self, other: "Strongest") -> None:
        """Take in what another table has seen of other data."""
        self._take(other.values, other.codes)

    @property
    def examples(self) -> Tensor:
        """The number of the example of each entry, ``[channels, k]``."""
        return examples_of(self.codes)

    @property
    def places(self) -> Tensor:
        """The place in the channel of each entry, counted row by row."""
        return places_of(self.codes)

    def state(self) -> dict[str, Tensor]:
        """Everything that is known, to go on from."""
        return {"values": self.values, "codes": self.codes}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        self.values, self.codes = state["values"], state["codes"]

    def _take(self, values: Tensor, codes: Tensor) -> None:
        values = torch.cat([self.values.to(values.dtype), values], 1)
        codes = torch.cat([self.codes, codes], 1)
        # By code first, then by value without disturbing that order: ties end up by the lowest code.
        codes, order = codes.sort(1)
        values, by_value = values.gather(1, order).sort(dim=1, descending=True, stable=True)
        self.values = values[:, : self.k].clone()
        self.codes = codes.gather(1, by_value)[:, : self.k].clone()


def code(example: Tensor, place: Tensor) -> Tensor:
    """One integer for a place of an example; codes are ordered by example, then by place."""
    return (example.long() << _PLACE_BITS) | place.long()


def examples_of(codes: Tensor) -> Tensor:
    """The number of the example in a code."""
    return codes >> _PLACE_BITS


def places_of(codes: Tensor) -> Tensor:
    """The place in a code."""
    return codes & (1 << _PLACE_BITS) - 1


def peaks(places: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """The largest value of each channel in each example of ``[batch, channels, places]`` and its code, both ``[batch,
    channels]``.

    ``first`` is the number of the batch's first example. Of equal places the lowest counts.
    """
    # NumPy looks for the place of a maximum many at a time, torch one by one, which takes eight times as long.
    place = torch.from_numpy(places.numpy().argmax(2))
    values = places.gather(2, place[..., None])[..., 0]
    example = torch.arange(first, first + len(places))
    return values, code(example[:, None].expand_as(place), place)
