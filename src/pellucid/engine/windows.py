"""The explained quantity of one example with something else in one window, for many windows.

Where the network is a list of operations that can be repeated, only what a window reaches is computed again; the first
answers are compared with those of whole passes, and nothing but whole passes is used where they differ.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core import meter
from pellucid.core.errors import NotAnswerable, SubjectFailed
from pellucid.core.subject import Inputs, Run, Subject
from pellucid.engine.batching import evaluate, examples_within_budget, filled, in_batches, out_of_memory
from pellucid.engine.boxes import covering, cut
from pellucid.engine.incremental import Incremental
from pellucid.engine.program import Program, Recorder, Unrepeatable, program
from pellucid.engine.targets import Target

# How far apart, relative to the largest score, answers may lie that are the same up to rounding.
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
_FEWEST_WINDOWS = 16
_LARGEST_SHARE = 0.9


@dataclass(frozen=True)
class Windows:
    """Windows of one ``size`` from each of ``starts`` ``[windows, axes]`` on, cut off at the edge, on these ``axes``."""

    starts: Tensor
    size: tuple[int, ...]
    axes: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.starts)

    def index(self, number: int, ndim: int) -> tuple[slice, ...]:
        """Where a window lies in a tensor of so many axes."""
        index = [slice(None)] * ndim
        for axis, start, size in zip(self.axes, self.starts[number].tolist(), self.size, strict=True):
            index[axis] = slice(start, start + size)
        return tuple(index)

    def covered(self, example: Tensor, cover: Tensor, numbers: Sequence[int]) -> Tensor:
        """The example (with one row) with ``cover`` in each of these windows."""
        batch = example.repeat(len(numbers), *[1] * (example.ndim - 1))
        for row, number in enumerate(numbers):
            index = self.index(number, example.ndim)
            batch[row : row + 1][index] = cover[index]
        return batch


def with_windows(
    subject: Subject, inputs: Inputs, target: Target, row: int, cover: Tensor, windows: Windows, what: str = ""
) -> tuple[Tensor, float]:
    """The quantity of example ``row`` with ``cover`` in each window: ``[windows]``, float64.

    The second number is the share of the multiply-adds of whole passes that was spent.
    """
    one, numbers = inputs.rows(slice(row, row + 1)), torch.arange(len(windows))

    def whole(chosen: Tensor, what: str = "") -> Tensor:
        rows = torch.zeros(len(chosen), dtype=torch.long)
        points = lambda part: windows.covered(one.value, cover, chosen[part].tolist())  # noqa: E731
        return evaluate(subject, one, question, rows, points, what)

    question = target.rows(slice(row, row + 1))
    network = None if target.capture else _incremental(subject, one, cover, windows)
    if network is None:
        return whole(numbers, what), 1.0
    size = examples_within_budget(*network.bytes_per_window)
    size = math.ceil(len(windows) / math.ceil(len(windows) / size))  # batches of one size: kernels are made per shape

    def work(part: slice) -> Tensor:
        chosen = numbers[part]
        scores = network.scores(filled(chosen, size))
        if scores is None:
            return whole(chosen)
        meter.count(forward=len(chosen))
        return question.rows(torch.zeros(len(chosen), dtype=torch.long))(Run(scores[: len(chosen)])).double()

    return in_batches(len(windows), size, work, what), network.share


class _Covered(Incremental):
    """A network that answers for one example with ``cover`` in windows, by their numbers."""

    def __init__(self, passes: Program, one: Inputs, cover: Tensor, windows: Windows) -> None:
        onto = tuple(one.value.shape[2:])
        ends = (windows.starts + torch.tensor(windows.size)).minimum(torch.tensor(onto))
        boxes = covering(windows.starts, ends, onto)
        super().__init__(passes, one.point, one.tensors, boxes)
        self._starts, self._ends = windows.starts, ends
        self._cover = cover[0].movedim(0, -1).contiguous()

    def scores(self, numbers: Tensor) -> Tensor | None:
        """``[n, outputs]``; None where only a whole pass can tell."""
        boxes = self.boxes[self.point].rows(numbers)
        contents, plain = cut(self._cover, boxes), cut(self.map(self.point), boxes)
        for axis, size in enumerate(boxes.size, 1):
            at = boxes.origins[:, axis - 1 : axis] + torch.arange(size)
            inside = (at >= self._starts[numbers, axis - 1, None]) & (at < self._ends[numbers, axis - 1, None])
            shape = [len(numbers) if n == 0 else size if n == axis else 1 for n in range(contents.ndim)]
            contents = torch.where(inside.view(shape), contents, plain)
        return self.answer(numbers, contents)


def _incremental(subject: Subject, one: Inputs, cover: Tensor, windows: Windows) -> _Covered | None:
    """A network that recomputes only what windows reach, seen to answer what the subject answers; None otherwise."""
    tolerance = _TOLERANCE.get(one.value.dtype)
    pictured = one.value.ndim > 2 and windows.axes == tuple(range(2, one.value.ndim))
    if tolerance is None or not pictured or len(windows) < _FEWEST_WINDOWS:
        return None
    numbers = sorted({0, len(windows) // 2, len(windows) - 1})
    several = one.rows(torch.zeros(len(numbers), dtype=torch.long)).at(windows.covered(one.value, cover, numbers))
    try:
        with Recorder(one.tensors) as alone:
            plain = subject.run(one).scores
        with Recorder(several.tensors) as together:
            expected = subject.run(several).scores
        passes = program(alone, together, (plain, expected), len(numbers))
        network = _Covered(passes, one, cover, windows)
        meter.count(forward=1)
        if network.share > _LARGEST_SHARE:
            return None
        found = network.scores(torch.tensor(numbers))
    except (Unrepeatable, NotAnswerable, SubjectFailed, RuntimeError) as error:
        if out_of_memory(error):
            raise
        return None
    if found is None or found.shape != expected.shape:
        return None
    meter.count(forward=len(numbers))
    apart = float((found - expected).abs().max())
    return network if apart <= tolerance * float(expected.abs().max()) else None
