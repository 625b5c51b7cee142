"""The networks that Pellucid trained itself and carries: one safetensors file each, with a record of what it is."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

_RECORD = "pellucid"


@dataclass(frozen=True)
class Packaged:
    """A trained network and everything that its numbers mean.

    ``module`` is in eval mode and its parameters are frozen: explanations differentiate with respect to inputs. Who
    needs gradients of parameters works on a copy. ``labels`` name the outputs and ``features`` the inputs, where
    these have names. The network expects ``(raw - means) / deviations``; both are empty where it takes the input as
    it is. ``metadata`` holds the architecture's fields, the data and seed of the training, and under ``held_out`` the
    score on data that the training did not see.
    """

    module: nn.Module
    labels: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the parameters and the record to one safetensors file, from which ``load_packaged`` reads it."""
        record = {
            "labels": self.labels,
            "features": self.features,
            "means": self.means,
            "deviations": self.deviations,
            "metadata": self.metadata,
        }
        tensors = {name: tensor.contiguous() for name, tensor in self.module.state_dict().items()}
        path.write_bytes(save(tensors, metadata={_RECORD: json.dumps(record)}))


def load_packaged(name: str, build: Callable[..., nn.Module]) -> Packaged:
    """The network ``name`` that came with this package; ``build`` gets the recorded architecture as its fields."""
    with resources.as_file(resources.files("pellucid.models").joinpath("weights", f"{name}.safetensors")) as path:
        return read_packaged(path, build)


def read_packaged(path: Path, build: Callable[..., nn.Module]) -> Packaged:
    """As ``load_packaged``, from any file that ``Packaged.save`` wrote."""
    with safe_open(path, framework="pt") as stored:
        record = json.loads(stored.metadata()[_RECORD])
        tensors: dict[str, Tensor] = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    with torch.device("meta"):  # Without initial values: these would draw from the caller's random numbers.
        module = build(**record["metadata"]["architecture"])
    module.load_state_dict(tensors, assign=True)
    module.eval().requires_grad_(False)
    return Packaged(
        module=module,
        labels=tuple(record["labels"]),
        features=tuple(record["features"]),
        means=tuple(record["means"]),
        deviations=tuple(record["deviations"]),
        metadata=record["metadata"],
    )
