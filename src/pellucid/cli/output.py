"""What the program prints and writes: plain text and tables for people, one JSON document for programs."""

import dataclasses
import json
import math
import os
import tempfile
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import console as rich_console

from pellucid.core.errors import CannotWrite

if TYPE_CHECKING:
    from rich.table import Table

    from pellucid.core.result import Result

_LONGEST = 20


class Console(rich_console.Console):
    """Standard output that takes text as it is: no markup, nothing highlighted."""

    def __init__(self) -> None:
        super().__init__(highlight=False, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Leave it to the program, which ends quietly; rich itself would exit with code 1."""
        raise BrokenPipeError


def say(*parts: rich_console.RenderableType) -> None:
    """Print texts and tables, one below the other, wrapped to the terminal between words, so that paths stay whole."""
    out = Console()
    for part in parts:
        if isinstance(part, str):
            out.print(_wrapped(part, out.width), overflow="ignore", crop=False)
        else:
            out.print(part)


def grid(rows: Iterable[Sequence[str]], first: int | None = None) -> "Table":
    """Rows without lines: a column of names (``first`` wide), then text that wraps."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=first is None, width=first, overflow="fold")
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def table(rows: Sequence[Mapping[str, Any]]) -> "Table":
    """Mappings with the same keys as a table with a heading; numbers to the right."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, value in rows[0].items():
        made.add_column(name, justify="right" if isinstance(value, int | float) else "left", overflow="fold")
    for row in rows:
        made.add_row(*(_cell(row.get(name)) for name in rows[0]))
    return made


def document(value: Any) -> None:
    """Print one JSON document and nothing else."""
    print(json.dumps(_plain(value), ensure_ascii=False, indent=1))  # noqa: T201


def show_result(result: "Result") -> None:
    """A result's summary and table; of a long table the rows with the strongest scores."""
    say(result.summary())
    rows = result.table()
    if not rows:
        return
    shown = rows
    if len(rows) > _LONGEST and "score" in rows[0]:
        strongest = sorted(range(len(rows)), key=lambda number: -abs(rows[number]["score"]))[:_LONGEST]
        shown = [rows[number] for number in strongest]
    say(table(shown[:_LONGEST]))
    if len(rows) > _LONGEST:
        say(f"and {len(rows) - _LONGEST} rows more: --json prints all")


def result_document(result: "Result") -> dict[str, Any]:
    """A result as plain data: kind, summary, table and provenance."""
    return {
        "kind": type(result).__name__,
        "summary": result.summary(),
        "table": result.table(),
        "notes": result.notes,
        "provenance": None if result.provenance is None else dataclasses.asdict(result.provenance),
    }


def check_file_writable(path: Path) -> None:
    """Raise ``CannotWrite`` before long work where a file cannot be written; makes nothing."""
    if path.is_dir():
        raise CannotWrite(f"{path} is a folder; name a file in it")
    folder = path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror or error}; choose another folder") from error


def _wrapped(text: str, width: int) -> str:
    wrapper = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(wrapper.fill(line) for line in text.split("\n"))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return {str(key): _plain(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_plain(entry) for entry in value]
        case set() | frozenset():
            return sorted(map(_plain, value))
        case os.PathLike():
            return os.fspath(value)
        case _ if hasattr(value, "tolist"):
            return _plain(value.tolist())
    return str(value)
