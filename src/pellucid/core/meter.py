"""What work costs and how far it is: counted where it happens, read by whoever asked.

Costs are in passes per example: F for a forward pass, B for a forward and a backward pass to the input.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Progress = Callable[[int, int, str], None]


@dataclass
class Meter:
    """Passes made inside a ``metered()`` block."""

    forward: int = 0
    backward: int = 0

    def evaluations(self) -> dict[str, int]:
        """Passes as F and B: a forward pass that was followed by its backward pass is one B."""
        return {"F": max(self.forward - self.backward, 0), "B": self.backward}


_meters: contextvars.ContextVar[tuple[Meter, ...]] = contextvars.ContextVar("meters", default=())
_progress: contextvars.ContextVar[Progress | None] = contextvars.ContextVar("progress", default=None)


@contextlib.contextmanager
def metered() -> Iterator[Meter]:
    """Count the passes made inside; nested blocks all count."""
    meter = Meter()
    token = _meters.set((*_meters.get(), meter))
    try:
        yield meter
    finally:
        _meters.reset(token)


def count(forward: int = 0, backward: int = 0) -> None:
    """Add passes to every enclosing meter."""
    for meter in _meters.get():
        meter.forward += forward
        meter.backward += backward


@contextlib.contextmanager
def reporting(progress: Progress | None) -> Iterator[None]:
    """Call ``progress(done, total, what)`` from long work inside; it may raise to cancel."""
    token = _progress.set(progress)
    try:
        yield
    finally:
        _progress.reset(token)


def report(done: int, total: int, what: str) -> None:
    """Tell the enclosing listener, if there is one, how far the work is."""
    progress = _progress.get()
    if progress is not None:
        progress(done, total, what)
