"""Operations that are linear in their inputs and have no weights, and operations that only move elements about.

Both send relevance back along the transpose of the map: a selection sends it as it is, a sum sends the share of each term.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pellucid.engine.memory import Value
from pellucid.engine.relevance_operations import CONSTANT, Operation, register_operation, unanswerable
from pellucid.engine.transposes import by_autograd

if TYPE_CHECKING:
    from pellucid.engine.relevance import Propagation
    from pellucid.engine.tape import Call

Axis = Callable[["Call", Value, int], int | None]


def aligned(call: "Call", source: Value, axis: int) -> int | None:
    """The same axis counted from the right, where nothing moves along it."""
    return Operation.output_axis(_PLAIN, call, source, axis)


def leading(call: "Call", source: Value, axis: int) -> int | None:
    """Only the first axis stays apart: pooling, interpolation, folding."""
    return 0 if axis == 0 else None


def apart_from(position: int, default: int) -> Axis:
    """Every axis but the one that the argument at ``position`` (or ``dim``) names."""

    def stays(call: "Call", source: Value, axis: int) -> int | None:
        named = call.args[position] if len(call.args) > position else call.kwargs.get("dim", default)
        changed = {entry % len(source.size) for entry in (named if isinstance(named, list | tuple) else (named,))}
        return None if axis in changed or not changed else aligned(call, source, axis)

    return stays


def reduced(call: "Call", source: Value, axis: int, dim: int = 1) -> int | None:
    """Every axis that is not reduced away; ``dim`` is the position of the argument that names those."""
    axes = reduced_axes(call, dim)
    output = call.outputs[0]
    assert output is not None
    if axis in axes:
        return None
    return axis if len(output.size) == len(source.size) else axis - sum(other < axis for other in axes)


def stacked(call: "Call", source: Value, axis: int) -> int | None:
    """The new axis moves those after it."""
    new = (call.args[1] if len(call.args) > 1 else call.kwargs.get("dim", 0)) % (len(source.size) + 1)
    return axis + (axis >= new)


def indexed(call: "Call", source: Value, axis: int) -> int | None:
    """An axis without an index, or one indexed by 0, 1, 2 … (one element of each example)."""
    indices = call.args[1]
    given = [place for place, index in enumerate(indices) if index is not None]
    if any(indices[place].live.dtype == torch.bool for place in given) or given[-1] - given[0] >= len(given):
        return None
    ranks = {len(indices[place].size) for place in given}
    if axis not in given:
        return axis if axis < given[0] else axis - len(given) + max(ranks)
    return given[0] if ranks == {1} and _counts(indices[axis], source.size[axis]) else None


def assigned(call: "Call", source: Value, axis: int) -> int | None:
    """The first axis, where an index into it counts 0, 1, 2 … (one element of each example is replaced)."""
    if source is call.args[0]:
        return aligned(call, source, axis)
    index = call.args[1][0]
    counts = index is not None and _counts(index, call.args[0].size[0])
    return 0 if axis == 0 and counts else None


def never(call: "Call", source: Value, axis: int) -> int | None:
    """Examples may end up anywhere."""
    return None


class Selection(Operation):
    """Each output is a copy of one input element, of a constant or of a fill: relevance goes back to where it came from.

    ``fill`` is the position of the argument that holds the number some outputs are filled with; ``axis`` tells where the
    batch axis goes.
    """

    transparent = True

    def __init__(self, axis: Axis = aligned, fill: int | None = None) -> None:
        self._axis, self.fill = axis, fill

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        for value, gradient in by_autograd(call, (relevance,), propagation.tensor):
            propagation.give(value, gradient)
        constants = any(not value.depends and value.live.is_floating_point() for value in call.values)
        if self.fill is not None or constants:
            propagation.absorb(CONSTANT, relevance * (1 - self._origin(call, relevance)), call.outputs[0])

    def _origin(self, call: "Call", like: Tensor) -> Tensor:
        """1 where an output was copied from something that depends on the point, else 0."""

        def tag(value: Value) -> Tensor:
            return like.new_full(value.size, float(value.depends)) if value.live.is_floating_point() else value.tensor()

        filled = self.fill is not None and len(call.args) > self.fill and not isinstance(call.args[self.fill], Value)
        return first(call.run(tag, {self.fill: 0} if filled else {}))  # type: ignore[dict-item]

    def output_axis(self, call: "Call", source: Value, axis: int) -> int | None:
        return self._axis(call, source, axis)


class Assignment(Selection):
    """Some elements replaced by others; not added to them or multiplied with them, of which the same operations are able."""

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        if "reduce" in call.kwargs or (call.name == "aten.index_put" and (*call.args, False)[3]):
            raise unanswerable(call, "it accumulates")
        super().distribute(call, relevance, propagation)


class Concatenation(Selection):
    """Pieces side by side."""

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        dim = call.args[1] if len(call.args) > 1 else call.kwargs.get("dim", 0)
        # An empty vector may be among tensors of any rank.
        pieces = [value for value in call.args[0] if value.size != (0,)]
        start = 0
        for value in pieces:
            width = value.size[dim]
            if value.depends:
                propagation.give(value, relevance.narrow(dim, start, width))
            else:
                propagation.absorb(CONSTANT, only(relevance, dim, start, width), call.outputs[0])
            start += width


class Stacking(Selection):
    """Pieces along a new axis."""

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        dim = call.args[1] if len(call.args) > 1 else call.kwargs.get("dim", 0)
        for place, value in enumerate(call.args[0]):
            if value.depends:
                propagation.give(value, relevance.select(dim, place))
            else:
                propagation.absorb(CONSTANT, only(relevance, dim, place, 1), call.outputs[0])


class MaxPooling(Selection):
    """The winner of each window takes all; the winners are on record."""

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        source, winners = call.args[0], call.outputs[1]
        assert winners is not None
        settings = [*call.args[1:], *((), 0, 1, False)[len(call.args) - 2 :]]
        back = torch.ops.aten.max_pool2d_with_indices_backward
        given = back(relevance.contiguous(), propagation.tensor(source), *settings, winners.tensor())
        propagation.give(source, given)


class Sum(Operation):
    """A map that is linear in its inputs: averages, interpolations, sums. Each term gets its share (``Norm``)."""

    def __init__(self, axis: Axis = leading) -> None:
        self._axis = axis

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        constants = [value for value in call.values if not value.depends and value.live.is_floating_point()]
        if any(bool(value.tensor().any()) for value in constants):
            raise unanswerable(call, "some of its terms do not depend on the input")
        share = propagation.share(call, relevance, _total(call, propagation))
        for value, gradient in by_autograd(call, (share,), propagation.tensor):
            propagation.give(value, _term(value, propagation) * gradient)

    def output_axis(self, call: "Call", source: Value, axis: int) -> int | None:
        return self._axis(call, source, axis)


class Reduction(Sum):
    """A sum or mean over some axes, without the detour over autograd."""

    def __init__(self, mean: bool) -> None:
        super().__init__(reduced)
        self.mean = mean

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        source, axes = call.args[0], reduced_axes(call)
        share = propagation.share(call, relevance, _total(call, propagation))
        values = _term(source, propagation)
        if self.mean:
            share = share * (share.numel() / values.numel())
        shape = [1 if axis in axes else size for axis, size in enumerate(source.size)]
        propagation.give(source, values * share.reshape(shape))


def _term(value: Value, propagation: "Propagation") -> Tensor:
    """What a value brings to a sum; of a sum that shares among positive terms, its positive part."""
    tensor = propagation.tensor(value)
    return tensor.clamp(min=0) if propagation.composite.sum.split == "positive" else tensor


def _total(call: "Call", propagation: "Propagation") -> Tensor:
    if propagation.composite.sum.split != "positive":
        return propagation.output(call)
    return first(call.run(lambda value: _term(value, propagation) if value.depends else value.tensor()))


def reduced_axes(call: "Call", dim: int = 1) -> set[int]:
    """The axes that a reduction removes, named by the argument at ``dim``; all of them where none is named."""
    rank = len(call.args[0].size)
    named = call.args[dim] if len(call.args) > dim else call.kwargs.get("dim")
    axes = [named] if isinstance(named, int) else list(named or range(rank))
    return {axis % rank for axis in axes} if rank else set()


def only(relevance: Tensor, dim: int, start: int, width: int) -> Tensor:
    """The relevance of a part along an axis, zeros elsewhere."""
    part = torch.zeros_like(relevance)
    part.narrow(dim, start, width).copy_(relevance.narrow(dim, start, width))
    return part


def first(result: Any) -> Tensor:
    """The first tensor of what an operation returns."""
    return result if isinstance(result, Tensor) else result[0]


def _counts(index: Value, size: int) -> bool:
    return torch.equal(index.tensor().cpu(), torch.arange(size))


_PLAIN = Operation()

_SELECTIONS: dict[Axis, str] = {
    aligned: "where tril triu repeat slice_scatter select_scatter diagonal_scatter",
    leading: (
        "pixel_shuffle pixel_unshuffle channel_shuffle im2col reflection_pad1d reflection_pad2d reflection_pad3d "
        "replication_pad1d replication_pad2d replication_pad3d upsample_nearest1d upsample_nearest2d upsample_nearest3d "
        "_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d adaptive_max_pool2d "
        "adaptive_max_pool3d max_pool3d_with_indices max_unpool2d max_unpool3d fractional_max_pool2d fractional_max_pool3d"
    ),
    apart_from(1, 0): "index_select gather flip rot90",
    apart_from(1, -1): "sort",
    apart_from(2, -1): "topk kthvalue",
    apart_from(2, ()): "roll",  # type: ignore[arg-type]
    reduced: "max min amax amin median",
    never: "masked_select take masked_scatter",
}
for _axis, _names in _SELECTIONS.items():
    for _name in _names.split():
        register_operation(f"aten.{_name}", Selection(_axis))
for _name in ("scatter", "index_copy"):
    register_operation(f"aten.{_name}", Assignment(apart_from(1, 0), fill=3))
register_operation("aten.index", Selection(indexed))
register_operation("aten.index_put", Assignment(assigned))
register_operation("aten.stack", Stacking(stacked))
register_operation("aten.masked_fill", Selection(fill=2))
register_operation("aten.index_fill", Selection(apart_from(1, 0), fill=3))
register_operation("aten.constant_pad_nd", Selection(fill=2))
register_operation("aten.cat", Concatenation(apart_from(1, 0)))
register_operation("aten.max_pool2d_with_indices", MaxPooling(leading))

for _name in [
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "col2im",
    "upsample_linear1d",
    "upsample_bilinear2d",
    "upsample_bicubic2d",
    "upsample_trilinear3d",
    "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa",
]:
    register_operation(f"aten.{_name}", Sum())
register_operation("aten.cumsum", Sum(apart_from(1, 0)))
register_operation("aten.index_add", Sum(apart_from(1, 0)))
register_operation("aten.scatter_add", Sum(apart_from(1, 0)))
register_operation("aten.mean", Reduction(mean=True))
register_operation("aten.sum", Reduction(mean=False))
