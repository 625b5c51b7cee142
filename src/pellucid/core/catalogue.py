"""The catalogue: every method with its fields and spec, read from ``catalogue.json`` without importing torch."""

import functools
import importlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from pellucid.core.errors import UsageError, nearest


@functools.cache
def _document() -> dict[str, Any]:
    return json.loads((files("pellucid") / "catalogue.json").read_text(encoding="utf-8"))


def catalogue() -> tuple[dict[str, Any], ...]:
    """One plain record per method: ``id``, ``class``, ``module``, ``query``, ``result``, ``fields`` and the spec."""
    return tuple(_document()["methods"])


def names_of(package: str) -> dict[str, str]:
    """Class name → module of every method in a package."""
    return {entry["class"]: entry["module"] for entry in catalogue() if entry["module"].startswith(f"{package}.")}


def entry(method: str) -> dict[str, Any]:
    """The record of one method by id; ``UsageError`` with the nearest ids where there is none."""
    known = {record["id"]: record for record in catalogue()}
    if method not in known:
        raise UsageError(f"there is no method {method!r}; {nearest(method, known)}")
    return known[method]


def build(description: Mapping[str, Any]) -> Any:
    """A method from plain data: ``build({"method": "lime", "samples": 500})``. Text is read as the field's own type."""
    fields = dict(description)
    name = fields.pop("method", None)
    if not isinstance(name, str):
        raise UsageError('build takes {"method": id, field: value, …}; the id is missing')
    record = entry(name)
    known = {field["name"]: field for field in record["fields"]}
    for field in fields:
        if field not in known:
            raise UsageError(f"{name} has no field {field!r}; {nearest(field, known)}")
    for field in known.values():
        if field["required"] and field["name"] not in fields:
            raise UsageError(f"{name} needs {field['name']}: {field['help']}")
    cls = getattr(importlib.import_module(record["module"]), record["class"])
    return cls(**{field: _read(f"{name}({field}=…)", value, known[field]) for field, value in fields.items()})


def _read(what: str, value: Any, field: Mapping[str, Any]) -> Any:
    types = field["types"]
    if isinstance(value, Mapping) and "method" in value:
        return build(value)
    if isinstance(value, Mapping) and "context" in types:
        from pellucid.core.context import described

        return described(value)
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, str) or value in field.get("choices", ()):
        return value
    for kind, convert in (
        ("null", _null),
        ("boolean", _boolean),
        ("integer", int),
        ("number", float),
        ("tuple", lambda text: tuple(map(_number, text.split(",")))),
    ):
        if kind in types:
            try:
                return convert(value)
            except ValueError:
                continue
    if "method" in types:
        return build({"method": value})
    if "string" in types or field.get("choices"):
        return value
    raise UsageError(f"{what} got {value!r}; it takes {' or '.join(types)}")


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _null(text: str) -> None:
    if text.lower() not in ("none", "null"):
        raise ValueError(text)


def _boolean(text: str) -> bool:
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in known:
        raise ValueError(text)
    return known[text.lower()]
