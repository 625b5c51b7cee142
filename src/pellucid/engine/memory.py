"""Tensors as cells of memory: what a tensor held when it was read, whatever is written to its memory later.

Views share memory, in-place operations and slice assignments overwrite some of it. Whoever follows memory cells instead
of tensor objects gets all of these right with the same few lines, in any combination.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

Geometry = tuple[tuple[int, ...], tuple[int, ...], int]


class Memory:
    """One storage, kept alive so that its address stays its own. ``cells`` is its size in elements.

    ``depends``: some cell was computed from the point. ``unwritten``: reserved, and no operation seen so far wrote to it.
    """

    __slots__ = ("address", "cells", "content", "depends", "storage", "unwritten")

    def __init__(self, tensor: Tensor, depends: bool, unwritten: bool = False) -> None:
        self.storage = tensor.untyped_storage()
        self.address: int = self.storage._cdata
        self.cells = self.storage.nbytes() // tensor.element_size()
        self.depends = depends
        self.unwritten = unwritten
        self.content = Content(self)

    def overwrite(self, tensor: Tensor) -> None:
        """Begin a new content; ``tensor`` is any tensor on this memory. Called before the write."""
        if self.content.held:
            flat = tensor.detach().as_strided((self.cells,), (1,), 0)
            self.content.kept = flat.clone()
        self.content = Content(self)
        self.unwritten = False


class Content:
    """What a memory holds between two writes.

    ``held`` values look at it, ``reads`` operations computed something of the point from it, ``writer`` produced it.
    ``kept`` is a copy made when the memory was written again.
    """

    __slots__ = ("held", "kept", "memory", "reads", "writer")

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.held = False
        self.reads = 0
        self.writer: Any = None
        self.kept: Tensor | None = None

    def release(self) -> None:
        """Let go of the memory, its copy and its writer; nothing can be asked of the content any more."""
        self.memory = self.writer = self.kept = None  # type: ignore[assignment]


class Value:
    """A tensor as an operation saw it; ``live`` is that tensor object, as long as its geometry stays."""

    __slots__ = ("content", "depends", "live", "offset", "size", "stride")

    def __init__(self, tensor: Tensor, memory: Memory) -> None:
        self.content = memory.content
        self.content.held = True
        self.depends = memory.depends
        self.live = tensor
        self.size, self.stride, self.offset = tuple(tensor.shape), tensor.stride(), tensor.storage_offset()

    @property
    def memory(self) -> Memory:
        return self.content.memory

    @property
    def geometry(self) -> Geometry:
        return self.size, self.stride, self.offset  # type: ignore[return-value]

    def tensor(self) -> Tensor:
        """The values as they were, also where the memory has been overwritten since."""
        kept = self.content.kept
        return self.live if kept is None else kept.as_strided(self.size, self.stride, self.offset)

    def flat(self) -> Tensor:
        """A copy of the whole memory as it was, ``[cells]``."""
        source = self.live.detach() if self.content.kept is None else self.content.kept
        return source.as_strided((self.memory.cells,), (1,), 0).clone()


class Place(NamedTuple):
    """Where a tensor lies, without the tensor: what a :class:`Value` says of its cells."""

    memory: Memory
    geometry: Geometry

    @property
    def size(self) -> tuple[int, ...]:
        """The shape of the tensor."""
        return self.geometry[0]

    @property
    def stride(self) -> tuple[int, ...]:
        """Its steps, in cells."""
        return self.geometry[1]

    @property
    def offset(self) -> int:
        """Its first cell."""
        return self.geometry[2]


class Ledger:
    """One number for every memory cell: what the operations walked back over so far have given to it.

    With it goes a note of each giver, as long as what was given stays whole.
    """

    def __init__(self) -> None:
        self._cells: dict[Memory, tuple[Geometry | None, Tensor, tuple[int, ...]]] = {}

    def give(self, value: Value | Place, amount: Tensor, notes: tuple[int, ...]) -> None:
        """Add ``amount`` (in the shape of ``value``) to the cells of ``value``; a cell seen twice gets both."""
        memory, geometry = value.memory, value.geometry
        present = self._cells.get(memory)
        if present is None and amount.numel() == memory.cells and not overlapping(geometry):
            self._cells[memory] = (geometry, amount, notes)
        elif present is not None and present[0] == geometry:
            self._cells[memory] = (geometry, present[1] + amount, present[2] + notes)
        else:
            flat = amount.new_zeros(memory.cells) if present is None else self._flat(memory)
            if overlapping(geometry):
                cells = torch.arange(memory.cells, device=amount.device).as_strided(*geometry)
                flat = flat.index_add(0, cells.reshape(-1), amount.reshape(-1))
            else:
                flat.as_strided(*geometry).add_(amount)
            self._cells[memory] = (None, flat, ())

    def take(self, memory: Memory, geometry: Geometry) -> tuple[Tensor | None, tuple[int, ...]]:
        """What these cells hold (None where their memory was never given anything) and, if it is whole, the givers' notes.

        Afterwards the cells hold nothing.
        """
        present = self._cells.get(memory)
        if present is None:
            return None, ()
        if present[0] == geometry:
            del self._cells[memory]
            return present[1:]
        flat = self._flat(memory)
        self._cells[memory] = (None, flat, ())
        region = flat.as_strided(*geometry)
        taken = region.clone()
        region.zero_()
        return taken, ()

    def look(self, place: Place) -> Tensor | None:
        """What these cells hold; they keep it."""
        present = self._cells.get(place.memory)
        if present is None:
            return None
        return present[1] if present[0] == place.geometry else self._flat(place.memory).as_strided(*place.geometry)

    def rest(self) -> list[tuple[Memory, Tensor]]:
        """Every memory that holds something, as flat cells."""
        return [(memory, self._flat(memory)) for memory in self._cells]

    def _flat(self, memory: Memory) -> Tensor:
        geometry, amount, _ = self._cells[memory]
        if geometry is None:
            return amount
        flat = amount.new_zeros(memory.cells)
        flat.as_strided(*geometry).copy_(amount)
        return flat


def overlapping(geometry: Geometry) -> bool:
    """Whether two indices of a tensor may lie in the same memory cell (an expanded or unfolded view)."""
    size, stride, _ = geometry
    reach = 0
    for step, count in sorted((step, count) for step, count in zip(stride, size, strict=True) if count > 1):
        if step <= reach:
            return True
        reach += step * (count - 1)
    return False
