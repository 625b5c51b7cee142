"""Crossings: the layers that every path from the point to the score goes through, found on a tape.

Paths are counted, not listed: a layer's output is crossed by all of them where the number of paths that lead to it times
the number that lead on from it is the number of all paths. What is switched off there has no way around.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from pellucid.core.errors import NotAnswerable, UsageError, nearest
from pellucid.engine import relevance as _relevance  # noqa: F401  (registers every operation)
from pellucid.engine.memory import Content, Memory, Place
from pellucid.engine.relevance_operations import OPERATIONS
from pellucid.engine.relevance_products import Parametric
from pellucid.engine.tape import Call, Tape

# A module with more than this share of all operations that have weights is looked into; others count as one layer.
_LARGE = 1 / 6


@dataclass(frozen=True)
class Crossing:
    """One call of a module: its name (``"block.3"``, its second call ``"block.3#1"``), the module's kind, the shape of its
    output without the batch axis, and which axis of that holds the channels.

    ``crossed``: every path from the point to the score goes through it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    axis: int
    crossed: bool

    @property
    def channels(self) -> int:
        """How many channels the output has."""
        return self.shape[self.axis]


def crossings(tape: Tape, score: Tensor, names: Sequence[str] | None = None) -> tuple[Crossing, ...]:
    """The layers ``names``, or by default the main ones that every path crosses, in the order of the pass.

    The default takes one layer between any two operations with weights: the last that still has the shape of the first
    (an activation rather than the convolution before it or the pooling behind it). A module that holds at most a sixth
    of these operations, such as a residual block, is taken whole; larger ones are looked into. Neither what lies before
    the first of them nor the score itself is a layer. Raises ``NotAnswerable`` where there is none.
    """
    paths = Paths(tape, score)
    chosen = _main(tape, paths) if names is None else _named(tape, paths, names)
    return tuple(_crossing(tape, paths, name) for name in chosen)


class Paths:
    """The number of paths from the point to everything on a tape, and from there to the score."""

    def __init__(self, tape: Tape, score: Tensor) -> None:
        self.at: dict[str, Content | None] = {}
        self._into: Counter[Content] = Counter({tape.start.content: 1})
        self._out_of: Counter[Content] = Counter()
        end = tape.value(score)
        if end is None:
            raise NotAnswerable("the score was not computed from the input by operations that torch shows")
        steps = list(self._steps(tape))
        for sources, made in steps:
            for content in made:
                self._into[content] += sum(self._into[source] for source in sources)
        self.score = end.content
        self._out_of[self.score] = 1
        for sources, made in reversed(steps):
            onward = sum(self._out_of[content] for content in made)
            for source in sources:
                self._out_of[source] += onward

    def crossed(self, content: Content | None) -> bool:
        """Whether every path goes through what a memory held."""
        total = self._into[self.score]
        return content is not None and total > 0 and self._into[content] * self._out_of[content] == total

    def reached(self, content: Content | None) -> bool:
        """Whether some path goes through it."""
        return content is not None and self._into[content] * self._out_of[content] > 0

    def through(self, call: Call) -> bool:
        """Whether some path goes through an operation."""
        return any(output is not None and self.reached(output.content) for output in call.outputs)

    def _steps(self, tape: Tape) -> Iterator[tuple[list[Content], list[Content]]]:
        """What each operation read and made; on the way, what each module call returned."""
        latest: dict[Memory, Content] = {tape.start.memory: tape.start.content}
        marks = list(tape.marks.items())
        for position in range(len(tape.calls) + 1):
            while marks and marks[0][1].position == position:
                name, mark = marks.pop(0)
                self.at[name] = latest.get(mark.place.memory) if _whole(mark.place) else None  # type: ignore[union-attr]
            if position < len(tape.calls):
                yield self._step(tape.calls[position], latest)

    @staticmethod
    def _step(call: Call, latest: dict[Memory, Content]) -> tuple[list[Content], list[Content]]:
        sources, made = [value.content for value in call.inputs], []
        for output in call.outputs:
            if output is None or not output.depends:
                continue
            before = latest.get(output.memory)
            if before is not None and math.prod(output.size) < output.memory.cells:
                sources.append(before)  # The rest of the memory is still what it was.
            latest[output.memory] = output.content
            made.append(output.content)
        return sources, made


def _whole(place: Place | None) -> bool:
    return place is not None and math.prod(place.size) == place.memory.cells


