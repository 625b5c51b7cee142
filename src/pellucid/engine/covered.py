"""One example whose windows are covered, answered incrementally once that is seen to agree with whole passes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core import meter
from pellucid.core.errors import NotAnswerable, SubjectFailed
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.batching import fits_budget, out_of_memory
from pellucid.engine.boxes import covering, cut
from pellucid.engine.incremental import Incremental
from pellucid.engine.program import Program, Recorder, Unrepeatable, program

# How far apart, relative to the largest score, answers may lie that are the same up to rounding.
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
# Past this share of a whole pass it is not worth the overhead.
_LARGEST_SHARE = 0.9


@dataclass(frozen=True)
class Windows:
    """Windows of one ``size`` from each of ``starts`` ``[windows, axes]`` on, cut off at the edge, on these ``axes``."""

    starts: Tensor
    size: tuple[int, ...]
    axes: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.starts)

    def some(self, numbers: Tensor) -> "Windows":
        """Those of these numbers."""
        return Windows(self.starts[numbers], self.size, self.axes)

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


class Covered(Incremental):
    """A network that answers for one example with ``cover`` in windows, by their numbers."""

    def __init__(self, passes: Program, one: Inputs, cover: Tensor, windows: Windows) -> None:
        onto = tuple(one.value.shape[2:])
        self._starts = windows.starts
        self._ends = (windows.starts + torch.tensor(windows.size)).minimum(torch.tensor(onto))
        self._cover = cover[0].movedim(0, -1).contiguous()
        super().__init__(passes, one.point, one.tensors, covering(self._starts, self._ends, onto))

    def scores(self, numbers: Tensor) -> Tensor | None:
        """``[n, outputs]``; None where only a whole pass can tell."""
        boxes = self.boxes[self.point].rows(numbers)
        contents, plain = cut(self._cover, boxes), cut(self.map(self.point), boxes)
        for axis, size in enumerate(boxes.size):
            at = boxes.origins[:, axis, None] + torch.arange(size)
            inside = (at >= self._starts[numbers, axis, None]) & (at < self._ends[numbers, axis, None])
            shape = [len(numbers), *[1] * axis, size, *[1] * (contents.ndim - axis - 2)]
            contents = torch.where(inside.view(shape), contents, plain)
        try:
            return self.answer(numbers, contents)
        except RuntimeError as error:  # an operation whose shapes depend on the content
            if out_of_memory(error):
                raise
            return None


def incremental(
    subject: Subject, one: Inputs, cover: Tensor, windows: Windows, largest_share: float = _LARGEST_SHARE
) -> Covered | None:
    """A network that computes only what windows reach, seen to answer what the subject answers.

    None where the subject does not show its operations, where they cannot be repeated, where most of a pass would have
    to be computed anyway, and where memory would not do. ``one`` and ``cover`` have one row.
    """
    pictured = one.value.ndim > 2 and windows.axes == tuple(range(2, one.value.ndim))
    if subject.module is None or not pictured or one.value.dtype not in _TOLERANCE:
        return None
    numbers = sorted({0, len(windows) // 2, len(windows) - 1})
    several = one.rows(torch.zeros(len(numbers), dtype=torch.long)).at(windows.covered(one.value, cover, numbers))
    subject.run(one)  # What a subject does in its first pass only, such as to prepare, is not heard.
    try:
        with Recorder(one.tensors) as alone:
            plain = subject.run(one).scores
        with Recorder(several.tensors) as together:
            expected = subject.run(several).scores
        passes = program(alone, together, (plain, expected), len(numbers))
        network = Covered(passes, one, cover, windows)
        meter.count(forward=1)
        if network.share > largest_share or not fits_budget(2 * network.bytes_kept):
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
    return network if apart <= _TOLERANCE[one.value.dtype] * float(expected.abs().max()) else None
