"""How each operation carries boxes on: where its output changes, and what it computes there."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pellucid.engine.boxes import Boxes, Sliding, united
from pellucid.engine.program import Operation, Slot

# Past this share of the map there is little to save (from a half to nearly all of it, times are the same: measured).
_MOST_OF_A_MAP = 0.7


class Flow(Protocol):
    """A batch of windows on its way through the network."""

    def cut(self, slot: Slot, to: Boxes, padding: tuple[int, ...] = (), fill: float = 0.0) -> Tensor: ...
    def before(self, slot: Slot, to: Boxes) -> Tensor: ...
    def outside(self, slot: Slot) -> Tensor: ...
    def plain(self, slot: Slot) -> Tensor: ...


@dataclass(frozen=True)
class Step:
    """An operation that computes ``boxes`` of its output only; None where what it makes of boxes is no map.

    ``reads`` are larger boxes that are put together for it, ``maps`` the places whose plain maps it looks at.
    """

    operation: Operation
    boxes: Boxes | None
    compute: Callable[[Flow], list[Any]]
    reads: Boxes | None = None
    maps: tuple[Slot, ...] = ()

    def run(self, flow: Flow) -> list[Any]:
        """What it returns: the contents of boxes with the channels last, or a whole tensor."""
        found = self.compute(flow)
        if self.boxes is None:
            return found
        read = [slot is not None for slot in self.operation.outputs]
        return [part.movedim(1, -1).contiguous() if used else None for part, used in zip(found, read, strict=True)]


@dataclass(frozen=True)
class Setting:
    """What a rule may look at: the operation, the boxes so far, what changes with the window, and shapes of one row."""

    operation: Operation
    boxes: Mapping[Slot, Boxes]
    varying: frozenset[Slot]
    shapes: Mapping[Slot, tuple[int, ...]]

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument, wherever it was given."""
        args = self.operation.args
        return args[position] if position < len(args) else self.operation.kwargs.get(name, default)

    @property
    def source(self) -> Slot:
        """The first tensor."""
        return self.operation.args[0]

    @property
    def single(self) -> bool:
        """Whether nothing but the first tensor changes with the window, and nothing but the first result is read."""
        others = self.operation.inputs[1:]
        return not self.varying.intersection(others) and not any(self.operation.outputs[1:])


Rule = Callable[[Setting], Step | None]


def step_of(
    operation: Operation,
    boxes: Mapping[Slot, Boxes],
    varying: frozenset[Slot],
    shapes: Mapping[Slot, tuple[int, ...]],
) -> Step | None:
    """How this operation carries boxes on; None where it must see whole maps."""
    rule = _RULES.get(operation.name)
    reads = varying.intersection(operation.inputs)
    if rule is None or not reads or not all(slot in boxes for slot in reads):
        return None
    return rule(Setting(operation, boxes, varying, shapes))


def _pointwise(setting: Setting) -> Step | None:
    """One place of the output reads the same place of its operands; numbers and channels are the same everywhere."""
    operation = setting.operation
    reads = [slot for slot in operation.inputs if slot in setting.varying]
    onto = setting.boxes[reads[0]].map
    output = operation.outputs[0]
    if any(operation.outputs[1:]) or output is None or setting.shapes[output][2:] != onto:
        return None
    if any(setting.boxes[slot].map != onto for slot in reads):
        return None
    boxes = united([setting.boxes[slot] for slot in reads])
    for leaf in _tensors(operation):
        shape = setting.shapes[leaf] if isinstance(leaf, Slot) else tuple(leaf.shape)
        spread = math.prod(shape) == 1 or (len(shape) >= len(onto) and all(n == 1 for n in shape[-len(onto) :]))
        if not spread and not (isinstance(leaf, Slot) and shape[2:] == onto):
            return None

    operands = {slot for slot in operation.inputs if setting.shapes[slot][2:] == onto}
    maps = tuple(slot for slot in operands if slot not in reads or not boxes.equal(setting.boxes[slot]))

    def compute(flow: Flow) -> list[Any]:
        return operation.run(lambda slot: flow.cut(slot, boxes) if slot in operands else flow.plain(slot), 1)

    return Step(operation, boxes, compute, maps=maps)


