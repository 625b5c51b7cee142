"""Answers of a model on disk, by the digest of what was asked: what was answered once need not be asked again."""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pellucid.core.errors import BadInput, CannotWrite

_TABLE = "CREATE TABLE IF NOT EXISTS answers (question TEXT PRIMARY KEY, type TEXT, shape TEXT, content BLOB)"
# The most parameters of one statement that every build of SQLite takes.
_AT_ONCE = 900


class Answers:
    """Tensors by key in one SQLite file of a folder.

    What is kept together is kept whole or not at all, also when the process is killed; several processes may share the
    folder. Raises ``CannotWrite`` and ``BadInput`` where the folder cannot be used or the file is no such file.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "answers.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWrite(f"cannot make {folder}: {error.strerror or error}; name another folder") from error
        with self._opened() as file:
            file.execute(_TABLE)

    def known(self, keys: Sequence[str]) -> dict[str, Tensor]:
        """The tensors that are kept of these keys."""
        found = {}
        with self._opened() as file:
            for start in range(0, len(keys), _AT_ONCE):
                part = keys[start : start + _AT_ONCE]
                marks = ", ".join("?" * len(part))
                rows = file.execute(f"SELECT * FROM answers WHERE question IN ({marks})", part)
                found.update({key: _tensor(kind, shape, content) for key, kind, shape, content in rows})
        return found

    def keep(self, found: Mapping[str, Tensor]) -> None:
        """Keep tensors, all of them or none."""
        rows = [(key, *_row(tensor)) for key, tensor in found.items()]
        with self._opened() as file:
            file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", rows)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            # A connection of its own each time, so that threads and forked processes never share one.
            with contextlib.closing(sqlite3.connect(self.path, timeout=60)) as file, file:
                yield file
        except sqlite3.OperationalError as error:
            raise CannotWrite(f"cannot use {self.path}: {error}; name another folder") from error
        except (sqlite3.DatabaseError, ValueError) as error:
            raise BadInput(f"{self.path} is damaged ({error}); delete it, or name another folder") from error


def _row(tensor: Tensor) -> tuple[str, str, bytes]:
    array = tensor.detach().cpu().contiguous().numpy()
    return array.dtype.str, ",".join(map(str, array.shape)), array.tobytes()


def _tensor(kind: str, shape: str, content: bytes) -> Tensor:
    sizes = [int(size) for size in shape.split(",") if size]
    return torch.from_numpy(np.frombuffer(content, np.dtype(kind)).reshape(sizes).copy())
