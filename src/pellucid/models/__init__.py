"""Small trainable models, and the networks that the zoo's subjects are made of, with their weights."""

import importlib
from typing import Any

_NAMES = {
    "RBM": "pellucid.models.rbm",
    "ContrastiveDivergence": "pellucid.models.rbm",
    "DBN": "pellucid.models.dbn",
    "StackedAutoencoder": "pellucid.models.stacked_autoencoder",
    "DenoisingAutoencoder": "pellucid.models.stacked_autoencoder",
    "Denoising": "pellucid.models.stacked_autoencoder",
}


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'pellucid.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_NAMES)
