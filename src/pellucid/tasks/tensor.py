"""The task of a model about which nothing is known but its tensors: every element is a feature."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.core.errors import BadInput, UsageError, nearest
from pellucid.core.seeds import generator
from pellucid.core.spec import Modality
from pellucid.core.subject import Edit, Features, Inputs, Origin, OutputKind
from pellucid.tasks.array_edits import array_changes, array_edits


class TensorTask:
    """Tensors in, tensors out. ``shape`` of one example may be given, then single examples get their batch
    dimension."""

    modality = Modality.TENSOR

    def __init__(
        self,
        labels: tuple[str, ...] | None = None,
        output: OutputKind = "logits",
        shape: tuple[int, ...] | None = None,
        point: str | None = None,
    ) -> None:
        self.labels, self.output, self.shape, self.point = labels, output, shape, point

    def prepare(self, raw: Any) -> Inputs:
        if isinstance(raw, Mapping):
            tensors = {name: as_tensor(value, name) for name, value in raw.items()}
            sizes = {len(tensor) for tensor in tensors.values()}
            if len(sizes) != 1:
                raise BadInput(f"named inputs differ in batch size: { {n: len(t) for n, t in tensors.items()} }")
            return Inputs(tensors, self.point or next(iter(tensors)))
        tensor = as_tensor(raw, "input")
        if self.shape is not None and tensor.ndim == len(self.shape):
            tensor = tensor[None]
        if self.shape is not None and tuple(tensor.shape[1:]) != self.shape:
            raise BadInput(f"one example has shape {self.shape}, not {tuple(tensor.shape[1:])}")
        if tensor.ndim < 2:
            raise BadInput(f"the input has shape {tuple(tensor.shape)}; the first dimension is the batch: add one")
        return Inputs({self.point or "input": tensor}, self.point or "input")

    def example(self) -> Inputs | None:
        return None if self.shape is None else self.prepare(torch.zeros(1, *self.shape))

    def bounds(self, inputs: Inputs) -> tuple[Tensor, Tensor] | None:
        return None

    def baselines(self) -> tuple[str, ...]:
        return ("zero", "mean", "uniform")

    def baseline(self, inputs: Inputs, name: str, seed: int = 0) -> Tensor:
        return elementwise_baseline(self, inputs, name, seed)

    def groupings(self) -> tuple[str, ...]:
        return ("elements",)

    def features(self, inputs: Inputs, grouping: str, number: int | None = None) -> Features:
        return elements(inputs)

    def edits(self, raw: Any, script: str) -> tuple[Edit, ...]:
        return array_edits(raw, script)

    def changes(self, raw: Any, other: Any) -> tuple[Edit, ...]:
        return array_changes(raw, self.prepare(other).value[0].to(raw))

    def describe(self) -> dict[str, Any]:
        return {"modality": self.modality.value, "labels": self.labels, "output": self.output, "shape": self.shape}


def as_tensor(value: Any, name: str) -> Tensor:
    """A finite floating-point (or as it is, integer) tensor from a tensor, array or nested sequence of numbers."""
    try:
        tensor = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{name}: cannot make a tensor of a {type(value).__name__} ({error})") from error
    if tensor.dtype == torch.bool or not (tensor.is_floating_point() or isinstance(value, Tensor)):
        tensor = tensor.float()
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        tensor = tensor.float()
    if tensor.numel() == 0:
        raise BadInput(f"{name} is empty: shape {tuple(tensor.shape)}")
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        bad = int((~tensor.isfinite()).sum())
        raise BadInput(
            f"{name} holds {bad} NaN or infinite value{'s' if bad > 1 else ''} of {tensor.numel()}; clean it"
        )
    return tensor.detach()


def elements(inputs: Inputs) -> Features:
    """Every element of the point a feature of its own."""
    shape = inputs.value.shape
    segments = torch.arange(shape[1:].numel()).view(1, *shape[1:])
    return Features("element", segments.expand(shape))


def elementwise_baseline(task: Any, inputs: Inputs, name: str, seed: int) -> Tensor:
    """The baselines any point has: ``zero``, ``mean`` over each example, ``uniform`` draws within the bounds.

    Without bounds draws lie between the lowest and the highest element of their own example. Padding stays zero and
    counts for neither, so that a baseline does not depend on what else is in the batch.
    """
    point = inputs.value
    if name not in ("zero", "mean", "uniform"):
        raise UsageError(f"there is no baseline {name!r} here; {nearest(name, task.baselines())}")
    result = torch.zeros_like(point)
    if name == "zero":
        return result
    if not point.is_floating_point():
        raise UsageError(f"the baseline {name!r} is not made of whole numbers, as the input is; give one as a tensor")
    bounds = task.bounds(inputs)
    for row, example in enumerate(point):
        kept = slice(None) if inputs.mask is None else inputs.mask[row]
        real = example[kept]
        if name == "mean":
            result[row][kept] = real.mean()
            continue
        low, high = (real.amin(), real.amax()) if bounds is None else (b.expand_as(point)[row][kept] for b in bounds)
        draws = torch.rand(real.shape, generator=generator(seed, "uniform", real), dtype=point.dtype)
        result[row][kept] = (low + (high - low) * draws).to(point)
    return result


def batched(raw: Any) -> list[Any]:
    """A list of raw inputs from one or several."""
    return list(raw) if isinstance(raw, list | tuple) else [raw]


def origins(raws: list[Any]) -> tuple[Origin, ...]:
    """Origins of inputs that need no way back but themselves."""
    return tuple(Origin(raw, str(number)) for number, raw in enumerate(raws))
