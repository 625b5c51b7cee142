"""How much goes through a model at once: a byte budget, back-off when memory runs out, and equal bits on request."""

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pellucid.core.errors import SubjectFailed
from pellucid.core.meter import report
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.targets import Objective, Target

_budget: contextvars.ContextVar[int] = contextvars.ContextVar("budget", default=512 * 1024 * 1024)
_CACHE = 16 * 1024 * 1024
_LARGEST_BATCH = 512
_padded: contextvars.ContextVar[bool] = contextvars.ContextVar("padded", default=False)


@contextlib.contextmanager
def byte_budget(size: int) -> Iterator[None]:
    """Let batches inside use about this many bytes of activations."""
    token = _budget.set(size)
    try:
        yield
    finally:
        _budget.reset(token)


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Pad every physical batch inside to one size, so that equal examples give equal bits whatever their neighbours."""
    token = _padded.set(True)
    try:
        yield
    finally:
        _padded.reset(token)


def examples_within_budget(total: int, largest: int) -> int:
    """How many examples at a time, from the bytes of all activations of one example and of its largest one.

    All of them must fit the byte budget; the largest should stay in the processor's cache, because past that a larger
    batch is slower (measured: a batch of 32 pictures takes up to twice the time per picture of a batch of 2).
    """
    return max(1, min(_LARGEST_BATCH, _CACHE // max(largest, 1), _budget.get() // max(total, 1)))


def fits_budget(size: int) -> bool:
    """Whether something of so many bytes may be kept."""
    return size <= _budget.get()


def in_batches(total: int, size: int, work: Callable[[slice], Tensor], what: str = "") -> Tensor:
    """Concatenate ``work(slice)`` over ``total`` rows; where memory runs out the batch is halved and asked again."""
    parts: list[Tensor] = []
    done = 0
    while done < total:
        rows = slice(done, min(done + size, total))
        try:
            parts.append(work(rows))
        except (RuntimeError, MemoryError, SubjectFailed) as error:
            if size == 1 or not out_of_memory(error):
                raise
            size = max(1, size // 2)
            continue
        done = rows.stop
        if what:
            report(done, total, what)
    return torch.cat(parts)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what caused it, says that memory ran out."""
    text = str(error).lower()
    known = "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or known:
        return True
    return error.__cause__ is not None and out_of_memory(error.__cause__)


def evaluate(
    subject: Subject,
    inputs: Inputs,
    target: Objective,
    rows: Tensor,
    perturbed: Callable[[slice], Tensor],
    what: str = "",
) -> Tensor:
    """The explained quantity of ``len(rows)`` perturbed examples: ``[len(rows)]``, float64, on the CPU; of
    several questions ``[len(rows), questions]``.

    ``rows[i]`` is the example that perturbation ``i`` starts from; ``perturbed(slice)`` makes those points,
    ``[n, …point]``. Nothing larger than one batch is ever held.
    """
    size = subject.batch_size(inputs)

    def work(part: slice) -> Tensor:
        index, point = filled(rows[part], size), filled(perturbed(part), size)
        run = subject.run(inputs.rows(index, point), capture=target.capture)
        return target.rows(index)(run)[: len(rows[part])].double()

    return in_batches(len(rows), size, work, what)


def evaluate_from(
    layer: str,
    subject: Subject,
    inputs: Inputs,
    target: Target,
    total: int,
    activations: Callable[[slice], Tensor],
    what: str = "",
) -> Tensor:
    """The explained quantity of one example for ``total`` activations in the place of a layer's: ``[total]``, float64.

    ``activations(slice)`` makes them, ``[n, …layer]``. What lies below the layer is computed once per batch instead of
    once per row, in networks that carry on with the rows that they find at the layer: two rows tell whether one does.
    """
    one = inputs.rows(slice(0, 1))
    once = _carries_on(subject, one, target, layer, activations(slice(0, 1)))
    size = _rows_from(layer, subject, one) if once else subject.batch_size(inputs)

    def work(part: slice) -> Tensor:
        given = activations(part)
        values = _from_layer(subject, one, target, layer, filled(given, size), once)
        return values[: len(given)].double()

    return in_batches(total, size, work, what)


def _from_layer(subject: Subject, one: Inputs, target: Target, layer: str, given: Tensor, once: bool) -> Tensor:
    index = torch.zeros(len(given), dtype=torch.long)
    run = subject.run(one if once else one.rows(index), capture=target.capture, replace={layer: given})
    return target.rows(index)(run)


def _carries_on(subject: Subject, one: Inputs, target: Target, layer: str, given: Tensor) -> bool:
    both = torch.cat([given, torch.zeros_like(given)])
    expected = _from_layer(subject, one, target, layer, both, once=False)
    try:
        found = _from_layer(subject, one, target, layer, both, once=True)
    except SubjectFailed as error:
        if out_of_memory(error):
            raise
        return False
    return found.shape == expected.shape and bool(((found - expected).abs() <= 1e-4 * expected.abs().max()).all())


def _rows_from(layer: str, subject: Subject, one: Inputs) -> int:
    """How many rows at a time respect the byte budget from a layer on.

    The processor's cache does not count: what is saved below the layer is more than a batch that leaves it costs.
    """
    layers = subject.layers(one)
    first = [entry.name for entry in layers].index(layer.partition("#")[0])
    sizes = [math.prod(entry.shape) for entry in layers[first:] if entry.shape is not None]
    return examples_within_budget(one.value.element_size() * sum(sizes), 0)


def filled(rows: Tensor, size: int) -> Tensor:
    """The rows of a batch, padded to its physical size with the last one where equal bits are wanted."""
    short = size - len(rows) if _padded.get() else 0
    return torch.cat([rows, rows[-1:].expand(short, *rows.shape[1:])]) if short > 0 else rows
