"""Boxes on maps: where many windows change a map, one box of equal size per window.

A box may hold more than what changes, never less. Maps and what lies in boxes have their channels last.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Boxes:
    """``origins`` ``[windows, axes]`` (long) of boxes of one ``size`` on a map of so many elements per axis."""

    origins: Tensor
    size: tuple[int, ...]
    map: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.origins)

    def rows(self, index: Tensor) -> "Boxes":
        """The boxes of some of the windows."""
        return Boxes(self.origins[index], self.size, self.map)

    def equal(self, other: "Boxes") -> bool:
        """Whether these are the same boxes."""
        return (self.size, self.map) == (other.size, other.map) and torch.equal(self.origins, other.origins)

    @property
    def share(self) -> float:
        """How much of the map a box covers."""
        return math.prod(self.size) / math.prod(self.map)

    @property
    def ends(self) -> Tensor:
        return self.origins + torch.tensor(self.size)

    @property
    def shared(self) -> tuple[slice, ...] | None:
        """What lies in every box; None where nothing does."""
        starts, ends = self.origins.amax(0), self.ends.amin(0)
        inside = tuple(slice(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True))
        return inside if bool((starts < ends).all()) else None

    def moved(self, by: Sequence[int], onto: tuple[int, ...]) -> "Boxes":
        """The same boxes on a map that is padded by so much before it."""
        return Boxes(self.origins + torch.tensor(by), self.size, onto)


def covering(starts: Tensor, ends: Tensor, onto: tuple[int, ...]) -> Boxes:
    """Boxes of one size, all inside the map, around what changes from ``starts`` up to ``ends`` ``[windows, axes]``."""
    whole = torch.tensor(onto)
    starts = starts.clamp(min=0).minimum(whole)
    size = (ends.minimum(whole) - starts).amax(0).clamp(min=1)
    return Boxes(starts.minimum(whole - size), tuple(size.tolist()), onto)


def united(boxes: Sequence[Boxes]) -> Boxes:
    """Boxes around several on one map."""
    starts = torch.stack([box.origins for box in boxes]).amin(0)
    ends = torch.stack([box.ends for box in boxes]).amax(0)
    return covering(starts, ends, boxes[0].map)


@dataclass(frozen=True)
class Sliding:
    """What a convolution or a pooling reads: kernel, stride, padding and dilation per axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def reach(self) -> Tensor:
        return torch.tensor([(k - 1) * d for k, d in zip(self.kernel, self.dilation, strict=True)])

    def outputs(self, changed: Boxes, onto: tuple[int, ...]) -> Boxes:
        """Where the output changes, on a map of this size."""
        stride, padding = torch.tensor(self.stride), torch.tensor(self.padding)
        starts = -((self.reach - changed.origins - padding).div(stride, rounding_mode="floor"))
        ends = (changed.ends - 1 + padding).div(stride, rounding_mode="floor") + 1
        return covering(starts, ends, onto)

    def read(self, outputs: Boxes, padded: tuple[int, ...]) -> Boxes:
        """What is read for these outputs, on the padded map of the input."""
        size = (torch.tensor(outputs.size) - 1) * torch.tensor(self.stride) + self.reach + 1
        return Boxes(outputs.origins * torch.tensor(self.stride), tuple(size.tolist()), padded)


def cut(plain: Tensor, to: Boxes) -> Tensor:
    """What lies in the boxes on a map ``[*map, channels]`` that all windows share: ``[windows, *size, channels]``."""
    strides = [math.prod(to.map[axis + 1 :]) for axis in range(len(to.map))]
    inside = torch.zeros(1, dtype=torch.long)
    for size, stride in zip(to.size, strides, strict=True):
        inside = (inside[:, None] + torch.arange(size) * stride).view(-1)
    starts = (to.origins * torch.tensor(strides)).sum(1)
    channels = plain.shape[-1]
    found = plain.view(-1, channels).index_select(0, (starts[:, None] + inside).view(-1).to(plain.device))
    return found.view(len(to), *to.size, channels)


def put(values: Tensor, at: Boxes, into: Tensor, to: Boxes) -> Tensor:
    """``into``, which lies in the boxes ``to``, with each window's ``values`` where the boxes ``at`` overlap them.

    Windows of one offset go together: most of them.
    """
    for offset, windows in _alike(at.origins - to.origins):
        target, source = [windows], [windows]
        for start, have, room in zip(offset, at.size, to.size, strict=True):
            low, high = max(start, 0), max(min(start + have, room), max(start, 0))
            target.append(slice(low, high))
            source.append(slice(low - start, high - start))
        into[tuple(target)] = values[tuple(source)]
    return into


def _alike(offsets: Tensor) -> Iterator[tuple[tuple[int, ...], slice | Tensor]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, offset in enumerate(offsets.tolist()):
        groups.setdefault(tuple(offset), []).append(number)
    for offset, windows in groups.items():
        yield offset, slice(None) if len(groups) == 1 else torch.tensor(windows)
