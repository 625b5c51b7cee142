"""Makes ``catalogue.json`` from the methods themselves; a test asserts that the file is fresh."""

import dataclasses
import enum
import json
import types
import typing
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types
import torch

from pellucid.core.method import discover, fields_of, query_type, result_type
from pellucid.core.subject import Subject

_TYPES = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    type(None): "null",
    tuple: "tuple",
    torch.Tensor: "tensor",
}


def document() -> str:
    """The catalogue as JSON text, methods in the order of their ids."""
    methods = [_record(cls) for _, cls in sorted(discover().items())]
    return json.dumps({"methods": methods}, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write() -> Path:
    """Write the catalogue into the package."""
    path = Path(str(files("pellucid") / "catalogue.json"))
    path.write_text(document(), encoding="utf-8")
    return path


def _record(cls: type) -> dict[str, Any]:
    spec = {f.name: _json(getattr(cls.spec, f.name)) for f in dataclasses.fields(cls.spec)}  # type: ignore[attr-defined]
    return {
        **spec,
        "class": cls.__name__,
        "module": cls.__module__,
        "summary": (cls.__doc__ or "").split("\n\n")[0].replace("\n", " ").strip(),
        "query": query_type(cls).__name__,
        "result": result_type(cls).__name__,
        "fields": _fields(cls),
    }


def _fields(cls: type) -> list[dict[str, Any]]:
    hints = get_type_hints(cls, include_extras=True)
    required = [f.name for f in dataclasses.fields(cls) if _required(f)]
    defaults = {f.name: f.default for f in dataclasses.fields(cls)} if required else fields_of(cls())
    return [
        {
            "name": f.name,
            **_schema(hints[f.name]),
            "required": _required(f),
            "default": None if _required(f) else _json(defaults[f.name]),
        }
        for f in dataclasses.fields(cls)
    ]


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _schema(hint: Any) -> dict[str, Any]:
    metadata: list[Any] = []
    if get_origin(hint) is typing.Annotated:
        hint, *metadata = get_args(hint)
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    kinds = sorted({_kind(option) for option in options})
    choices = [choice for option in options if get_origin(option) is Literal for choice in get_args(option)]
    bounds = {
        name: getattr(bound, name)
        for bound in metadata
        if isinstance(bound, annotated_types.BaseMetadata)
        for name in ("ge", "gt", "le", "lt")
        if hasattr(bound, name)
    }
    return {
        "types": kinds,
        **({"choices": choices} if choices else {}),
        **({"bounds": bounds} if bounds else {}),
        "help": next((text for text in metadata if isinstance(text, str)), ""),
    }


def _kind(hint: Any) -> str:
    if get_origin(hint) is typing.Annotated:
        return _kind(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return "choice"
    if get_origin(hint) is tuple and Subject in get_args(hint):
        return "subjects"
    target = get_origin(hint) or hint
    return _TYPES.get(target) or str(getattr(target, "__name__", target)).lower()


def _json(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, set | frozenset):
        return sorted(_json(entry) for entry in value)
    if isinstance(value, list | tuple):
        return [_json(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _json(entry) for key, entry in value.items()}
    return value
