"""What is kept on disk between runs."""

import importlib
from typing import TYPE_CHECKING, Any

_NAMES = {"ActivationStore": "pellucid.store.activations", "Answers": "pellucid.store.answers"}

__all__ = ["ActivationStore", "Answers"]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'pellucid.store' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_NAMES)


if TYPE_CHECKING:
    from pellucid.store.activations import ActivationStore
    from pellucid.store.answers import Answers
