"""Sums per example, whatever the layout: which example of a batch a memory cell belongs to."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid.engine.memory import Memory, Place, Value


class Layout(NamedTuple):
    """Cell ``c`` of a memory belongs to example ``(c // block + shift) % batch``."""

    block: int
    shift: int


class Axis(NamedTuple):
    """The axis of a tensor along which examples change: index ``i`` is of example ``(i // inner + start) % batch``."""

    place: int
    inner: int
    start: int


class Examples:
    """The layout of every memory that depends on the point; None where examples do not stay apart."""

    def __init__(self, batch: int, starts: Iterable[Value]) -> None:
        self.batch = batch
        self._layouts: dict[Memory, Layout | None] = {}
        for start in starts:
            block = max(start.stride[0], 1)
            self._layouts[start.memory] = Layout(block, -(start.offset // block) % batch)
        self._axes: dict[tuple[Memory, tuple[int, ...], tuple[int, ...], int], Axis | None] = {}

    def axis(self, value: Value | Place) -> Axis | None:
        """The batch axis of a tensor, None if it has none that could be told."""
        key = (value.memory, *value.geometry)
        if key not in self._axes:
            self._axes[key] = self._find(value)
        return self._axes[key]

    def place(self, output: Value, axis: Axis | None) -> None:
        """Record that ``output`` has this batch axis; a memory of which that is not true throughout has no layout."""
        layout = None
        if axis is not None:
            block = output.stride[axis.place] * axis.inner
            layout = Layout(block, (axis.start - output.offset // max(block, 1)) % self.batch) if block else None
        known = self._layouts.setdefault(output.memory, layout)
        if known != layout:
            self._layouts[output.memory] = None

    def leads(self, value: Value | Place) -> bool:
        """Whether the batch axis is the first or second one."""
        if self.batch == 1:
            return True
        axis = self.axis(value)
        return axis is not None and axis.place < 2

    def flat_sums(self, cells: Tensor, memory: Memory) -> Tensor | None:
        """The same for all cells of a memory."""
        if self.batch == 1:
            return cells.sum(dtype=torch.float64).reshape(1)
        layout = self._layouts.get(memory)
        if layout is None:
            return None
        numbers = (torch.arange(len(cells), device=cells.device) // layout.block + layout.shift) % self.batch
        return cells.new_zeros(self.batch, dtype=torch.float64).index_add_(0, numbers, cells.double())

    def _find(self, value: Value | Place) -> Axis | None:
        layout = self._layouts.get(value.memory)
        if layout is None:
            return None
        block, within = layout.block, value.offset % layout.block
        start = (value.offset // block + layout.shift) % self.batch
        found: list[Axis] = []
        reach, finest = within, block
        for place, (count, step) in enumerate(zip(value.size, value.stride, strict=True)):
            if count == 1 or step == 0 or step % (block * self.batch) == 0:
                continue
            if step == block:
                found.append(Axis(place, 1, start))
            elif step < block and block % step == 0 and count * step > block and within < step:
                found.append(Axis(place, block // step, start))
                finest = step
            elif step < block:
                reach += step * (count - 1)
            else:
                return None
        return found[0] if len(found) == 1 and reach < finest else None


class Accounts:
    """Sums over each example, collected as they arise and added up together in float64.

    Only what lies behind the first two axes is added in the precision of the amounts themselves, in blocks.
    """

    def __init__(self, examples: Examples) -> None:
        self._examples = examples
        self._parts: list[Tensor] = []

    def open(self, amount: Tensor, value: Value | Place) -> int | None:
        """A number for the sums of ``amount``, in the shape of ``value`` or of its first two axes.

        None where examples cannot be told apart.
        """
        if self._examples.batch == 1:
            part = amount if amount.ndim < 3 else amount.sum(tuple(range(2, amount.ndim)))
            return self._keep(part.reshape(-1))
        axis = self._examples.axis(value)
        if axis is None or axis.place >= amount.ndim:
            return None
        if amount.ndim > 2 and axis.place < 2:
            amount = amount.sum(tuple(range(2, amount.ndim)))
        rows = amount.movedim(axis.place, 0).reshape(amount.shape[axis.place], -1).sum(1, dtype=torch.float64)
        numbers = (torch.arange(len(rows), device=rows.device) // axis.inner + axis.start) % self._examples.batch
        return self._keep(rows.new_zeros(self._examples.batch).index_add_(0, numbers, rows))

    def settled(self) -> Tensor:
        """All sums, ``[accounts, batch]``, on the CPU."""
        if not self._parts:
            return torch.zeros(0, self._examples.batch, dtype=torch.float64)
        if self._examples.batch > 1:
            return torch.stack(self._parts).cpu()
        amounts = torch.cat(self._parts).double()
        lengths = torch.tensor([len(part) for part in self._parts], device=amounts.device)
        owner = torch.arange(len(lengths), device=amounts.device).repeat_interleave(lengths)
        return amounts.new_zeros(len(lengths)).index_add_(0, owner, amounts)[:, None].cpu()

    def _keep(self, part: Tensor) -> int:
        self._parts.append(part)
        return len(self._parts) - 1
