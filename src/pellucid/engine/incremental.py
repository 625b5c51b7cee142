"""Exact incremental inference: of a pass that was changed in one box, only what the box reaches is computed again.

The activations of the plain input are kept. Each operation says which box of its output changes; what lies there is
computed from what it reads, around and inside the changed box of its input. From the operation on that has no such rule,
or whose box covers most of the map, whole maps are computed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.engine.box_rules import Step, step_of
from pellucid.engine.boxes import Boxes, cut, put
from pellucid.engine.program import Operation, Program, Slot

# Which argument of a product is summed over along its last axis.
_PRODUCTS = {"aten.mm": 0, "aten.bmm": 0, "aten.addmm": 1, "aten.baddbmm": 1}
_CONVOLUTIONS = ("aten.convolution", "mkldnn._convolution_pointwise")


class Incremental:
    """A program that answers for many windows of one example.

    ``changed`` says where the point changes; ``tensors`` are the inputs of the one example by name.
    """

    @torch.no_grad()
    def __init__(self, program: Program, point: str, tensors: Mapping[str, Tensor], changed: Boxes) -> None:
        self._program, self.point = program, program.inputs[point]
        self._varying = program.depending_on(point)
        self.boxes: dict[Slot, Boxes] = {self.point: changed}
        self._steps: dict[int, Step] = {}
        for number, operation in enumerate(program.operations):
            step = step_of(operation, self.boxes, self._varying, program.shapes)
            if step is not None:
                self._steps[number] = step
                if step.boxes is not None:
                    self.boxes |= {slot: step.boxes for slot in operation.outputs if slot is not None}
        self._last_read = {slot: n for n, operation in enumerate(program.operations) for slot in operation.inputs}
        self._last_read |= dict.fromkeys((program.output, *program.conditions), len(program.operations))
        self._plain = self._computed({slot: tensors[name] for name, slot in program.inputs.items()})
        self._maps: dict[tuple[Slot, tuple[int, ...], float], Tensor] = {}

    @property
    def share(self) -> float:
        """How many of the multiply-adds of a whole pass one window takes."""
        whole = done = 0.0
        for operation in self._program.operations:
            output = operation.outputs[0]
            if output in self._varying:
                cost = self._multiply_adds(operation, output)
                whole += cost
                done += cost * (self.boxes[output].share if output in self.boxes else 1.0)
        return done / whole if whole else 1.0

    @property
    def bytes_per_window(self) -> tuple[int, int]:
        """The bytes of all that is computed or put together for one window, and of the largest tensor."""
        sizes = [self._bytes(slot, self.boxes.get(slot)) for slot in self._varying]
        sizes += [self._bytes(step.operation.args[0], step.reads) for step in self._steps.values() if step.reads]
        return math.ceil(sum(sizes)), math.ceil(max(sizes))

    @property
    def bytes_kept(self) -> int:
        """The bytes of the plain activations, each of which may be kept twice: as a map that is padded as well."""
        return 2 * sum(tensor.numel() * tensor.element_size() for tensor in self._plain.values())

    @torch.no_grad()
    def answer(self, windows: Tensor, contents: Tensor) -> Tensor | None:
        """What the network answers where the boxes of these windows hold ``contents`` ``[n, *size, channels]``.

        None where one of the conditions does not hold, so that the network may do something else.
        """
        flow = Flow(self, windows, {self.point: contents})
        for number, operation in enumerate(self._program.operations):
            if not (self._varying.intersection(operation.inputs) or operation.counts_rows):
                continue
            step = self._steps.get(number)
            found = step.run(flow) if step is not None else operation.run(flow.whole, len(windows))
            flow.values |= {slot: t for slot, t in zip(operation.outputs, found, strict=True) if slot is not None}
            for slot in operation.inputs:
                if self._last_read[slot] == number:
                    flow.values.pop(slot, None)
        holds = all(bool(flow.whole(slot)) == value for slot, value in self._program.conditions.items())
        return flow.whole(self._program.output) if holds else None

    def plain(self, slot: Slot, rows: int = 1) -> Tensor:
        """What the plain input has at this place."""
        plain = self._plain[slot]
        return plain.expand(rows, *plain.shape[1:]) if slot in self._program.batched else plain

    def map(self, slot: Slot, padding: tuple[int, ...] = (), fill: float = 0.0) -> Tensor:
        """The plain map, channels last, padded (as ``torch.nn.functional.pad`` counts) and kept."""
        key = (slot, padding, fill)
        if key not in self._maps:
            plain = self._plain[slot]
            padded = torch.nn.functional.pad(plain, padding, value=fill) if any(padding) else plain
            self._maps[key] = padded[0].movedim(0, -1).contiguous()
        return self._maps[key]

    def _computed(self, plain: dict[Slot, Tensor]) -> dict[Slot, Tensor]:
        """The plain activations that somebody looks at later."""
        kept = {*plain}.union(*(step.maps for step in self._steps.values()))
        for number, operation in enumerate(self._program.operations):
            kept.update(slot for slot in operation.inputs if slot not in self._varying)
            if number not in self._steps:
                kept.update(slot for slot in operation.inputs if slot in self.boxes)
        kept.update(slot for slot in self._last_read if self._last_read[slot] == len(self._program.operations))
        for number, operation in enumerate(self._program.operations):
            found = operation.run(plain.__getitem__, 1)
            plain |= {slot: t for slot, t in zip(operation.outputs, found, strict=True) if slot is not None}
            for slot in operation.inputs:
                if self._last_read[slot] == number and slot not in kept:
                    del plain[slot]
        return plain

    def _bytes(self, slot: Slot, boxes: Boxes | None) -> float:
        element = self._plain[self.point].element_size()
        return element * math.prod(self._program.shapes[slot]) * (1.0 if boxes is None else boxes.share)

    def _multiply_adds(self, operation: Operation, output: Slot) -> int:
        shape = self._program.shapes[output]
        if operation.name in _CONVOLUTIONS:
            return math.prod(shape) * math.prod(self._shape(operation.args[1])) // shape[1]
        if operation.name in _PRODUCTS:
            return math.prod(shape) * self._shape(operation.args[_PRODUCTS[operation.name]])[-1]
        return 0

    def _shape(self, tensor: Slot | Tensor) -> tuple[int, ...]:
        return self._program.shapes[tensor] if isinstance(tensor, Slot) else tuple(tensor.shape)


@dataclass
class Flow:
    """One batch of windows on its way: ``values`` are contents of boxes ``[n, *size, channels]``, or whole tensors."""

    network: Incremental
    windows: Tensor
    values: dict[Slot, Tensor]

    def cut(self, slot: Slot, to: Boxes, padding: tuple[int, ...] = (), fill: float = 0.0) -> Tensor:
        """What lies in the boxes ``to`` on the padded map, channels first."""
        at, values = self.network.boxes.get(slot), self.values.get(slot)
        if at is None or values is None:
            return cut(self.network.map(slot, padding, fill), to.rows(self.windows)).movedim(-1, 1)
        if any(padding):
            at = at.moved(padding[-2::-2], to.map)
        if to.equal(at):
            return values.movedim(-1, 1)
        to, at = to.rows(self.windows), at.rows(self.windows)
        return put(values, at, cut(self.network.map(slot, padding, fill), to), to).movedim(-1, 1)

    def before(self, slot: Slot, to: Boxes) -> Tensor:
        """What the plain map has there, channels first."""
        return cut(self.network.map(slot), to.rows(self.windows)).movedim(-1, 1)

    def outside(self, slot: Slot) -> Tensor:
        """What the plain map has outside the box of at least one window of the batch."""
        boxes, plain = self.network.boxes[slot].rows(self.windows), self.network.map(slot)
        inside = boxes.shared
        if inside is None:
            return plain
        seen = torch.ones(boxes.map, dtype=torch.bool)
        seen[inside] = False
        return plain[seen]

    def plain(self, slot: Slot) -> Tensor:
        """What the plain input has at this place, with one row."""
        return self.network.plain(slot)

    def whole(self, slot: Slot) -> Tensor:
        """The whole tensor for all windows of the batch."""
        if slot not in self.values:
            return self.network.plain(slot, len(self.windows))
        boxes = self.network.boxes.get(slot)
        if boxes is None:
            return self.values[slot]
        return self.cut(slot, Boxes(torch.zeros_like(boxes.origins), boxes.map, boxes.map))
