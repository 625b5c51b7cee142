"""What is known of a tape before the walk back: what stands before the first layer, and where examples lie."""

import math

import torch
from torch import Tensor

from pellucid.engine.examples import Axis, Examples
from pellucid.engine.memory import Memory, Value
from pellucid.engine.relevance_operations import OPERATIONS, Operation
from pellucid.engine.relevance_sums import first
from pellucid.engine.tape import Call, Tape

# Far outside any input, so that every element that depends on the input differs between the two.
_FAR = 1e3


class Survey:
    """One look over the tape, forwards.

    A convolution or linear map is *first* if no other has a part in anything it reads; what is read between the point and
    a first layer (padding, slices, a normalisation inside the model) can be computed again from other points.
    """

    def __init__(self, tape: Tape, dtype: torch.dtype) -> None:
        self._tape, self._dtype = tape, dtype
        self.examples = Examples(len(tape.point), (tape.start, *tape.starts.values()))
        self._unweighted: set[int] = set()
        self._mixing: dict[Memory, Call] = {}
        self._number: dict[int, int] = {}
        self._writes: dict[Memory, list[tuple[int, Value]]] = {}
        self._look()

    def is_first(self, call: Call) -> bool:
        """Whether everything that this operation reads came from the point without passing weights."""
        return id(call) in self._unweighted

    def mixing(self, memory: Memory) -> Call | None:
        """The operation after which the examples in a memory can no longer be told apart, if that is known."""
        return self._mixing.get(memory)

    def writer(self, value: Value, call: Call) -> Call | None:
        """The operation that made all of what ``call`` reads as ``value``, if it was a single one."""
        if not self._writes:
            for number, earlier in enumerate(self._tape.calls):
                self._number[id(earlier)] = number
                for output in earlier.outputs:
                    if output is not None and output.depends:
                        self._writes.setdefault(output.memory, []).append((number, output))
        for number, output in reversed(self._writes.get(value.memory, [])):
            if number >= self._number[id(call)]:
                continue
            if output.geometry == value.geometry or math.prod(output.size) == value.memory.cells:
                return self._tape.calls[number]
            written = torch.zeros(value.memory.cells, dtype=torch.bool)
            written.as_strided(*output.geometry)[...] = True
            if bool(written.as_strided(*value.geometry).any()):
                return None
        return None

    def support(self, call: Call, source: Value) -> Tensor:
        """1 where an input of a product depends on the point, 0 where it is padding or another constant."""
        one = torch.ones((), dtype=self._dtype, device=self._tape.point.device)
        starts = (self._tape.start, *self._tape.starts.values())
        if not self.is_first(call) or any(source.content is start.content for start in starts):
            return one.expand(source.size)
        return (self.replayed(call, source, one * _FAR) != self.replayed(call, source, one * -_FAR)).to(self._dtype)

    def replayed(self, call: Call, source: Value, point: Tensor) -> Tensor:
        """What ``call`` would read as ``source`` if the point were ``point`` (which broadcasts to it)."""
        start = self._tape.start
        memories = {start.memory: start.flat().to(self._dtype)}
        memories[start.memory].as_strided(*start.geometry).copy_(point)
        for other in self._tape.starts.values():
            memories[other.memory] = other.flat().to(self._dtype)
            if point.ndim == 0:
                memories[other.memory].fill_(point)

        def substitute(value: Value) -> Tensor:
            if value.depends:
                return memories[value.memory].as_strided(*value.geometry)
            return value.tensor().to(self._dtype) if value.live.is_floating_point() else value.tensor()

        for earlier in self._tape.calls[: self._tape.calls.index(call)]:
            if not self.is_first(earlier) or OPERATIONS[earlier.name].parametric:
                continue
            result, output = earlier.run(substitute), earlier.outputs[0]
            assert output is not None
            if output.memory not in memories:
                memories[output.memory] = output.flat().to(self._dtype)
            memories[output.memory].as_strided(*output.geometry).copy_(first(result))
        return memories[source.memory].as_strided(*source.geometry)

    def _look(self) -> None:
        unweighted = {start.memory for start in (self._tape.start, *self._tape.starts.values())}
        seen = set(unweighted)
        for call in self._tape.calls:
            operation = OPERATIONS.get(call.name)
            before = operation is not None and all(value.memory in unweighted for value in call.inputs)
            if before and call.inputs:
                self._unweighted.add(id(call))
            axis = self._batch_axis(call, operation) if self.examples.batch > 1 else None
            for output in call.outputs:
                if output is None or not output.depends:
                    continue
                _keep(unweighted, seen, output.memory, before and operation is not None and not operation.parametric)
                if self.examples.batch > 1:
                    apart = axis is not None and axis.place < len(output.size)
                    self.examples.place(output, axis if apart else None)
                if self.examples.batch > 1 and self.examples.axis(output) is None:
                    earlier = (self._mixing.get(value.memory) for value in call.inputs)
                    self._mixing[output.memory] = next((known for known in earlier if known is not None), call)

    def _batch_axis(self, call: Call, operation: Operation | None) -> Axis | None:
        """The batch axis of what an operation returns, None unless all its inputs agree on one."""
        found: set[Axis] = set()
        for value in call.inputs:
            axis = self.examples.axis(value)
            place = None if axis is None or operation is None else operation.output_axis(call, value, axis.place)
            if axis is None or place is None:
                return None
            found.add(axis._replace(place=place))
        return found.pop() if len(found) == 1 else None


def _keep(unweighted: set[Memory], seen: set[Memory], memory: Memory, still: bool) -> None:
    """A memory is free of weights as long as everything of the point that was written to it is."""
    if still and (memory in unweighted or memory not in seen):
        unweighted.add(memory)
    else:
        unweighted.discard(memory)
    seen.add(memory)
