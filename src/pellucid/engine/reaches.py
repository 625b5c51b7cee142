"""How each operation moves bounds: the first and last places that its outputs depend on, from those of its inputs.

Bounds are ``[rows, …]`` beside the tensor that they belong to, and what depends on two elements has the maximum of both.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pellucid.engine.memory import Value
from pellucid.engine.tape import Call

NOTHING = -math.inf
Bounds = Callable[[Value], Tensor]
Move = Callable[[Call, Bounds], Tensor | None]


def _names(text: str) -> frozenset[str]:
    return frozenset(f"aten.{name}" for name in text.split())


# They take elements as they are and put them elsewhere, so that they can do the same with bounds.
_COPYING = _names(
    "cat stack clone _to_copy copy lift_fresh_copy unsafe_split unsafe_split_with_sizes pixel_shuffle pixel_unshuffle "
    "channel_shuffle im2col flip roll rot90 repeat gather take index index_select index_put slice_scatter "
    "select_scatter reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d "
    "replication_pad3d upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d "
    "_upsample_nearest_exact2d _upsample_nearest_exact3d"
)
# Each element from the elements at its own place, though torch does not mark them so.
_ELEMENTWISE = _names("hardswish _prelu_kernel rsub rrelu_with_noise log_sigmoid_forward")


def reached(call: Call, read: Bounds) -> list[Tensor]:
    """The bounds of every output of ``call``; what is not known of an operation counts as seeing all that it reads."""
    sizes = [() if output is None else output.size for output in call.outputs]
    if call.name in _COPYING and "reduce" not in call.kwargs:
        copied = _copied(call, read)
        if [tuple(bounds.shape[1:]) for bounds in copied] == sizes:
            return copied
    found = _moved(call, read)
    if found is None:
        return [_everything(call, read, size) for size in sizes]
    rest = [_everything(call, read, size) for size in sizes[1:]]
    return [found.expand(len(found), *sizes[0]), *rest]


def _moved(call: Call, read: Bounds) -> Tensor | None:
    move = MOVES.get(call.name)
    if move is not None:
        return move(call, read)
    tags = {tag for name in call.packet.overloads() for tag in getattr(call.packet, name).tags}
    if torch.Tag.reduction in tags and len(call.values) == 1:
        return _reduced(call, read)
    return _elementwise(call, read) if torch.Tag.pointwise in tags or call.name in _ELEMENTWISE else None


def _everything(call: Call, read: Bounds, size: tuple[int, ...]) -> Tensor:
    most = torch.stack([read(value).flatten(1).amax(1) for value in call.inputs]).amax(0)
    return most.view(-1, *[1] * len(size)).expand(-1, *size)


def _elementwise(call: Call, read: Bounds) -> Tensor:
    output = call.outputs[0]
    assert output is not None
    found = [read(value) for value in call.inputs]
    aligned = [
        bounds.view(len(bounds), *[1] * (len(output.size) + 1 - bounds.ndim), *bounds.shape[1:]) for bounds in found
    ]
    most = aligned[0]
    for bounds in aligned[1:]:
        most = torch.maximum(most, bounds)
    return most


def _copied(call: Call, read: Bounds) -> list[Tensor]:
    """The operation done to each row of bounds as if they were the values; constants see nothing."""
    outputs: list[list[Tensor]] = []
    for row in range(len(read(call.inputs[0]))):

        def bounds(value: Value, row: int = row) -> Tensor:
            if value.depends:
                return read(value)[row]
            tensor = value.tensor()
            return torch.full_like(tensor, NOTHING, dtype=torch.float32) if tensor.is_floating_point() else tensor

        made = call.run(bounds)
        outputs.append(list(made) if isinstance(made, list | tuple) else [made])
    return [torch.stack(rows).float() for rows in zip(*outputs, strict=True)]


def _padded_with_constants(call: Call, read: Bounds) -> Tensor:
    return functional.pad(read(call.args[0]), call.args[1], value=NOTHING)


def _reduced(call: Call, read: Bounds) -> Tensor | None:
    """Everything along the axes that are taken together."""
    output = call.outputs[0]
    bounds, size = read(call.args[0]), None if output is None else output.size
    places = [axis for axis in call.args[1:2] if isinstance(axis, int | list | tuple)]
    given = call.kwargs.get("dim", places[0] if places else None)
    if len(call.inputs) > 1 or size is None or isinstance(given, bool):
        return None
    rank = bounds.ndim - 1
    axes = range(rank) if given is None or given == [] else [given] if isinstance(given, int) else given
    kept = bounds.amax([axis % rank + 1 for axis in axes], keepdim=True)
    return kept.reshape(len(bounds), *size)


def _along(call: Call, read: Bounds) -> Tensor:
    """All outputs from everything along one axis: a softmax, a running sum."""
    bounds = read(call.args[0])
    return bounds.amax(call.args[1] % (bounds.ndim - 1) + 1, keepdim=True)


def _layer_norm(call: Call, read: Bounds) -> Tensor:
    bounds = read(call.args[0])
    return bounds.amax(list(range(bounds.ndim - len(call.args[1]), bounds.ndim)), keepdim=True)


def _group_norm(call: Call, read: Bounds) -> Tensor:
    bounds, groups = read(call.args[0]), call.args[6]
    size = bounds.shape
    grouped = bounds.reshape(*size[:2], groups, -1).amax(-1, keepdim=True)
    return grouped.expand(-1, -1, -1, size[2] // groups).reshape(*size[:3], *[1] * (len(size) - 3))


def _batch_norm(call: Call, read: Bounds) -> Tensor:
    bounds = read(call.args[0])
    together = [1, *range(3, bounds.ndim)]
    return bounds.amax(together, keepdim=True) if call.args[5] else bounds


def _matrix_product(call: Call, read: Bounds) -> Tensor:
    """A row of the one factor and a column of the other; ``addmm`` and its kin add their first argument."""
    first, second = call.args[-2:]
    parts = []
    if first.depends:
        parts.append(read(first).amax(-1, keepdim=True))
    if second.depends:
        parts.append(read(second).amax(-2, keepdim=True))
    if len(call.args) == 3 and call.args[0].depends:
        parts.append(read(call.args[0]))
    most = parts[0]
    for bounds in parts[1:]:
        most = torch.maximum(most, bounds)
    return most


def _convolution(call: Call, read: Bounds) -> Tensor | None:
    source, weight, _, stride, padding, dilation, transpose, _, groups = call.args[:9]
    output = call.outputs[0]
    if weight.depends or not source.depends or output is None:
        return None
    bounds = read(source)
    rows, batch, channels = bounds.shape[:3]
    together = bounds.reshape(rows, batch, groups, channels // groups, *bounds.shape[3:]).amax(3)
    for place, kernel in enumerate(weight.size[2:]):
        step, pad, spread = (setting[place % len(setting)] for setting in (stride, padding, dilation))
        if transpose:
            together, pad, step = _stuffed(together, place + 3, step), spread * (kernel - 1) - pad, 1
        together = windowed(together, place + 3, kernel, step, pad, spread, output.size[place + 2])
    each = output.size[1] // groups
    whole = together.unsqueeze(3).expand(-1, -1, -1, each, *together.shape[3:])
    return whole.reshape(rows, batch, groups * each, *together.shape[3:])


def _pooling(call: Call, read: Bounds) -> Tensor:
    """Windows of kernel, stride and padding, which a maximum can also spread."""
    bounds, output = read(call.args[0]), call.outputs[0]
    assert output is not None
    kernel = call.args[1]
    stride = (call.args[2] if len(call.args) > 2 else None) or kernel
    padding = call.args[3] if len(call.args) > 3 else (0,)
    dilation = call.args[4] if call.name.startswith("aten.max") and len(call.args) > 4 else (1,)
    axes = len(kernel)
    for place in range(axes):
        size, step, pad, spread = (setting[place % len(setting)] for setting in (kernel, stride, padding, dilation))
        axis = bounds.ndim - axes + place
        bounds = windowed(bounds, axis, size, step, pad, spread, output.size[axis - 1])
    return bounds


def _adaptive_pooling(call: Call, read: Bounds) -> Tensor:
    bounds, wanted = read(call.args[0]), call.args[1]
    for place, number in enumerate(wanted):
        axis = bounds.ndim - len(wanted) + place
        length = bounds.shape[axis]
        bins = [(i * length // number, -(-(i + 1) * length // number)) for i in range(number)]
        parts = [bounds.narrow(axis, start, stop - start).amax(axis, keepdim=True) for start, stop in bins]
        bounds = torch.cat(parts, axis)
    return bounds


def _interpolated(call: Call, read: Bounds) -> Tensor:
    """Each place from its two neighbours, or from the one that it falls on."""
    bounds, output, aligned = read(call.args[0]), call.outputs[0], bool(call.args[2])
    assert output is not None
    for axis in range(3, bounds.ndim):
        length, wanted = bounds.shape[axis], output.size[axis - 1]
        places = torch.arange(wanted, dtype=torch.float64)
        at = places * (length - 1) / max(wanted - 1, 1) if aligned else (places + 0.5) * length / wanted - 0.5
        at = at.clamp(0, length - 1)
        bounds = torch.maximum(
            bounds.index_select(axis, at.floor().long()), bounds.index_select(axis, at.ceil().long())
        )
    return bounds


def windowed(bounds: Tensor, axis: int, size: int, stride: int, padding: int, dilation: int, outputs: int) -> Tensor:
    """The maximum over windows along one axis, of which what lies outside counts nothing."""
    reach = (outputs - 1) * stride + (size - 1) * dilation + 1
    behind = reach - bounds.shape[axis] - padding
    pads = [0, 0] * (bounds.ndim - 1 - axis) + [padding, behind]
    wide = functional.pad(bounds, pads, value=NOTHING)
    last = (outputs - 1) * stride + 1
    most: Tensor | None = None
    for tap in range(size):
        part = _every(wide, axis, tap * dilation, last, stride)
        most = part if most is None else torch.maximum(most, part)
    assert most is not None
    return most


def _every(bounds: Tensor, axis: int, start: int, length: int, step: int) -> Tensor:
    index: list[Any] = [slice(None)] * bounds.ndim
    index[axis] = slice(start, start + length, step)
    return bounds[tuple(index)]


def _stuffed(bounds: Tensor, axis: int, step: int) -> Tensor:
    """With ``step − 1`` empty places between any two along an axis, as a transposed convolution reads it."""
    size = list(bounds.shape)
    size[axis] = (size[axis] - 1) * step + 1
    wide = bounds.new_full(size, NOTHING)
    _every(wide, axis, 0, size[axis], step).copy_(bounds)
    return wide


MOVES: Mapping[str, Move] = {
    **dict.fromkeys(_names("convolution _convolution"), _convolution),
    **dict.fromkeys(_names("mm bmm addmm baddbmm"), _matrix_product),
    **dict.fromkeys(
        _names("max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d"), _pooling
    ),
    **dict.fromkeys(_names("_adaptive_avg_pool2d _adaptive_avg_pool3d"), _adaptive_pooling),
    **dict.fromkeys(_names("adaptive_max_pool2d adaptive_max_pool3d"), _adaptive_pooling),
    **dict.fromkeys(_names("upsample_linear1d upsample_bilinear2d upsample_trilinear3d"), _interpolated),
    **dict.fromkeys(_names("native_batch_norm cudnn_batch_norm miopen_batch_norm"), _batch_norm),
    **dict.fromkeys(_names("_softmax _log_softmax cumsum"), _along),
    "aten.native_layer_norm": _layer_norm,
    "aten.native_group_norm": _group_norm,
    "aten.constant_pad_nd": _padded_with_constants,
}
