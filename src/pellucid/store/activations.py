"""Activations and what was learned from them on disk, by the content of everything they depend on.

An entry is a folder named by the digest of its key; in it a manifest says in the clear what it holds. Rows lie in
shards, safetensors files named by the first example and the one after the last; each appears whole or not at all, so
that a process may be killed at any moment: what is there is right, and the next one goes on where it ends.
"""

import contextlib
import dataclasses
import functools
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.errors import BadInput, CannotWrite
from pellucid.core.files import write_bytes

Precision = Literal["float32", "float16"]
_FORMAT = 1
_ABANDONED = 3600.0
_MANIFEST, _STATE = "manifest.json", "state.safetensors"
_SHARD = re.compile(r"(\d{12})-(\d{12})\.safetensors")


@dataclass(frozen=True)
class Key:
    """What decides what an entry holds: everything that is part of its name.

    ``subject`` is a digest (of weights, architecture and preparation), ``data`` the digest of all examples as prepared;
    ``what`` says what is kept of the layer, in any plain values.
    """

    subject: str
    layer: str
    data: str
    what: tuple[Any, ...]


class Activations:
    """Rows of one layer's activations, memory-mapped: only what is asked for is read.

    A row holds a value per channel; ``len`` counts rows. ``examples`` is the number of each row's example in the data
    set, and ``places`` where in the channel its values are from, counted row by row: ``[rows]``, or ``[rows,
    channels]`` where each channel has a place of its own (its strongest), or None where a row is taken from all places.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any], shards: Sequence[Path]) -> None:
        self.folder = folder
        self.layer: str = manifest["layer"]
        shape, axis = manifest["shape"], manifest["axis"]
        self.channels: int = shape[axis]
        self.extent: tuple[int, ...] = (*shape[:axis], *shape[axis + 1 :])
        self.size = _size(folder)
        self._data: str = manifest["data"]
        self._files = [_opened(path) for path in shards]
        lengths = [file.get_slice("values").get_shape()[0] for file in self._files]
        self._starts = torch.tensor([0, *lengths]).cumsum(0)

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def names(self) -> tuple[str, ...]:
        """What the examples of the data set were called last, by their numbers."""
        return tuple(_read(self.folder.parent / f"{self._data}.json") or ())

    @property
    def examples(self) -> Tensor:
        """``[rows]``."""
        return self._whole("examples")

    @property
    def places(self) -> Tensor | None:
        """``[rows]``, ``[rows, channels]`` or None."""
        return self._whole("places").long() if "places" in self._files[0].keys() else None  # noqa: SIM118

    def rows(self, numbers: Tensor | Sequence[int]) -> Tensor:
        """The values of these rows in this order, ``[len(numbers), channels]``; they are read in the order of the
        file."""
        wanted = torch.as_tensor(numbers, dtype=torch.long)
        if len(wanted) and not 0 <= int(wanted.min()) <= int(wanted.max()) < len(self):
            raise IndexError(f"rows are numbered 0 to {len(self) - 1}")
        ascending, order = wanted.sort()
        bounds = torch.searchsorted(ascending, self._starts)
        parts = [
            file.get_tensor("values")[ascending[first:last] - start]
            for file, start, (first, last) in zip(self._files, self._starts, pairwise(bounds.tolist()), strict=False)
            if last > first
        ]
        read = torch.cat(parts) if parts else torch.empty(0, self.channels)
        return torch.empty_like(read).index_copy_(0, order, read)

    def parts(self) -> Iterator[Tensor]:
        """All values, one shard after the other, each ``[rows, channels]``."""
        for file in self._files:
            yield file.get_tensor("values")

    def values(self) -> Tensor:
        """All values in memory, ``[rows, channels]``."""
        return self._whole("values")

    def _whole(self, name: str) -> Tensor:
        return torch.cat([file.get_tensor(name) for file in self._files])


class ActivationStore:
    """A folder of entries. ``budget`` is how many bytes it may take; without one, what the disk has.

    Where a new entry would not fit, the entries that were not used for longest make room; what could not fit even then
    is refused before anything is computed. Several processes may share a folder.
    """

    def __init__(self, folder: Path | str, budget: int | None = None) -> None:
        self.folder, self.budget = Path(folder), budget
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWrite(f"cannot make {self.folder}: {error.strerror or error}; name another folder") from error

    def whole(self, key: Key) -> bool:
        """Whether the rows of every example are there."""
        manifest = self._manifest(key)
        return manifest is not None and self.done(key) == manifest["examples"]

    def activations(self, key: Key) -> Activations:
        """The rows of an entry that is whole."""
        manifest = self._manifest(key)
        if manifest is None or not self.whole(key):
            raise BadInput(f"{self.folder} does not hold all activations of {key.layer}; record them first")
        folder = self._place(key)
        os.utime(folder)
        return Activations(folder, manifest, _chain(folder))

    def keep_names(self, data: str, names: Sequence[str]) -> None:
        """Keep what the examples of a data set are called."""
        write_bytes(self.folder / f"{data}.json", json.dumps(list(names), ensure_ascii=False).encode())

    def done(self, key: Key) -> int:
        """How many examples of an entry are kept, from the first on."""
        return _end(_chain(self._place(key)))

    def facts(self, key: Key) -> dict[str, Any]:
        """What an entry was begun with, and its key; nothing where there is none."""
        return self._manifest(key) or {}

    def begin(self, key: Key, facts: Mapping[str, Any]) -> None:
        """Make an entry, or take up one that was begun. ``facts`` are what a reader wants to know beside the key."""
        folder = self._place(key)
        if self._manifest(key) is None:
            told = {"format": _FORMAT, **facts, **dataclasses.asdict(key)}
            write_bytes(folder / _MANIFEST, (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())
        for path in folder.glob(".*"):  # what a killed process had begun to write
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    path.unlink()
        os.utime(folder)

    def append(self, key: Key, first: int, last: int, body: Mapping[str, Tensor]) -> None:
        """Keep the rows of the examples from ``first`` to before ``last`` as a shard."""
        content = save({name: tensor.contiguous() for name, tensor in body.items()})
        write_bytes(self._place(key) / f"{first:012}-{last:012}.safetensors", content)

    def state(self, key: Key) -> dict[str, Tensor] | None:
        """The tensors that were kept last under a key, None where there are none."""
        path = self._place(key) / _STATE
        if not path.is_file():
            return None
        os.utime(path.parent)
        file = _opened(path)
        return {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a mapping)

    def keep_state(self, key: Key, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors in the place of those that were kept before, whole or not at all."""
        write_bytes(self._place(key) / _STATE, save({name: tensor.contiguous() for name, tensor in tensors.items()}))

    def entries(self) -> list[dict[str, Any]]:
        """The manifests of all entries with their ``bytes``, the one that was not used for longest first."""
        folders = [path.parent for path in self.folder.glob(f"*/{_MANIFEST}")]
        found = [(folder.stat().st_mtime, folder, _read(folder / _MANIFEST)) for folder in folders]
        return [
            {**manifest, "folder": folder.name, "bytes": _size(folder)}
            for _, folder, manifest in sorted(found, key=lambda entry: entry[:2])
            if manifest is not None
        ]

    def make_room(self, sizes: Mapping[Key, int], advice: str) -> None:
        """Make room for entries that will take so many bytes in all, of which some may be there already.

        Raises ``CannotWrite`` where the budget or the disk cannot hold them together; ``advice`` says how to need less.
        """
        wanted = sum(sizes.values())
        if self.budget is not None and wanted > self.budget:
            raise CannotWrite(
                f"this takes {in_bytes(wanted)}, more than the budget of {in_bytes(self.budget)}; {advice}"
            )
        named = {self._place(key).name for key in sizes}
        present = {entry["folder"]: entry["bytes"] for entry in self.entries()}
        missing = wanted - sum(size for name, size in present.items() if name in named)
        free = shutil.disk_usage(self.folder).free
        if missing > free:
            raise CannotWrite(f"this takes {in_bytes(missing)} more, and {in_bytes(free)} are free; {advice}")
        if self.budget is None:
            return
        others = {name: size for name, size in present.items() if name not in named}
        excess = wanted + sum(others.values()) - self.budget
        for name, size in others.items():
            if excess <= 0:
                break
            self._drop(name)
            excess -= size

    def _drop(self, name: str) -> None:
        # Out of sight first: a process that is killed meanwhile leaves no entry with a part missing.
        gone = Path(tempfile.mkdtemp(dir=self.folder, prefix=".gone-"))
        (self.folder / name).rename(gone / name)
        shutil.rmtree(gone, ignore_errors=True)

    def _place(self, key: Key) -> Path:
        return self.folder / digest([_FORMAT, key])

    def _manifest(self, key: Key) -> dict[str, Any] | None:
        return _read(self._place(key) / _MANIFEST)


def in_bytes(number: int) -> str:
    """A number of bytes for a person: ``1.4 GB``."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number} bytes"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is damaged ({error}); delete its folder") from error


def _chain(folder: Path) -> list[Path]:
    """The shards from the first example on without a gap."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        name = _SHARD.fullmatch(path.name)
        if name:
            found[int(name[1])] = (int(name[2]), path)
    chain, end = [], 0
    while end in found:
        end, path = found[end]
        chain.append(path)
    return chain


def _end(chain: Iterable[Path]) -> int:
    return functools.reduce(lambda _, path: int(path.stem.partition("-")[2]), chain, 0)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("[!.]*"))


def _opened(path: Path) -> Any:
    try:
        return safetensors.safe_open(path, framework="pt")
    except (safetensors.SafetensorError, OSError) as error:
        raise BadInput(f"{path} is damaged ({error}); delete its folder {path.parent}") from error
