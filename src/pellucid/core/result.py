"""What an answer is: data only, with its provenance, and a way to disk, to tables, to pictures and to pages."""

import dataclasses
import importlib
import os
from dataclasses import dataclass, field
from functools import singledispatch
from pathlib import Path
from typing import Any, Self

from pellucid.core import files
from pellucid.core.errors import BadInput, UsageError
from pellucid.core.provenance import Provenance
from pellucid.core.query import Query
from pellucid.core.record import RECORDS


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """The base of every kind of result.

    ``provenance`` is filled in by the method's call. ``query`` is what was asked and ``method`` what answered: they stay in
    memory only, because pictures and rows of people are personal data; a file holds the query's fingerprint.
    """

    provenance: Provenance | None = None
    notes: tuple[str, ...] = ()
    query: Query | None = field(default=None, compare=False, repr=False)
    method: Any = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise ``ValueError`` where fields contradict each other; also called on every loaded file."""

    def asked(self, query: Query) -> Self:
        """The same result that knows its query again, after loading."""
        return dataclasses.replace(self, query=query)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one ``.pellucid`` file, atomically. Returns its path."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.compare}
        return files.write(path, type(self).__name__, fields)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a result file. On ``Result`` any kind, on a subclass only that kind."""
        importlib.import_module("pellucid.results")
        kind, fields = files.read(path)
        known = RECORDS.get(kind)
        if known is None or not issubclass(known, Result):
            raise BadInput(f"{path} holds a result of unknown kind {kind!r}; upgrade Pellucid")
        if not issubclass(known, cls):
            raise BadInput(f"{path} holds a result of kind {kind}, not {cls.__name__}; use Result.load")
        try:
            return files.build(known, fields)
        except (TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"{path} has fields that contradict each other ({error}); save it again") from error

    def summary(self) -> str:
        """The answer in a sentence or two of plain words."""
        raise UsageError(f"{type(self).__name__} has no summary")

    def table(self) -> list[dict[str, Any]]:
        """The answer as rows, the same content as the picture."""
        raise UsageError(f"{type(self).__name__} has no table")

    def plot(self, **options: Any) -> Any:
        """The answer as a picture (a PIL image)."""
        _load_renderers()
        return plot(self, **options)

    def _repr_html_(self) -> str:
        _load_renderers()
        return page(self)


@singledispatch
def plot(result: Result, **options: Any) -> Any:
    """A picture of a result; ``render`` registers one implementation per kind."""
    raise UsageError(f"there is no picture of {type(result).__name__}")


@singledispatch
def page(result: Result) -> str:
    """Static HTML of a result that needs no script; ``render`` registers one implementation per kind."""
    raise UsageError(f"there is no page of {type(result).__name__}")


def _load_renderers() -> None:
    # The one upward seam: a result knows how to show itself only once the render layer has registered its pictures.
    importlib.import_module("pellucid.render.html")
