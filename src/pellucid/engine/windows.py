"""The explained quantity of one example with something else in one window, for many windows."""

import math

import torch
from torch import Tensor

from pellucid.core import meter
from pellucid.core.subject import Inputs, Run, Subject
from pellucid.engine.batching import evaluate, examples_within_budget, filled, in_batches
from pellucid.engine.covered import Covered, Windows, incremental
from pellucid.engine.targets import Target

# For fewer, whole passes cost less than to find out what can be left away.
_FEWEST_WINDOWS = 64


def with_windows(
    subject: Subject, inputs: Inputs, target: Target, cover: Tensor, windows: Windows, what: str = ""
) -> tuple[Tensor, float]:
    """The quantity of one example with ``cover`` in each window: ``[windows]``, float64.

    Where the subject's operations can be repeated in parts, only what a window reaches is computed again. The second
    number is the share of the multiply-adds of whole passes that was spent.
    """
    worth_it = len(windows) >= _FEWEST_WINDOWS and not target.capture
    network = incremental(subject, inputs, cover, windows) if worth_it else None
    if network is None:
        return _whole(subject, inputs, target, cover, windows, what), 1.0
    total, largest = network.bytes_per_window
    size = examples_within_budget(2 * total, largest)  # half of the budget may be what is kept
    size = math.ceil(len(windows) / math.ceil(len(windows) / size))  # batches of one size: kernels are made per shape
    spent = []

    def work(part: slice) -> Tensor:
        numbers = torch.arange(len(windows))[part]
        found = _in_part(network, target, numbers, size)
        spent.append(len(numbers) * (1.0 if found is None else network.share))
        return _whole(subject, inputs, target, cover, windows.some(numbers)) if found is None else found

    found = in_batches(len(windows), size, work, what)
    return found, sum(spent) / len(windows)


def _in_part(network: Covered, target: Target, numbers: Tensor, size: int) -> Tensor | None:
    scores = network.scores(filled(numbers, size))
    if scores is None:
        return None
    meter.count(forward=len(numbers))
    return target.rows(torch.zeros(len(numbers), dtype=torch.long))(Run(scores[: len(numbers)])).double()


def _whole(subject: Subject, inputs: Inputs, target: Target, cover: Tensor, windows: Windows, what: str = "") -> Tensor:
    def covered(part: slice) -> Tensor:
        return windows.covered(inputs.value, cover, range(len(windows))[part])

    rows = torch.zeros(len(windows), dtype=torch.long)
    return evaluate(subject, inputs, target, rows, covered, what)
