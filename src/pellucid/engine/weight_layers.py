"""Layers with weights of their own, found by name: their weights as one row per unit, and what those rows read."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pellucid.core.errors import NotAnswerable, UsageError, nearest
from pellucid.core.spec import Modality
from pellucid.core.subject import Inputs, Subject

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class WeightLayer:
    """``weight`` ``[units, inputs, …]``, float64, of the module (or the parameter) ``name``; of a table of embeddings the
    units are its rows. ``groups`` is how many parts a grouped convolution's channels fall into."""

    name: str
    kind: str
    weight: Tensor
    groups: int = 1

    @property
    def rows(self) -> Tensor:
        """``[units, all weights of one]``."""
        return self.weight.flatten(1)

    def input_numbers(self, unit: int) -> Tensor:
        """Which input channels the weights of a unit belong to: ``[inputs]``."""
        per_group = self.weight.shape[1]
        first = unit * self.groups // len(self.weight) * per_group
        return torch.arange(first, first + per_group)

    def check(self, index: object) -> int:
        """A unit's number; ``UsageError`` where the layer does not have it."""
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(self.weight):
            raise UsageError(f"layer {self.name!r} has units 0 to {len(self.weight) - 1}, and no unit {index}")
        return index


def weight_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules whose own ``weight`` has inputs and outputs, in the order in which they were made."""
    for name, part in module.named_modules():
        weight = getattr(part, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim > 1:
            yield name, part


def weight_layer(subject: Subject, name: str | None) -> WeightLayer:
    """The layer of this name, or the parameter of this name; without a name the first layer."""
    module = subject.module
    assert module is not None
    known = dict(weight_layers(module))
    parameters = {name: value for name, value in module.named_parameters() if value.ndim > 1}
    if name is None:
        name = next(iter(known), None) or next(iter(parameters), None)
        if name is None:
            raise NotAnswerable("no layer has weights that could be shown")
    if name.removesuffix(".weight") in known:
        return _of_module(name.removesuffix(".weight"), known[name.removesuffix(".weight")])
    if name in parameters:
        weight = parameters[name].detach().cpu().double()
        return WeightLayer(name, "parameter", weight)
    inside = [entry.removesuffix(".weight") for entry in parameters if entry.startswith(f"{name}.")]
    there = any(name == entry for entry, _ in module.named_modules())
    if there and inside:
        raise UsageError(f"layer {name!r} holds several weights; name one of them: {', '.join(inside[:6])}")
    if there:
        raise UsageError(f"layer {name!r} has no weights to show; {_near(name, [*known, *parameters])}")
    raise UsageError(f"{subject.name} has no layer {name!r}; {_near(name, [*known, *parameters])}")


def first_reader(subject: Subject, layer: WeightLayer, inputs: Inputs | None) -> tuple[int, ...] | None:
    """The shape ``[channels, height, width]`` in which a row of the network's first layer can be seen, where it reads all of
    a picture or its colours; None where the layer is another, or ``inputs`` are no pictures or not known."""
    module = subject.module
    assert module is not None
    first = next((name for name, _ in weight_layers(module)), None)
    pictures = subject.task.modality in (Modality.IMAGE, Modality.TENSOR)
    if layer.name != first or not pictures or inputs is None or inputs.value.ndim != 4:
        return None
    shape = tuple(inputs.value.shape[1:])
    if layer.weight.ndim == 4 and layer.weight.shape[1] == shape[0]:
        return tuple(layer.weight.shape[1:])
    return shape if layer.weight.ndim == 2 and layer.weight.shape[1] == math.prod(shape) else None


def batch_norm_factor(subject: Subject, name: str, inputs: Inputs | None) -> Tensor:
    """What the batch norm right behind a layer multiplies each of its channels with: ``[units]``, float64."""
    module = subject.module
    assert module is not None
    order = [layer.name for layer in subject.layers(inputs)]
    behind = order[order.index(name) + 1] if name in order[:-1] else None
    norm = dict(module.named_modules()).get(behind or "")
    if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) or norm.running_var is None:
        raise NotAnswerable(f"no batch norm follows layer {name!r}, so there is none to fold; ask without fold")
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    return (scale if norm.weight is None else scale * norm.weight.double()).detach().cpu()


def _near(name: str, known: list[str]) -> str:
    """The nearest names, or a few where none is near: names of weights are long."""
    told = nearest(name, known)
    return told if told.startswith("did you mean") else nearest(name, known[:4])


def _of_module(name: str, part: nn.Module) -> WeightLayer:
    weight, groups = part.weight.detach().cpu().double(), int(getattr(part, "groups", 1))  # type: ignore[operator,arg-type]
    if isinstance(part, _TRANSPOSED):
        if groups > 1:
            raise NotAnswerable(
                f"layer {name!r} is a transposed convolution in groups, whose weights have no row per unit"
            )
        weight = weight.transpose(0, 1)
    return WeightLayer(name, type(part).__name__, weight, groups)


def penultimate(subject: Subject, inputs: Inputs) -> str:
    """The name of the layer whose output the last layer with weights reads; ``NotAnswerable`` where none can be told."""
    module = subject.module
    layers = subject.layers(inputs.rows(slice(0, 1)))
    weighted = (
        {} if module is None else {name: _of_module(name, part).weight.shape[1] for name, part in weight_layers(module)}
    )
    last = max((place for place, layer in enumerate(layers) if layer.name in weighted), default=0)
    for layer in reversed(layers[:last]):
        shape = layer.shape or ()
        if weighted[layers[last].name] in (math.prod(shape), *shape[:1], *shape[-1:]):
            return layer.name
    raise NotAnswerable(f"{subject.name} shows no layer below its last one; name a layer")
