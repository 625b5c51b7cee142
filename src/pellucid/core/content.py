"""Identity by content: equal values have equal digests, whatever object or process holds them."""

import dataclasses
import enum
import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image

T = TypeVar("T")


def digest(value: Any) -> str:
    """A 128-bit hexadecimal digest of plain values, tensors, arrays, pictures, files and records of these.

    A path stands for the content of its file. Types are part of the content: ``1`` and ``1.0`` differ. Fields of a
    record that are not compared, or whose metadata says ``identity=False``, are not.
    """
    hasher = hashlib.blake2b(digest_size=16)
    _feed(hasher, value)
    return hasher.hexdigest()


def by_content(cls: type[T]) -> type[T]:
    """Give a frozen dataclass equality and hash by content, so that fields may hold tensors and dicts."""

    def equal(self: T, other: object) -> bool:
        return type(other) is type(self) and digest(self) == digest(other)

    cls.__eq__ = equal  # type: ignore[assignment]
    cls.__hash__ = lambda self: hash(digest(self))  # type: ignore[assignment]
    return cls


def _feed(hasher: Any, value: Any) -> None:
    match value:
        case None | bool() | int() if not isinstance(value, enum.Enum):
            _item(hasher, type(value).__name__, str(value).encode())
        case str() if not isinstance(value, enum.Enum):  # NumPy's text too, which is the same once it was saved
            _item(hasher, "str", value.encode())
        case bytes():
            _item(hasher, "bytes", value)
        case float():
            _item(hasher, "float", struct.pack("<d", value))
        case enum.Enum():
            _item(hasher, f"enum {type(value).__name__}", str(value.value).encode())
        case torch.Tensor():
            _array(hasher, value.detach().cpu())
        case np.ndarray() | np.generic():
            array = np.ascontiguousarray(value)
            _item(hasher, f"array {array.dtype} {array.shape}", array.tobytes())
        case Image.Image():
            _item(hasher, f"picture {value.mode} {value.size}", value.tobytes())
        case Path():
            _item(hasher, "file", value.read_bytes() if value.is_file() else str(value).encode())
        case Mapping():
            _item(hasher, "mapping", str(len(value)).encode())
            for key in sorted(value, key=str):
                _feed(hasher, key)
                _feed(hasher, value[key])
        case list() | tuple():
            _item(hasher, "sequence", str(len(value)).encode())
            for entry in value:
                _feed(hasher, entry)
        case set() | frozenset():
            _item(hasher, "set", "".join(sorted(digest(entry) for entry in value)).encode())
        case _ if isinstance(getattr(value, "fingerprint", None), str):  # a subject
            _item(hasher, "subject", value.fingerprint.encode())
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            _item(hasher, "record", type(value).__qualname__.encode())
            for field in dataclasses.fields(value):
                if field.compare and field.metadata.get("identity", True):
                    _feed(hasher, field.name)
                    _feed(hasher, getattr(value, field.name))
        case _:
            _item(hasher, "object", f"{type(value).__module__}.{type(value).__qualname__}".encode())
            _item(hasher, "representation", repr(value).encode())


def _array(hasher: Any, tensor: torch.Tensor) -> None:
    flat = tensor.contiguous().view(-1)
    # Of an axis with one element torch lets the stride be anything, but bytes are read with stride 1.
    content = flat.as_strided((flat.numel(),), (1,)).view(torch.uint8)
    _item(hasher, f"tensor {tensor.dtype} {tuple(tensor.shape)}", content.numpy().tobytes())


def _item(hasher: Any, kind: str, content: bytes) -> None:
    hasher.update(f"{kind}:{len(content)}:".encode())
    hasher.update(content)
