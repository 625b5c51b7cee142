"""Whether a value fits its annotation: what guards the fields of methods, and of results that come from a file."""

import operator
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types

from pellucid.core.errors import UsageError, nearest

_BOUNDS = (
    (annotated_types.Ge, "ge", operator.ge, "≥"),
    (annotated_types.Gt, "gt", operator.gt, ">"),
    (annotated_types.Le, "le", operator.le, "≤"),
    (annotated_types.Lt, "lt", operator.lt, "<"),
)


class Requirement(annotated_types.BaseMetadata):
    """Part of an annotation: what a value must meet beyond its type."""

    def unmet(self, value: Any) -> str | None:
        """What the field takes instead, or None where the value meets the requirement."""
        raise NotImplementedError


class Data(annotated_types.BaseMetadata):
    """Part of an annotation: the field holds data, not a setting. Answers keep the digest of it, never the content."""


def check_value(what: str, value: Any, hint: Any) -> None:
    """Raise ``UsageError`` where a value does not fit its annotation or the bounds in it."""
    bounds: tuple[Any, ...] = ()
    if get_origin(hint) is typing.Annotated:
        hint, *extras = get_args(hint)
        bounds = tuple(extras)
    fitting = [option for option in _options(hint) if _fits(value, option)]
    if not fitting:
        options = _options(hint)
        choices = [choice for option in options if get_origin(option) is Literal for choice in get_args(option)]
        if choices and isinstance(value, str):
            raise UsageError(f"{what} got {value!r}: {nearest(value, map(str, choices))}")
        names = " or ".join(_name(option) for option in options)
        raise UsageError(f"{what} got {value!r} ({type(value).__name__}); it takes {names}")
    for option in fitting:
        bounds += get_args(option)[1:] if get_origin(option) is typing.Annotated else ()
    for bound in bounds:
        if isinstance(bound, Requirement):
            wanted = bound.unmet(value)
            if wanted is not None:
                raise UsageError(f"{what} got {value!r}; it takes {wanted}")
        elif isinstance(bound, annotated_types.BaseMetadata) and isinstance(value, int | float):
            _check_bound(what, value, bound)


def _check_bound(what: str, value: float, bound: Any) -> None:
    for kind, name, holds, sign in _BOUNDS:
        if isinstance(bound, kind) and not holds(value, getattr(bound, name)):
            raise UsageError(f"{what} got {value!r}; it must be {sign} {getattr(bound, name)}")


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if hint is None or hint is type(None):
        return value is None
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in parts)
    if origin is typing.Annotated:
        return _fits(value, parts[0])
    if origin is Literal:
        return isinstance(value, tuple(type(choice) for choice in parts)) and value in parts
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin is tuple:
        return isinstance(value, tuple) and _elements_fit(value, parts)
    target = origin or hint
    if isinstance(target, type) and not isinstance(value, target):
        return False
    return not (parts and isinstance(value, Mapping)) or all(_fits(entry, parts[-1]) for entry in value.values())


def _elements_fit(values: tuple[Any, ...], hints: tuple[Any, ...]) -> bool:
    if len(hints) == 2 and hints[1] is Ellipsis:
        return all(_fits(value, hints[0]) for value in values)
    return len(values) == len(hints) and all(map(_fits, values, hints))


def _name(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(repr(choice) for choice in get_args(hint))
    if get_origin(hint) is typing.Annotated:
        return _name(get_args(hint)[0])
    if get_origin(hint) is not None:
        return str(hint).replace("typing.", "")
    return getattr(hint, "__name__", str(hint))
