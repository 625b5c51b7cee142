"""Small trainable models, and the networks that the zoo's subjects are made of, with their weights."""

import importlib
from typing import TYPE_CHECKING, Any

_NAMES = {
    "RBM": "pellucid.models.rbm",
    "ContrastiveDivergence": "pellucid.models.rbm",
    "DBN": "pellucid.models.dbn",
    "StackedAutoencoder": "pellucid.models.stacked_autoencoder",
    "DenoisingAutoencoder": "pellucid.models.stacked_autoencoder",
    "Denoising": "pellucid.models.stacked_autoencoder",
}

__all__ = ["DBN", "RBM", "ContrastiveDivergence", "Denoising", "DenoisingAutoencoder", "StackedAutoencoder"]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'pellucid.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_NAMES)


if TYPE_CHECKING:
    from pellucid.models.dbn import DBN
    from pellucid.models.rbm import RBM, ContrastiveDivergence
    from pellucid.models.stacked_autoencoder import Denoising, DenoisingAutoencoder, StackedAutoencoder
