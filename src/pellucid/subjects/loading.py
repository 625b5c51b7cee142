"""A subject by name: from the zoo, a Hugging Face folder, an ONNX file, an HTTP endpoint or a function of your own."""

import importlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pellucid.core.errors import UsageError, nearest
from pellucid.subjects.zoo import ZOO

if TYPE_CHECKING:
    from pellucid.core.subject import Subject

# Prefix of the name → what follows it, where it is opened. A name with another prefix is ``module:factory``.
KINDS = {
    "hf": ("hf:folder-or-name", "pellucid.subjects.huggingface", "load_huggingface"),
    "onnx": ("onnx:file.onnx", "pellucid.subjects.onnx", "load_onnx"),
    "http": ("http://host/path", "pellucid.subjects.http", "load_http"),
    "https": ("https://host/path", "pellucid.subjects.http", "load_http"),
}


def load(name: str, /, **options: Any) -> "Subject":
    """A subject by its name in the zoo (``efficientnet-lite0``) or by where it is.

    ``hf:folder-or-name`` is a Hugging Face sequence classifier, ``onnx:file.onnx`` a file, ``http://…`` an endpoint
    that answers ``{"inputs": …}`` with ``{"scores": …}``, ``module:factory`` (or ``file.py:factory``) a function of
    your own that returns a model or a subject. ``options`` are those of the kind; another one is refused. Code runs
    only from what is named as ``module:factory``.
    """
    if not isinstance(name, str):
        raise UsageError(f"load takes a name, not a {type(name).__name__}; a model itself is wrapped: wrap(model)")
    if name in ZOO:
        return _opened(name, ZOO[name], (), options)
    kind, colon, rest = name.partition(":")
    if not colon or not kind or not rest:
        raise UsageError(_unknown(name))
    if kind in KINDS:
        _, module, function = KINDS[kind]
        source = name if kind in ("http", "https") else rest
        return _opened(name, getattr(importlib.import_module(module), function), (source,), options)
    from pellucid.subjects.factory import load_factory

    return load_factory(name, **options)


def _opened(name: str, opener: Callable[..., "Subject"], source: tuple[str, ...], options: dict[str, Any]) -> "Subject":
    known = [p.name for p in inspect.signature(opener).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            raise UsageError(f"load({name!r}) takes no option {option!r}; it takes {', '.join(known)}")
    return opener(*source, **options)


def _unknown(name: str) -> str:
    kinds = ", ".join(form for form, _, _ in KINDS.values())
    return f"there is no model {name!r}; name it as {kinds}, module:factory, or as in the zoo: {nearest(name, ZOO)}"
