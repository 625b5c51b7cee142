"""Two tapes of one network, for an input and for its reference: which operation and value of one is which of the other."""

from typing import Any

import torch

from pellucid.core.errors import NotAnswerable
from pellucid.engine.memory import Memory, Value
from pellucid.engine.tape import Call, Tape


class Alignment:
    """The calls of both tapes, one to one, with the same arguments at the same places of corresponding memories.

    Where that is not so, the network takes another path for the reference and is refused. Tensors that do not depend on
    the point (weights, but also masks and indices) may have other values; :meth:`differs` says where.
    """

    def __init__(self, tape: Tape, reference: Tape) -> None:
        self._memories: dict[Memory, Memory] = {}
        self._twins: dict[Value, Value] = {}
        self._calls: dict[Call, Call] = {}
        self._match(tape.start, reference.start)
        for call, other in zip(tape.calls, reference.calls, strict=False):
            same = call.name == other.name and _plain(call) == _plain(other)
            pairs = zip((*call.values, *call.outputs), (*other.values, *other.outputs), strict=same)
            if not same or not all(self._match(*pair) for pair in pairs):
                raise _divided(call)
            self._calls[call] = other
        shorter, longer = sorted((tape.calls, reference.calls), key=len)
        if len(shorter) < len(longer):
            raise _divided(longer[len(shorter)])

    def reference(self, call: Call) -> Call:
        """The same operation as it was called for the reference."""
        return self._calls[call]

    def twin(self, value: Value) -> Value:
        """The same value as it was for the reference."""
        return self._twins[value]

    def differs(self, call: Call) -> bool:
        """Whether a tensor that does not depend on the point (a mask, an index) is another one for the reference."""
        return any(not value.depends and not self.equal(value) for value in call.values)

    def equal(self, value: Value) -> bool:
        """Whether a value is the same in both runs, element by element."""
        one, other = value.tensor(), self.twin(value).tensor()
        return (one.data_ptr() == other.data_ptr() and one.stride() == other.stride()) or torch.equal(one, other)

    def _match(self, value: Value | None, other: Value | None) -> bool:
        if value is None or other is None:
            return value is other
        if value.size != other.size or value.depends != other.depends:
            return False
        self._twins[value] = other
        same_place = value.geometry == other.geometry
        return not value.depends or (
            same_place and self._memories.setdefault(value.memory, other.memory) is other.memory
        )


def _plain(call: Call) -> str:
    """The arguments of a call, its tensors left out."""

    def plain(argument: Any) -> Any:
        if isinstance(argument, Value):
            return ...
        return [plain(entry) for entry in argument] if isinstance(argument, list | tuple) else argument

    # As text, because a NaN is not equal to itself.
    return repr((plain(call.args), {name: plain(argument) for name, argument in call.kwargs.items()}))


def _divided(call: Call) -> NotAnswerable:
    return NotAnswerable(
        f"the network takes another path for the baseline than for the input, from {call} on, so that they cannot be "
        "compared operation by operation; give a baseline that takes the same path, or ask integrated-gradients"
    )
