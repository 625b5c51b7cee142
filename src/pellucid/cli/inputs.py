"""From words on the command line to a subject and to what it is asked about."""

import csv
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.core.errors import BadInput, UsageError, nearest
from pellucid.core.spec import Modality

if TYPE_CHECKING:
    from pellucid.core.subject import Subject

DEFAULT_SUBJECT = "efficientnet-lite0"
STANDARD_INPUT = "/dev/stdin"


@dataclass(frozen=True)
class Given:
    """One raw input as the task takes it, and a name for it."""

    name: str
    raw: Any


def subject_named(name: str, options: Iterable[str] = ()) -> "Subject":
    """Load a subject; ``options`` are ``name=value`` pairs, the values as in JSON or plain text."""
    import pellucid

    return pellucid.load(name, **dict(map(_option, options)))


def given(
    subject: "Subject", words: Sequence[str], row: int | None = None, limit: int | None = None, lines: bool = False
) -> list[Given]:
    """The raw inputs that ``words`` mean for this subject.

    For pictures a path, or a folder of which ``limit`` takes that many pictures, evenly spaced; for text the text itself or
    a ``.txt`` file, of which with ``lines`` each line is a text of its own; for rows one line of values or a ``.csv``
    file, of which ``row`` (from 0) picks one; for tensors and channels over time a ``.npy`` file. ``-`` is standard
    input.
    """
    if not words:
        raise UsageError("nothing is asked about; name an input, or - for standard input")
    if row is not None and subject.task.modality is not Modality.TABULAR:
        raise UsageError(f"--row picks a row of a table; {subject.name} reads inputs of kind {subject.task.modality}")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: at least one picture")
    kind = _kind(subject)
    folders = {word for word in words if kind is Modality.IMAGE and os.path.isdir(word)}
    found = [entry for word in words for entry in (_folder(word, limit) if word in folders else _READERS[kind](word))]
    if lines and kind is Modality.TEXT:
        found = [part for entry in found for part in _lines(entry)]
    if row is None:
        return found
    if not -len(found) <= row < len(found):
        raise UsageError(f"there is no row {row}; the table has rows 0 to {len(found) - 1}")
    return [found[row]]


def spaced(found: list[Given], limit: int | None) -> list[Given]:
    """At most ``limit`` of the inputs, evenly spaced."""
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: at least one input")
    if limit is None or limit >= len(found):
        return found
    return [found[number * len(found) // limit] for number in range(limit)]


def distinct(names: Sequence[str]) -> list[str]:
    """Names that tell inputs apart."""
    seen: dict[str, int] = {}
    told = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        told.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return told


def target_named(word: str | None) -> Any:
    """A target or foil: a label or number as it is, ``position,class`` numbers as a tuple."""
    if word is not None and re.fullmatch(r"-?\d+(,-?\d+)+", word):
        return tuple(int(part) for part in word.split(","))
    return word


def method_described(word: str) -> Any:
    """A method by its id, or with fields as JSON: ``{"method": "lime", "samples": 200}``."""
    if not word.lstrip().startswith("{"):
        return word
    try:
        return json.loads(word)
    except ValueError as error:
        raise UsageError(
            f'{word!r} is not JSON ({error}); write a method\'s id or {{"method": id, field: value}}'
        ) from error


def _option(pair: str) -> tuple[str, Any]:
    name, equals, value = pair.partition("=")
    if not equals or not name:
        raise UsageError(f"--option takes name=value, not {pair!r}")
    try:
        return name.replace("-", "_"), json.loads(value)
    except ValueError:
        return name.replace("-", "_"), value


def _kind(subject: "Subject") -> Modality:
    """Sequences of characters are read like text, channels over time like tensors."""
    modality = subject.task.modality
    if modality is not Modality.SEQUENCE:
        return modality
    return Modality.TEXT if getattr(subject.task, "vocabulary", None) else Modality.TENSOR


def _picture(word: str) -> list[Given]:
    if word == STANDARD_INPUT:
        return [Given("standard-input", sys.stdin.buffer.read())]
    return [Given(Path(word).stem, Path(word))]


def _folder(word: str, limit: int | None) -> list[Given]:
    from pellucid.reports.folder import pictures_in

    return [Given(path.stem, path) for path in pictures_in(Path(word), limit)]


def _text(word: str) -> list[Given]:
    if word == STANDARD_INPUT:
        return [Given("standard-input", _decoded("standard input", sys.stdin.buffer.read()))]
    if os.path.isfile(word):
        return [Given(Path(word).stem, _decoded(word, Path(word).read_bytes()))]
    if re.fullmatch(r"\S+\.txt", word):
        raise BadInput(f"there is no file {word}{_beside(Path(word))}")
    return [Given("text", word)]


def _lines(text: Given) -> list[Given]:
    parts = [line.strip() for line in text.raw.splitlines() if line.strip()]
    return [Given(f"{text.name}-line-{number}", part) for number, part in enumerate(parts, 1)]


def _rows(word: str) -> list[Given]:
    if word == STANDARD_INPUT:
        name, text = "standard-input", _decoded("standard input", sys.stdin.buffer.read())
    elif os.path.isfile(word):
        name, text = Path(word).stem, _decoded(word, Path(word).read_bytes())
    elif word.lower().endswith(".csv"):
        raise BadInput(f"there is no table {word}{_beside(Path(word))}")
    else:
        name, text = "row", word
    rows = _table(text)
    if not rows:
        raise BadInput(f"{word} has no row; give a header and at least one line of values")
    return [Given(f"{name}-row-{number}" if len(rows) > 1 else name, row) for number, row in enumerate(rows)]


def _table(text: str) -> list[Any]:
    """Rows as mappings where the first line names the columns, as lists of values where it does not."""
    first = text.lstrip("\ufeff").partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    lines = [line for line in csv.reader(io.StringIO(text.lstrip("\ufeff")), delimiter=delimiter) if any(line)]
    if not lines or all(map(_is_number, lines[0])) or len(lines) == 1:
        return [[cell.strip() for cell in line] for line in lines]
    header = [cell.strip() for cell in lines[0]]
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(header):
            raise BadInput(f"line {number} of the table has {len(line)} cells and the header {len(header)}; repair it")
    return [dict(zip(header, line, strict=True)) for line in lines[1:]]


def _array(word: str) -> list[Given]:
    import numpy

    if not word.lower().endswith(".npy"):
        raise BadInput(f"this model reads arrays; save one as .npy and name the file, not {word!r}")
    if not os.path.isfile(word):
        raise BadInput(f"there is no array {word}{_beside(Path(word))}")
    try:
        return [Given(Path(word).stem, numpy.load(word, allow_pickle=False))]
    except (ValueError, EOFError, OSError) as error:
        raise BadInput(f"{word} is not a plain .npy array ({error}); save it with numpy.save") from error


_READERS = {
    Modality.IMAGE: _picture,
    Modality.TEXT: _text,
    Modality.TABULAR: _rows,
    Modality.TENSOR: _array,
}


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _decoded(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is not UTF-8 text (byte {error.start}); convert it") from error


def _beside(path: Path) -> str:
    if not path.parent.is_dir():
        return f": the folder {path.parent} does not exist"
    return f"; {nearest(path.name, sorted(entry.name for entry in path.parent.iterdir()))}"
