"""Methods whose query is a Judgement: how good is an answer? ``pellucid.metrics.X`` imports only the file that holds
it."""

import importlib
from typing import Any

from pellucid.core.catalogue import names_of


def __getattr__(name: str) -> Any:
    found = names_of("pellucid.metrics").get(name)
    if found is None:
        raise AttributeError(f"module 'pellucid.metrics' has no attribute {name!r}")
    return getattr(importlib.import_module(found), name)


def __dir__() -> list[str]:
    return sorted(names_of("pellucid.metrics"))