def _main(tape: Tape, paths: Paths) -> list[str]:
    weighted = [number for number in _weighted(tape) if paths.through(tape.calls[number])]
    groups: dict[int, list[str]] = {}
    seen: set[Content | None] = set()
    for name in _stages(tape, weighted):
        content, before = paths.at.get(name), bisect_right(weighted, tape.marks[name].position - 1)
        if 0 < before < len(weighted) and paths.crossed(content) and content not in seen:
            seen.add(content)
            groups.setdefault(before, []).append(name)
    if not groups:
        raise NotAnswerable(
            "it has no layer between its first and its last weights that every path crosses; name layers=, or ask lrp or "
            "occlusion"
        )
    chosen = []
    for _, names in sorted(groups.items()):
        chosen.append([name for name in names if _size(tape, name) == _size(tape, names[0])][-1])
    return [_widest(tape, paths, name, chosen) for name in chosen]


def _widest(tape: Tape, paths: Paths, name: str, chosen: Sequence[str]) -> str:
    """The outermost module call that returns the same and holds no other of the chosen layers."""
    parts = name.partition("#")[0].split(".")
    for length in range(1, len(parts)):
        around = ".".join(parts[:length])
        alone = not any(other != name and other.startswith(f"{around}.") for other in chosen)
        for call in tape.marks if alone else ():
            same = call.partition("#")[0] == around and paths.at[call] is paths.at[name]
            if same and _size(tape, call) == _size(tape, name):
                return call
    return name


def _weighted(tape: Tape) -> list[int]:
    """Where on the tape the operations with weights are; products of two signals, as in attention, have none."""
    return [
        number
        for number, call in enumerate(tape.calls)
        if isinstance(OPERATIONS.get(call.name), Parametric) and len(call.inputs) == 1
    ]


def _stages(tape: Tape, weighted: Sequence[int]) -> list[str]:
    """The module calls that are taken whole: the outermost that are not large."""
    weights: Counter[str] = Counter()
    for number in weighted:
        parts = tape.calls[number].place.partition("#")[0].split(".")
        weights.update(".".join(parts[:length]) for length in range(1, len(parts) + 1))
    modules = {name.partition("#")[0] for name in tape.marks if name}
    parents = {".".join(name.split(".")[:length]) for name in modules for length in range(1, name.count(".") + 1)}
    large = {name for name in parents if weights[name] > max(1, _LARGE * len(weighted))}

    def outermost(name: str) -> bool:
        parts = name.split(".")
        above = [".".join(parts[:length]) for length in range(1, len(parts))]
        return name not in large and all(parent in large for parent in above if parent in modules)

    return [name for name in tape.marks if name and outermost(name.partition("#")[0])]


def _named(tape: Tape, paths: Paths, names: Sequence[str]) -> list[str]:
    if not names or len(set(names)) < len(names):
        raise UsageError("layers= takes the names of one or more layers, each once")
    for name in names:
        if not name or name not in tape.marks:
            raise UsageError(f"no layer {name!r} was called; {nearest(name, [known for known in tape.marks if known])}")
        content = paths.at.get(name)
        if content is paths.score:
            raise UsageError(f"layer {name!r} returns the scores themselves; name a layer before them")
        if not paths.reached(content):
            raise UsageError(f"layer {name!r} returns no tensor of its own that leads to the score; name one inside it")
    return sorted(names, key=lambda name: tape.marks[name].position)


def channel_axis(tape: Tape, name: str) -> int:
    """Which axis of a layer's output, without the batch axis, holds the channels."""
    size = _size(tape, name)
    if len(size) < 2:
        raise UsageError(f"layer {name!r} has no axis of channels")
    written = [number for number in _weighted(tape) if number < tape.marks[name].position]
    return _channel_axis(size, tape.calls[written[-1]] if written else None) - 1


def _crossing(tape: Tape, paths: Paths, name: str) -> Crossing:
    assert tape.module is not None
    size, axis = _size(tape, name), channel_axis(tape, name)
    module: nn.Module = tape.module.get_submodule(name.partition("#")[0])
    return Crossing(name, type(module).__name__, size[1:], axis, paths.crossed(paths.at[name]))


def _channel_axis(size: tuple[int, ...], product: Call | None) -> int:
    """The axis that is as long as the latest weights have outputs: the second one of maps, the last one of tokens."""
    output = None if product is None else product.outputs[0]
    operation = None if product is None else OPERATIONS.get(product.name)
    if product is None or output is None or not isinstance(operation, Parametric):
        return 1
    place = operation.feature_axis(product)
    fitting = [axis for axis in range(1, len(size)) if size[axis] == output.size[place]]
    return 1 if not fitting else fitting[0] if place == 1 and len(output.size) > 2 else fitting[-1]


def _size(tape: Tape, name: str) -> tuple[int, ...]:
    place = tape.marks[name].place
    return () if place is None else place.size
