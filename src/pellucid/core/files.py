"""The result file: a safetensors body whose metadata holds one JSON document, suffix ``.pellucid``, never a pickle.

The document has ``kind``, ``format`` (an integer version) and ``fields``. A value is null, a boolean, an integer, a
finite float, a string, a list (a tuple), or an object with one tag: ``$float`` (non-finite), ``$tensor``, ``$bytes``
and ``$text`` (names in the body), ``$map``, ``$record`` (a known record type), ``$result`` (another result), ``$enum``.
"""

import dataclasses
import enum
import json
import math
import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import safetensors
import torch
from safetensors.torch import save

from pellucid.core import spec as spec_module
from pellucid.core.annotations import check_value
from pellucid.core.errors import BadInput, CannotWrite, UsageError
from pellucid.core.record import RECORDS

FORMAT = 1
SUFFIX = ".pellucid"
_LONG_TEXT = 4096
_LARGEST_HEADER = 32 * 1024 * 1024
_ENUMS = {
    name: value
    for name, value in vars(spec_module).items()
    if isinstance(value, type) and issubclass(value, enum.Enum) and value is not enum.StrEnum
}


def write(path: str | os.PathLike[str], kind: str, fields: Mapping[str, Any]) -> Path:
    """Write a result file atomically: a temporary file beside the target, then a rename."""
    path = Path(path)
    body: dict[str, torch.Tensor] = {}
    document = {
        "kind": kind,
        "format": FORMAT,
        "fields": {name: _encode(value, body) for name, value in fields.items()},
    }
    content = save(body, {"pellucid": json.dumps(document, allow_nan=False)})
    return write_bytes(path, content)


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file so that a reader sees the whole new content or none of it."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror or error}; choose another folder") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def read(path: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """Kind and fields of a result file; checked for size, format and tags before anything is built."""
    path = Path(path)
    _check_header(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            body = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise BadInput(f"{path} is damaged or not a result file ({error}); save it again") from error
    try:
        document = json.loads(metadata["pellucid"])
        kind, version, fields = document["kind"], document["format"], document["fields"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} is a safetensors file but not a result of Pellucid") from error
    if not isinstance(version, int) or not isinstance(kind, str) or not isinstance(fields, dict):
        raise BadInput(f"{path} has a malformed header; save it again")
    if version > FORMAT:
        raise BadInput(f"{path} has format {version}, newer than this version of Pellucid reads ({FORMAT}); upgrade it")
    try:
        return kind, {name: _decode(value, body) for name, value in fields.items()}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} has a damaged field ({type(error).__name__}: {error}); save it again") from error


def _check_header(path: Path) -> None:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error
    if len(start) < 8:
        raise BadInput(f"{path} is not a result file: it has {size} bytes")
    (length,) = struct.unpack("<Q", start)
    if length > min(_LARGEST_HEADER, size - 8):
        raise BadInput(f"{path} is damaged or not a result file: its header claims {length} bytes of {size}")


def _encode(value: Any, body: dict[str, torch.Tensor]) -> Any:
    match value:
        case enum.Enum():
            return {"$enum": [type(value).__name__, value.value]}
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else {"$float": str(value)}
        case str():
            return value if len(value) < _LONG_TEXT else {"$text": _store(_bytes_tensor(value.encode()), body)}
        case bytes():
            return {"$bytes": _store(_bytes_tensor(value), body)}
        case torch.Tensor():
            return {"$tensor": _store(value.detach().cpu().contiguous().clone(), body)}
        case tuple() | list():
            return [_encode(entry, body) for entry in value]
        case frozenset():
            return [_encode(entry, body) for entry in sorted(value)]
        case Mapping():
            return {"$map": {_key(key): _encode(entry, body) for key, entry in value.items()}}
    name = type(value).__name__
    known = RECORDS.get(name)
    if known is type(value):
        tag = "$result" if hasattr(value, "provenance") else "$record"
        fields = {f.name: _encode(getattr(value, f.name), body) for f in dataclasses.fields(known) if f.compare}
        return {tag: [name, fields]}
    raise TypeError(f"a result field cannot hold a {type(value).__module__}.{name}")


def _decode(value: Any, body: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return tuple(_decode(entry, body) for entry in value)
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise ValueError("an object must have exactly one tag")
    ((tag, content),) = value.items()
    match tag:
        case "$float":
            return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[content]
        case "$tensor":
            return body[content]
        case "$bytes":
            return bytes(body[content].numpy())
        case "$text":
            return bytes(body[content].numpy()).decode()
        case "$enum":
            return _ENUMS[content[0]](content[1])
        case "$map":
            return {_key(key): _decode(entry, body) for key, entry in content.items()}
        case "$record" | "$result":
            name, fields = content
            return build(RECORDS[name], {key: _decode(entry, body) for key, entry in fields.items()})
    raise ValueError(f"unknown tag {tag!r}")


def build(cls: type, fields: Mapping[str, Any]) -> Any:
    """An instance of a known record type; fields that are unknown, missing or of another type are errors."""
    known = {f.name: f for f in dataclasses.fields(cls) if f.compare}
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise ValueError(f"{cls.__name__} has no field {unknown[0]!r}")
    hints = get_type_hints(cls)
    for name, value in fields.items():
        try:
            check_value(f"{cls.__name__}.{name}", value, hints[name])
        except UsageError as error:
            raise ValueError(str(error)[:200]) from error
    return cls(**fields)


def _store(tensor: torch.Tensor, body: dict[str, torch.Tensor]) -> str:
    name = f"t{len(body)}"
    body[name] = tensor
    return name


def _bytes_tensor(content: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"mapping keys are strings, not {key!r}")
    return key
