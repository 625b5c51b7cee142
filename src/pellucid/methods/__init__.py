"""One file per method, a folder per family. ``pellucid.methods.Lime`` imports only the file that holds it."""

import importlib
from typing import Any

from pellucid.core.catalogue import names_of


def __getattr__(name: str) -> Any:
    found = names_of("pellucid.methods").get(name)
    if found is None:
        raise AttributeError(f"module 'pellucid.methods' has no attribute {name!r}")
    return getattr(importlib.import_module(found), name)


def __dir__() -> list[str]:
    return sorted(names_of("pellucid.methods"))
