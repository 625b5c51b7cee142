"""Receptive fields: which part of the input a unit can see, by arithmetic on the operations of one pass.

Every element that a pass computes carries the first and the last place of the input, along each axis of positions, that it
can depend on. Operations move these bounds as their kernel, stride, padding and dilation say, whatever the weights and the
values are, so that branches, residual sums, functional pooling and reused modules need no case of their own.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.errors import UsageError, nearest
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.memory import Content, Geometry, Memory, Value
from pellucid.engine.perturb import position_axes
from pellucid.engine.reaches import NOTHING, reached
from pellucid.engine.tape import Call, Tape
from pellucid.engine.taping import taped


@dataclass(frozen=True)
class ReceptiveFields:
    """What each unit of ``layer`` can see of an input that has ``sides`` places along its axes of positions.

    ``first`` and ``stop`` ``[axes, …layer]`` are the first place and the one behind the last, clipped at the borders. A unit
    that sees nothing of the input has ``first`` 0 and ``stop`` 0.
    """

    layer: str
    sides: tuple[int, ...]
    first: Tensor
    stop: Tensor

    def box(self, place: tuple[int, ...]) -> tuple[int, ...]:
        """First places, then those behind the last, of one unit: (top, left, bottom, right) in a picture."""
        first, stop = (side.movedim(0, -1)[place].tolist() for side in (self.first, self.stop))
        return (*first, *stop)

    def whole(self, place: tuple[int, ...]) -> bool:
        """Whether a unit sees the whole input, as behind a global pooling, an attention or a flattened map."""
        return self.box(place) == (*[0] * len(self.sides), *self.sides)


def receptive_fields(subject: Subject, inputs: Inputs, layer: str) -> ReceptiveFields:
    """The fields of all units of a layer (``"block.3"``, its second call ``"block.3#1"``), from a pass of one example.

    An operation that is not known to be local counts as seeing all that it reads. Raises ``NotAnswerable`` where the pass
    cannot be followed.
    """
    one = inputs.rows(slice(0, 1))
    axes = position_axes(subject, one)
    with taped(subject, one) as (tape, _):
        mark = tape.marks.get(layer)
        if not layer or mark is None:
            raise UsageError(f"no layer {layer!r} was called; {nearest(layer, [name for name in tape.marks if name])}")
        reaches = _Reaches(tape, axes)
        for call in tape.calls[: mark.position]:
            reaches.follow(call)
        found = None if mark.place is None else reaches.held_at(mark.place.memory, mark.place.geometry)[:, 0]
    if found is None or not bool((found > NOTHING).any()):
        raise UsageError(f"layer {layer!r} returns no tensor that is computed from the input; name one inside it")
    seen = found > NOTHING
    first = torch.where(seen, -found, 0)[: len(axes)].long()
    stop = torch.where(seen, found + 1, 0)[len(axes) :].long()
    return ReceptiveFields(layer, tuple(one.value.shape[axis] for axis in axes), first, stop)


class _Reaches:
    """The bounds of every element on a tape, ``[2 · axes, …]``: the negative of the first places, then the last places, so
    that what sees two things has the maximum of their bounds."""

    def __init__(self, tape: Tape, axes: tuple[int, ...]) -> None:
        size = tape.start.size
        places = [
            torch.arange(size[axis], dtype=torch.float32).view(-1, *[1] * (len(size) - axis - 1)).expand(size)
            for axis in axes
        ]
        self._bounds = 2 * len(axes)
        self._held: dict[Content, tuple[Geometry, Tensor]] = {}
        self._latest: dict[Memory, Content] = {}
        self._write(tape.start, torch.stack([*(-place for place in places), *places]))

    def follow(self, call: Call) -> None:
        """Let one operation move the bounds."""
        moved = reached(call, self._read)
        for output, bounds in zip(call.outputs, moved, strict=True):
            if output is not None and output.depends:
                self._write(output, bounds)

    def held_at(self, memory: Memory, geometry: Geometry) -> Tensor:
        """The bounds of these cells, as they are now."""
        return self._viewed(self._latest.get(memory), memory, geometry)

    def _read(self, value: Value) -> Tensor:
        return self._viewed(value.content, value.memory, value.geometry)

    def _viewed(self, content: Content | None, memory: Memory, geometry: Geometry) -> Tensor:
        held = None if content is None else self._held.get(content)
        if held is None:
            return torch.full((1,), NOTHING).expand(self._bounds, *geometry[0])
        if held[0] == geometry:
            return held[1]
        size, stride, offset = geometry
        return self._cells(held, memory).as_strided((self._bounds, *size), (memory.cells, *stride), offset)

    def _write(self, value: Value, bounds: Tensor) -> None:
        before = self._latest.get(value.memory)
        size, stride, offset = value.geometry
        geometry = value.geometry
        if before is not None and before in self._held and math.prod(size) < value.memory.cells:
            flat = self._cells(self._held[before], value.memory).clone()
            flat.as_strided((self._bounds, *size), (value.memory.cells, *stride), offset).copy_(bounds)
            geometry, bounds = ((value.memory.cells,), (1,), 0), flat
        self._held[value.content] = (geometry, bounds)
        self._latest[value.memory] = value.content

    def _cells(self, held: tuple[Geometry, Tensor], memory: Memory) -> Tensor:
        """The bounds of all cells of a memory, ``[2 · axes, cells]``."""
        (size, stride, offset), bounds = held
        flat = torch.full((self._bounds, memory.cells), NOTHING)
        flat.as_strided((self._bounds, *size), (memory.cells, *stride), offset).copy_(bounds)
        return flat
