"""Exact incremental inference: of a pass that was changed in one box, only what the box reaches is computed again.

All activations of the plain input are kept. Each operation says which box of its output changes; what lies there is
computed from what it reads, around and inside the changed box of its input. From the operation on that has no such rule,
or whose box covers most of the map, the whole maps are computed (notes on cost: the later layers of a deep network).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.engine.box_rules import Step, step_of
from pellucid.engine.boxes import Boxes, cut
from pellucid.engine.program import Operation, Program, Slot

# Multiply-adds of one element of the output, from the shape of the argument at this position.
_PRODUCTS: dict[str, tuple[int, Callable[[tuple[int, ...]], int]]] = {
    "aten.convolution": (1, lambda shape: math.prod(shape[1:])),
    "aten.addmm": (1, lambda shape: shape[-1]),
    **dict.fromkeys(("aten.mm", "aten.bmm"), (0, lambda shape: shape[-1])),
    "aten.baddbmm": (1, lambda shape: shape[-1]),
}


class Incremental:
    """A program that answers for many windows of one example.

    ``changed`` says where the point changes; ``tensors`` are the inputs of the one example by name.
    """

    def __init__(self, program: Program, point: str, tensors: Mapping[str, Tensor], changed: Boxes) -> None:
        self._program, self._point = program, program.inputs[point]
        self._varying = program.depending_on(point)
        self._boxes: dict[Slot, Boxes] = {self._point: changed}
        self._steps: dict[int, Step] = {}
        for number, operation in enumerate(program.operations):
            step = step_of(operation, self._boxes, self._varying, program.shapes)
            if step is not None:
                self._steps[number] = step
                if step.boxes is not None:
                    self._boxes |= {slot: step.boxes for slot in operation.outputs if slot is not None}
        self._last_read = {
            slot: number for number, operation in enumerate(program.operations) for slot in operation.inputs
        }
        self._plain: dict[Slot, Tensor] = {slot: tensors[name] for name, slot in program.inputs.items()}
        self._maps: dict[tuple[Slot, tuple[int, ...], float], Tensor] = {}
        self._fill_in()

    @property
    def share(self) -> float:
        """How many of the multiply-adds of a whole pass one window takes."""
        whole = done = 0.0
        for operation in self._program.operations:
            output = operation.outputs[0]
            if output is None or output not in self._varying:
                continue
            cost = self._multiply_adds(operation, output)
            whole += cost
            done += cost * (self._boxes[output].share if output in self._boxes else 1.0)
        return done / whole if whole else 1.0

    @property
    def bytes_per_window(self) -> tuple[int, int]:
        """The bytes of all that is computed or put together for one window, and of the largest tensor."""
        sizes = [self._bytes(slot, self._boxes.get(slot)) for slot in self._varying if slot in self._plain]
        for step in self._steps.values():
            if step.reads is not None:
                sizes.append(self._bytes(step.operation.args[0], step.reads))
        return math.ceil(sum(sizes)), math.ceil(max(sizes))

    def _bytes(self, slot: Slot, boxes: Boxes | None) -> float:
        tensor = self._plain[slot]
        return tensor.element_size() * tensor.numel() * (1.0 if boxes is None else boxes.share)

    def answer(self, windows: Tensor, contents: Tensor) -> Tensor:
        """What the network answers where the boxes of these windows hold ``contents`` ``[n, *size, channels]``."""
        flow = Flow(self, windows, {self._point: contents})
        for number, operation in enumerate(self._program.operations):
            if not (self._varying.intersection(operation.inputs) or operation.counts_rows):
                continue
            step = self._steps.get(number)
            found = step.run(flow) if step is not None else operation.run(flow.whole, len(windows))
            for slot, tensor in zip(operation.outputs, found, strict=True):
                if slot is not None:
                    flow.values[slot] = tensor
            for slot in operation.inputs:
                if self._last_read[slot] == number:
                    flow.values.pop(slot, None)
        return flow.whole(self._program.output)

    def plain(self, slot: Slot) -> Tensor:
        """What the plain input has at this place, with one row."""
        return self._plain[slot]

    def map(self, slot: Slot, padding: tuple[int, ...] = (), fill: float = 0.0) -> Tensor:
        """The plain map, channels last, padded (as ``torch.nn.functional.pad`` counts) and kept."""
        key = (slot, padding, fill)
        if key not in self._maps:
            padded = (
                torch.nn.functional.pad(self._plain[slot], padding, value=fill) if any(padding) else self._plain[slot]
            )
            self._maps[key] = padded[0].movedim(0, -1).contiguous()
        return self._maps[key]

    def _fill_in(self) -> None:
        for operation in self._program.operations:
            for slot, tensor in zip(operation.outputs, operation.run(self._plain.__getitem__, 1), strict=True):
                if slot is not None:
                    self._plain[slot] = tensor

    def _multiply_adds(self, operation: Operation, output: Slot) -> int:
        if operation.name not in _PRODUCTS:
            return 0
        position, per_element = _PRODUCTS[operation.name]
        argument = operation.args[position]
        shape = self._program.shapes[argument] if isinstance(argument, Slot) else tuple(argument.shape)
        return math.prod(self._program.shapes[output]) * per_element(shape)


@dataclass
class Flow:
    """One batch of windows on its way: ``values`` are contents of boxes ``[n, *size, channels]``, or whole tensors."""

    network: Incremental
    windows: Tensor
    values: dict[Slot, Tensor]

    def cut(self, slot: Slot, to: Boxes, padding: tuple[int, ...] = (), fill: float = 0.0) -> Tensor:
        """What lies in the boxes ``to`` on the padded map, channels first."""
        plain, values = self.network.map(slot, padding, fill), self.values.get(slot)
        at = None
        if values is not None:
            at = self.network._boxes[slot].rows(self.windows)
            at = at.moved(padding[-2::-2], to.map) if padding else at
        return cut(plain, to.rows(self.windows), values, at).movedim(-1, 1)

    def before(self, slot: Slot, to: Boxes) -> Tensor:
        """What the plain map has there, channels first."""
        return cut(self.network.map(slot), to.rows(self.windows)).movedim(-1, 1)

    def plain(self, slot: Slot) -> Tensor:
        """What the plain input has at this place, with one row."""
        return self.network.plain(slot)

    def whole(self, slot: Slot) -> Tensor:
        """The whole tensor for all windows of the batch."""
        boxes = self.network._boxes.get(slot)
        if boxes is not None and slot in self.values:
            everything = Boxes(torch.zeros_like(boxes.origins), boxes.map, boxes.map)
            return self.cut(slot, everything)
        if slot in self.values:
            return self.values[slot]
        plain = self.network.plain(slot)
        if slot not in self.network._program.batched:
            return plain
        return plain.expand(len(self.windows), *plain.shape[1:])
