"""A pass as a list of operations: heard where torch dispatches to its kernels, and repeatable for any number of rows.

Two passes over different numbers of different rows tell what depends on the number of rows, and that nothing else
changed: the operations, their settings and every tensor that no operation of the pass has made.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from pellucid.engine.dispatch import address, results


class Unrepeatable(Exception):
    """A pass does something that a list of operations does not tell; why, in words."""


class Slot(NamedTuple):
    """The place of a tensor in a pass."""

    number: int


class Rows(NamedTuple):
    """A whole number that is ``factor`` times the number of rows."""

    factor: int


@dataclass(frozen=True)
class Operation:
    """One operation out of place: arguments with :class:`Slot` for tensors of the pass and :class:`Rows` for counts.

    ``outputs`` has None where nothing reads what it returned.
    """

    function: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Slot | None, ...]

    @functools.cached_property
    def name(self) -> str:
        return str(self.function.overloadpacket)

    @functools.cached_property
    def inputs(self) -> list[Slot]:
        """The tensors of the pass that it reads, each once."""
        return list(dict.fromkeys(leaf for leaf in _leaves((self.args, self.kwargs)) if isinstance(leaf, Slot)))

    @functools.cached_property
    def counts_rows(self) -> bool:
        """Whether a setting depends on the number of rows."""
        return any(isinstance(leaf, Rows) for leaf in _leaves((self.args, self.kwargs)))

    def run(self, tensor: Callable[[Slot], Any], rows: int) -> list[Any]:
        """What it returns for so many rows, with these tensors."""

        def fill(leaf: Any) -> Any:
            return tensor(leaf) if isinstance(leaf, Slot) else leaf.factor * rows if isinstance(leaf, Rows) else leaf

        args, kwargs = _mapped([self.args, self.kwargs], fill)
        return results(_any_strides(self.function)(*args, **kwargs))


@dataclass(frozen=True)
class Program:
    """The operations that lead from ``inputs`` (slots by name) to ``output``, in order.

    ``conditions`` are the truths that were looked at on the way: with others the pass may have gone elsewhere.
    ``shapes`` are those of one row, by slot; ``batched`` are the slots whose first axis is the number of rows.
    """

    operations: tuple[Operation, ...]
    inputs: Mapping[str, Slot]
    output: Slot
    conditions: Mapping[Slot, bool]
    shapes: Mapping[Slot, tuple[int, ...]]
    batched: frozenset[Slot]

    def depending_on(self, name: str) -> frozenset[Slot]:
        """The slots that are computed from one of the inputs, itself among them."""
        found = {self.inputs[name]} if name in self.inputs else set()
        for operation in self.operations:
            if found.intersection(operation.inputs):
                found.update(slot for slot in operation.outputs if slot is not None)
        return frozenset(found)


class Recorder(TorchDispatchMode):
    """Listens to one pass inside a ``with`` block."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not to wrap every dispatched operation in the compiler's machinery, and not to import that."""
        return False

    def __init__(self, inputs: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.looked_at: dict[Slot, Any] = {}
        self.shapes: dict[Slot, tuple[int, ...]] = {}
        self._slots, self._stale = WeakIdKeyDictionary(), WeakIdKeyDictionary()
        self.inputs = {name: self._new(tensor) for name, tensor in inputs.items()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        recorded_args, recorded_kwargs = _mapped(list(args), self._read), _mapped(dict(kwargs), self._read)
        result = func(*args, **kwargs)
        writes = any(a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments)
        outputs = tuple(self._new(tensor, writes) if isinstance(tensor, Tensor) else None for tensor in results(result))
        self.operations.append(Operation(func, tuple(recorded_args), recorded_kwargs, outputs))
        if func is torch.ops.aten._local_scalar_dense.default and isinstance(recorded_args[0], Slot):
            self.looked_at[recorded_args[0]] = result
        return result

    def slot(self, tensor: Tensor) -> Slot | None:
        """Where this tensor is in the pass, or None where no operation of the pass has made it."""
        return self._slots.get(tensor)

    def _read(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return Slot(-1) if leaf in self._stale else self._slots.get(leaf, leaf)

    def _new(self, tensor: Tensor, written: bool = False) -> Slot:
        if written:
            for other in [*self._slots.keys()]:
                if other is not tensor and address(other) == address(tensor):
                    self._stale[other] = True
        slot = Slot(len(self.shapes))
        self._slots[tensor] = slot
        self.shapes[slot] = tuple(tensor.shape)
        return slot


def program(one: Recorder, several: Recorder, outputs: tuple[Tensor, Tensor], rows: int) -> Program:
    """The pass that two recorders have heard, over one row and over ``rows`` rows of other content.

    Raises :class:`Unrepeatable` where the operations alone do not tell what the pass does.
    """
    first, second = _live(one, outputs[0]), _live(several, outputs[1])
    if len(first) != len(second):
        raise Unrepeatable("the operations depend on the number of rows or on their content")
    same = {one.inputs[name]: several.inputs[name] for name in one.inputs}
    operations = []
    for here, there in zip(first, second, strict=True):
        operations.append(_aligned(here, there, same, rows))
        for slot, other in zip(here.outputs, there.outputs, strict=True):
            if (slot is None) != (other is None):
                raise Unrepeatable("what is read depends on the number of rows")
            if slot is not None and other is not None:
                same[slot] = other
    conditions = {slot: value for slot, value in one.looked_at.items() if slot in same}
    if {same[slot]: value for slot, value in conditions.items()} != several.looked_at:
        raise Unrepeatable("decisions depend on the rows")
    batched = frozenset(
        slot
        for slot, other in same.items()
        if one.shapes[slot][:1] == (1,) and several.shapes[other] == (rows, *one.shapes[slot][1:])
    )
    return Program(tuple(operations), one.inputs, _slot(one, outputs[0]), conditions, one.shapes, batched)


def _slot(recorder: Recorder, tensor: Tensor) -> Slot:
    slot = recorder.slot(tensor)
    if slot is None:
        raise Unrepeatable("the scores are not computed by operations of torch")
    return slot


def _live(recorder: Recorder, output: Tensor) -> list[Operation]:
    """The operations that the output and the decisions need, out of place; what nobody reads has no slot."""
    if not all(isinstance(value, bool) for value in recorder.looked_at.values()):
        raise Unrepeatable("a number is taken out of a tensor")
    needed, kept = {_slot(recorder, output), *recorder.looked_at}, []
    for operation in reversed(recorder.operations):
        if not needed.intersection(slot for slot in operation.outputs if slot is not None):
            continue
        outputs = tuple(slot if slot in needed else None for slot in operation.outputs)
        kept.append(Operation(_out_of_place(operation.function), operation.args, operation.kwargs, outputs))
        needed.update(operation.inputs)
    if Slot(-1) in needed:
        raise Unrepeatable("memory is written through one tensor and read through another")
    return kept[::-1]


def _aligned(here: Operation, there: Operation, same: Mapping[Slot, Slot], rows: int) -> Operation:
    if here.function is not there.function:
        raise Unrepeatable("the operations depend on the number of rows or on their content")
    ours, theirs = [*_leaves((here.args, here.kwargs))], [*_leaves((there.args, there.kwargs))]
    if len(ours) != len(theirs):
        raise Unrepeatable(f"{here.name} is given something else when the number of rows changes")
    merged = iter([_merged(a, b, same, rows, here.name) for a, b in zip(ours, theirs, strict=True)])
    args, kwargs = _mapped([list(here.args), dict(here.kwargs)], lambda leaf: next(merged))
    return Operation(here.function, tuple(args), kwargs, here.outputs)


def _merged(here: Any, there: Any, same: Mapping[Slot, Slot], rows: int, name: str) -> Any:
    if isinstance(here, Slot):
        agree = same.get(here) == there
    elif isinstance(here, Tensor):
        agree = isinstance(there, Tensor) and (
            here is there or (here.shape == there.shape and torch.equal(here, there))
        )
    elif isinstance(here, int) and isinstance(there, int) and here != there and here * rows == there:
        return Rows(here)
    else:
        agree = type(here) is type(there) and here == there
    if not agree:
        raise Unrepeatable(f"{name} is given something else when the rows change")
    # Weights that were packed for one shape make every other up to twice as slow.
    return here.to_dense() if isinstance(here, Tensor) and here.is_mkldnn else here


@functools.cache
def _out_of_place(function: Any) -> Any:
    if not function._schema.is_mutable:
        return function
    name = function.overloadpacket.__name__
    packet = getattr(getattr(torch.ops, function.namespace), name.removesuffix("_"), None)
    overload = getattr(packet, function._overloadname, None)
    if overload is None or not name.endswith("_") or overload._schema.is_mutable:
        raise Unrepeatable(f"{name} has no form that leaves its arguments alone")
    return overload


@functools.cache
def _any_strides(function: Any) -> Any:
    """A view needs strides that a repeated pass may not have; the same elements in the same order do not."""
    if function in (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default):
        return torch.ops.aten.reshape.default
    return function


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, list | tuple) and not isinstance(value, Slot | Rows):
        return [*itertools.chain.from_iterable(map(_leaves, value))]
    if isinstance(value, dict):
        return _leaves([*value.values()])
    return [value]


def _mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(value, list | tuple) and not isinstance(value, Slot | Rows):
        return [_mapped(entry, function) for entry in value]
    if isinstance(value, dict):
        return {key: _mapped(entry, function) for key, entry in value.items()}
    return function(value)
