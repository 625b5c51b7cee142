"""How the strongest places of units overlap with masks, over a data set, and how much of that chance would give."""

import functools
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional


class LargestShare:
    """The exact value that a ``share`` of ``total`` values of each channel exceed, found while they pass by."""

    def __init__(self, channels: int, share: float, total: int) -> None:
        self._number = int(share * total) + 1
        self._largest = torch.zeros(channels, 0)

    def add(self, values: Tensor) -> None:
        """Take in ``[channels, values]``."""
        together = torch.cat([self._largest, values], 1)
        self._largest = together.topk(min(self._number, together.shape[1]), 1).values

    def threshold(self) -> Tensor:
        """The smallest value of each channel, ``[channels]``, of which no more than the share is larger.

        Where more than the share have the largest value of all, as in a unit that saturates, just below that value.
        """
        found, largest = self._largest[:, -1], self._largest[:, 0]
        return torch.where(found == largest, found - 1e-6 * found.abs(), found)


@dataclass
class Overlaps:
    """Where units are above their thresholds: codes ``unit × examples × places + example × places + place``, ascending;
    with the masks ``[concepts, examples, places]``."""

    active: Tensor
    units: int
    masks: Tensor

    def areas(self) -> Tensor:
        """How many places of each unit are active, ``[units]``."""
        return torch.bincount(self.active // self.masks[0].numel(), minlength=self.units)

    def ratios(self) -> Tensor:
        """Intersection over union of each unit with each concept over all examples, ``[units, concepts]``, float64."""
        unit, place = self.active // self.masks[0].numel(), self.active % self.masks[0].numel()
        shared = [torch.bincount(unit[masks.flatten()[place]], minlength=self.units) for masks in self.masks]
        return self._over_union(torch.stack(shared, 1), self.areas()[:, None])

    def by_chance(self, unit: int, draws: int, source: Generator) -> Tensor:
        """The largest ratio over the concepts where the masks belong to other examples, drawn at random: ``[draws]``."""
        concepts, examples, places = self.masks.shape
        start = torch.searchsorted(self.active, torch.tensor([unit, unit + 1]) * examples * places)
        own = self.active[start[0] : start[1]] % (examples * places)
        seen, row = (own // places).unique(return_inverse=True)
        map_of = torch.zeros(len(seen), places)
        map_of[row, own % places] = 1
        # How many active places of each example would be shared with the masks of each other one.
        shared = map_of @ self._masks_of_examples
        shared = shared.view(len(seen), concepts, examples)
        orders = torch.stack([torch.randperm(examples, generator=source) for _ in range(draws)])
        picked = shared.gather(2, orders.T[seen][:, None].expand(-1, concepts, -1)).sum(0).T
        return self._over_union(picked, torch.tensor(len(own))).amax(1)

    @functools.cached_property
    def _masks_of_examples(self) -> Tensor:
        return self.masks.flatten(0, 1).float().T

    def _over_union(self, shared: Tensor, area: Tensor) -> Tensor:
        union = area + self.masks.flatten(1).sum(1) - shared
        return shared.double() / union.clamp(min=1)


def enlarged_maps(places: Tensor, extent: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    """Maps ``[batch, channels, places]`` of an ``extent`` as ``[batch, channels, grid]`` of another shape, bilinear."""
    maps = places.view(*places.shape[:2], *extent)
    return functional.interpolate(maps, size=shape, mode="bilinear", align_corners=False).flatten(2)