def _along_channels(position: int, name: str) -> Rule:
    """Pointwise where the axis that it works along is that of the channels."""

    def rule(setting: Setting) -> Step | None:
        axis = setting.argument(position, name, 0)
        if axis not in (1, 1 - len(setting.shapes[setting.operation.inputs[0]])):
            return None
        return _pointwise(setting)

    return rule


def _batch_norm(setting: Setting) -> Step | None:
    operation, source = setting.operation, setting.source
    if not setting.single or (operation.name == "aten.native_batch_norm" and operation.args[5]):
        return None
    boxes = setting.boxes[source]

    def compute(flow: Flow) -> list[Any]:
        return operation.run(lambda slot: flow.cut(slot, boxes) if slot == source else flow.plain(slot), 1)

    return Step(operation, boxes, compute)


def _convolution(setting: Setting) -> Step | None:
    _, weight, _, stride, padding, dilation, transposed, *_ = setting.operation.args
    if transposed:
        return None
    shape = setting.shapes[weight] if isinstance(weight, Slot) else tuple(weight.shape)
    sliding = Sliding(*(_per_axis(value, len(shape) - 2) for value in (shape[2:], stride, padding, dilation)))
    return _slide(setting, sliding, 0.0, instead={4: [0] * (len(shape) - 2)})


def _fused_convolution(setting: Setting) -> Step | None:
    """A convolution and the activation after it, which sees each place of its result alone."""
    _, weight, _, padding, stride, dilation, *_ = setting.operation.args
    shape = setting.shapes[weight] if isinstance(weight, Slot) else tuple(weight.shape)
    axes = len(setting.boxes[setting.source].map)
    sliding = Sliding(*(_per_axis(value, axes) for value in (shape[-axes:], stride, padding, dilation)))
    return _slide(setting, sliding, 0.0, instead={3: [0] * axes})


def _max_pool(setting: Setting) -> Step | None:
    axes = len(setting.boxes[setting.source].map)
    kernel, stride = setting.argument(1, "kernel_size"), setting.argument(2, "stride", ())
    padding, dilation = setting.argument(3, "padding", 0), setting.argument(4, "dilation", 1)
    sliding = Sliding(*(_per_axis(value, axes) for value in (kernel, stride or kernel, padding, dilation)))
    own = dict(enumerate([list(part) for part in (sliding.kernel, sliding.stride)], 1))
    return _slide(setting, sliding, -math.inf, instead={**own, 3: [0] * axes, 4: list(sliding.dilation), 5: False})


def _average_pool(setting: Setting) -> Step | None:
    axes = len(setting.boxes[setting.source].map)
    kernel, stride = setting.argument(1, "kernel_size"), setting.argument(2, "stride", ())
    padding, ceil = _per_axis(setting.argument(3, "padding", 0), axes), setting.argument(4, "ceil_mode", False)
    if ceil or (any(padding) and not setting.argument(5, "count_include_pad", True)):
        return None
    sliding = Sliding(_per_axis(kernel, axes), _per_axis(stride or kernel, axes), padding, (1,) * axes)
    return _slide(setting, sliding, 0.0, instead={2: list(sliding.stride), 3: [0] * axes})


def _slide(setting: Setting, sliding: Sliding, fill: float, instead: Mapping[int, Any]) -> Step | None:
    operation, source, output = setting.operation, setting.source, setting.operation.outputs[0]
    if not setting.single or output is None:
        return None
    changed, onto = setting.boxes[source], setting.shapes[output][2:]
    boxes = sliding.outputs(changed, onto)
    if boxes.share >= _MOST_OF_A_MAP:
        return None
    # After the map as much as the last output reads: more than the padding where an output is rounded up.
    needed = [
        (size - 1) * step + reach + 1
        for size, step, reach in zip(onto, sliding.stride, sliding.reach.tolist(), strict=True)
    ]
    after = [max(pad, need - size - pad) for pad, need, size in zip(sliding.padding, needed, changed.map, strict=True)]
    padding = tuple(n for pair in reversed([*zip(sliding.padding, after, strict=True)]) for n in pair)
    padded = tuple(a + size + b for a, size, b in zip(sliding.padding, changed.map, after, strict=True))
    read = sliding.read(boxes, padded)
    args = [*operation.args, *[None] * (max(instead) + 1 - len(operation.args))]
    for position, value in instead.items():
        args[position] = value
    alone = Operation(operation.function, tuple(args), operation.kwargs, operation.outputs)

    def compute(flow: Flow) -> list[Any]:
        return alone.run(
            lambda slot: flow.cut(slot, read, padding, fill) if slot == source else flow.plain(slot), 1
        )  # fmt: skip

    same = read.equal(changed.moved(sliding.padding, padded))
    return Step(operation, boxes, compute, read, () if same else (source,))


