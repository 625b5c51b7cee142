"""Progress bars on standard error."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """Bars for the work that reports inside, gone when it is done; nothing where nobody watches a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from pellucid.core.meter import reporting

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        # One bar per length: the steps of one piece of work share it, under the name of the current step.
        bars: dict[int, int] = {}

        def advance(done: int, total: int, what: str) -> None:
            if total not in bars:
                bars[total] = progress.add_task(what, total=total)
            progress.update(bars[total], completed=done, description=what)  # type: ignore[arg-type]
            if done >= total:
                progress.remove_task(bars.pop(total))  # type: ignore[arg-type]

        with reporting(advance):
            yield