def _constant_pad(setting: Setting) -> Step | None:
    operation, source, output = setting.operation, setting.source, setting.operation.outputs[0]
    padding, boxes = list(operation.args[1]), setting.boxes[source]
    before = [0] * (len(boxes.map) - len(padding) // 2) + padding[-2::-2]
    if output is None or min(padding) < 0 or len(padding) // 2 > len(boxes.map):
        return None
    moved = boxes.moved(before, setting.shapes[output][2:])
    return Step(operation, moved, lambda flow: [flow.cut(source, boxes)])


def _mean(setting: Setting) -> Step | None:
    """Of the whole map: the plain mean, and the change of the sum over the box."""
    operation, source, output = setting.operation, setting.source, setting.operation.outputs[0]
    boxes, axes = setting.boxes[source], setting.argument(1, "dim")
    every = set(range(2, len(boxes.map) + 2))
    if not axes or output is None or {axis % (len(boxes.map) + 2) for axis in axes} != every or operation.kwargs:
        return None
    positions = math.prod(boxes.map)

    def compute(flow: Flow) -> list[Any]:
        change = flow.cut(source, boxes) - flow.before(source, boxes)
        return [flow.plain(output) + change.sum(tuple(every), keepdim=bool(setting.argument(2, "keepdim"))) / positions]

    return Step(operation, None, compute, maps=(source, output))


def _extreme(setting: Setting) -> Step | None:
    """Of everything in all rows, where it does not matter how often an element comes: largest, smallest, all, any."""
    operation, source = setting.operation, setting.source
    if len(operation.args) > 1 or operation.kwargs:
        return None

    def compute(flow: Flow) -> list[Any]:
        parts = flow.cut(source, setting.boxes[source]), flow.outside(source)
        return operation.run(lambda slot: torch.cat([part.flatten() for part in parts]), 1)

    return Step(operation, None, compute, maps=(source,))


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:
    numbers = tuple(value) if isinstance(value, list | tuple) else (value,)
    return numbers * axes if len(numbers) == 1 else numbers


def _tensors(operation: Operation) -> list[Any]:
    flat: list[Any] = []
    for argument in (*operation.args, *operation.kwargs.values()):
        flat += argument if isinstance(argument, list | tuple) and not isinstance(argument, Slot) else [argument]
    return [leaf for leaf in flat if isinstance(leaf, Slot | Tensor)]


_POINTWISE = (
    *("relu", "hardtanh", "hardswish", "hardsigmoid", "silu", "gelu", "sigmoid", "tanh", "leaky_relu", "elu", "celu"),
    *("softplus", "mish", "threshold", "hardshrink", "softshrink", "_prelu_kernel", "clamp", "clamp_min", "clamp_max"),
    *("exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "reciprocal", "abs", "neg", "sign", "pow", "erf", "sin", "cos"),
    *("add", "sub", "rsub", "mul", "div", "maximum", "minimum", "where", "lerp", "addcmul"),
    *("gt", "ge", "lt", "le", "eq", "ne", "logical_and", "logical_or", "logical_not", "masked_fill"),
    *("clone", "detach", "alias", "_to_copy", "lift_fresh"),
)
_RULES: dict[str, Rule] = {
    **{f"aten.{name}": _pointwise for name in _POINTWISE},
    "aten.cat": _along_channels(1, "dim"),
    "aten.slice": _along_channels(1, "dim"),
    **dict.fromkeys(("aten.native_batch_norm", "aten._native_batch_norm_legit_no_training"), _batch_norm),
    "aten.convolution": _convolution,
    "mkldnn._convolution_pointwise": _fused_convolution,
    "aten.max_pool2d_with_indices": _max_pool,
    "aten.avg_pool2d": _average_pool,
    "aten.constant_pad_nd": _constant_pad,
    "aten.mean": _mean,
    **dict.fromkeys(("aten.max", "aten.min", "aten.aminmax", "aten.all", "aten.any"), _extreme),
}
