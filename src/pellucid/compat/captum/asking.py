"""From a call in captum's shape to a subject, prepared inputs and a resolved target."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.compat.captum.packing import Layout, Packed, as_tuple
from pellucid.core.errors import UsageError
from pellucid.core.meter import reporting
from pellucid.core.query import Decision
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.batching import evaluate
from pellucid.engine.targets import Target
from pellucid.subjects.wrapping import wrap
from pellucid.tasks.tensor import TensorTask

LAYER = "probe"
_NOTHING = Target("score", "value", None, None, ())
_LOG = logging.getLogger("pellucid.compat.captum")


@dataclass(frozen=True)
class Asked:
    """One call: ``inputs`` of a ``subject``, what of its answer is explained, and the way back to captum's shapes."""

    subject: Subject
    packed: Packed
    inputs: Inputs
    target: Target
    layout: Layout

    def decision(self, at: str = "input") -> Decision:
        """The call as a native question."""
        return Decision(self.inputs, target=self.target, at=at)

    def at(self, value: Tensor) -> Inputs:
        """The inputs with another point."""
        return self.inputs.at(value)

    def answers(self, point: Tensor) -> Tensor:
        """The explained quantity of every example at another point, ``[batch]``."""
        rows = torch.arange(len(self.inputs))
        return evaluate(self.subject, self.inputs, self.target, rows, lambda part: point[part])

    def baseline(self, baselines: Any) -> Tensor:
        """Captum's baselines (None, a number, a tensor, or one of these per input) as a point."""
        return self.layout.packed(per_input(baselines, self.layout, "baselines", 0), self.inputs.value.dtype)

    def out(self, scores: Tensor) -> Any:
        """Scores of the point as captum returns them."""
        return self.layout.restored(scores.to(self.device))

    def out_of_layer(self, scores: Tensor) -> Any:
        """Scores of the layer as captum returns them."""
        return self.packed.now.at_layer.split(scores.to(self.device))

    @property
    def device(self) -> torch.device:
        return getattr(self.subject, "device", torch.device("cpu"))


def per_input(given: Any, layout: Layout, what: str, default: Any) -> tuple[Any, ...]:
    """An argument that may be given per input, as one value per input."""
    number = len(layout.shapes)
    values = given if isinstance(given, tuple) else (given,) * (number if given is None else 1)
    if len(values) != number:
        raise UsageError(f"{what}: {len(values)} for {number} inputs; give one per input")
    return tuple(default if value is None else value for value in values)


class Attribution:
    """What all of captum's attributions have: a forward function, a call, and what is known of its answers."""

    def __init__(self, forward_func: Callable[..., Any]) -> None:
        if not callable(forward_func):
            raise UsageError(
                f"{type(self).__name__} explains a module or a function, not a {type(forward_func).__name__}"
            )
        self.forward_func = forward_func
        self._last: tuple[Packed, Subject] | None = None

    def get_name(self) -> str:
        """The name of the class in words."""
        name = type(self).__name__
        return name if name.isupper() else "".join(f" {c}" if c.isupper() else c for c in name).strip()

    def has_convergence_delta(self) -> bool:
        """Whether ``attribute`` can return how far scores are from adding up."""
        return False

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether scores are factored by the inputs, or by their difference to a baseline."""
        return False

    def compute_convergence_delta(
        self,
        attributions: Any,
        start_point: Any,
        end_point: Any,
        target: Any = None,
        additional_forward_args: Any = None,
    ) -> Tensor:
        """The sum of the scores less the rise from start to end, ``[batch]``."""
        asked = self.asked(end_point, target, additional_forward_args)
        return delta(asked, attributions, asked.inputs.value, asked.baseline(start_point))

    def asked(
        self,
        inputs: Any,
        target: Any,
        additional_forward_args: Any,
        *,
        layer: nn.Module | None = None,
        before: bool = False,
        neuron: Any = None,
        floating: bool = False,
        place: int = 0,
        together: bool = False,
        explained: bool = True,
    ) -> Asked:
        beside = arguments_of(additional_forward_args)
        layout, rows = Layout.of(inputs, beside, place, together)
        packed, subject = self._subject_of(layout, layer, before, neuron)
        point = layout.packed(as_tuple(inputs, "inputs"), layout.precision(floating))
        if not any(t.is_floating_point() for m in packed.children() for t in (*m.parameters(), *m.buffers())):
            kind = point.dtype if point.is_floating_point() else torch.get_default_dtype()
            device = as_tuple(inputs, "inputs")[0].device
            packed.register_buffer("precision", torch.empty(0, dtype=kind, device=device), persistent=False)
        given = Inputs({"point": point, **rows}, "point")
        resolved = _resolved(subject, given, target) if explained else _NOTHING
        return Asked(subject, packed, given, resolved, layout)

    def _subject_of(self, layout: Layout, layer: nn.Module | None, before: bool, neuron: Any) -> tuple[Packed, Subject]:
        """The subject of the last call where this one goes the same way through the model, which is then known already."""
        if self._last is not None:
            packed = self._last[0]
            there = packed.layer is layer and packed.before == before and packed.neuron is neuron
            if there and packed.now.layout.calls_alike(layout):
                packed.now.layout = layout
                return self._last
        packed = Packed(self.forward_func, layout, layer, before, neuron)
        self._last = packed, wrap(packed, TensorTask(output="value"), name=_name(self.forward_func))
        return self._last


class LayerAttribution(Attribution):
    """An attribution at a layer, given as the module itself."""

    def __init__(self, forward_func: Callable[..., Any], layer: nn.Module, device_ids: Any = None) -> None:
        super().__init__(forward_func)
        if not isinstance(layer, nn.Module):
            raise UsageError(f"{type(self).__name__} takes one module as layer, not a {type(layer).__name__}")
        refused(type(self).__name__, "device_ids", device_ids, None, "the module runs where its parameters are")
        self.layer = layer

    @staticmethod
    def interpolate(layer_attribution: Tensor, interpolate_dims: Any, interpolate_mode: str = "nearest") -> Tensor:
        """Scores of a layer at another extent."""
        return nn.functional.interpolate(layer_attribution, interpolate_dims, mode=interpolate_mode)


def delta(asked: Asked, attributions: Any, end: Tensor, start: Tensor) -> Tensor:
    """The sum of the scores less the rise from ``start`` to ``end``, ``[batch]``."""
    parts = (attributions,) if isinstance(attributions, Tensor) else attributions
    total = torch.stack([part.detach().cpu().double().reshape(len(part), -1).sum(1) for part in parts]).sum(0)
    found = total - (asked.answers(end) - asked.answers(start))
    return found.to(parts[0])


def refused(name: str, argument: str, given: Any, default: Any, instead: str) -> None:
    """Refuse an argument that cannot be honoured, unless it has its default."""
    if given is not default and given != default:
        raise UsageError(f"{name}: {argument} is not supported; {instead}")


def positive(name: str, **arguments: Any) -> None:
    """Check arguments that say how much goes through the model at once; the byte budget decides that here."""
    for argument, value in arguments.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise UsageError(f"{name}: {argument}={value!r} must be a whole number of at least 1")


@contextmanager
def progress(show: bool) -> Iterator[None]:
    """Log how far the work is, where that is wanted."""
    with reporting(lambda done, total, what: _LOG.info("%s: %d of %d", what, done, total) if show else None):
        yield


def arguments_of(given: Any) -> tuple[Any, ...]:
    """Captum's additional arguments: none, one, or a tuple of several."""
    if given is None:
        return ()
    return given if isinstance(given, tuple) else (given,)


def _resolved(subject: Subject, inputs: Inputs, wanted: Any) -> Target:
    """The output that is explained: captum's targets, which index all axes after the batch."""
    shape, batch = tuple(subject.scores(inputs).shape[1:]), len(inputs)
    if isinstance(wanted, Tensor):
        wanted = wanted.reshape(-1).tolist() if wanted.numel() > 1 else int(wanted)
    entries = wanted if isinstance(wanted, list) else [wanted] * batch
    if len(entries) != batch:
        raise UsageError(f"{len(entries)} targets for {batch} examples; give one for all or one per example")
    index = [_indices(entry, shape) for entry in entries]
    return Target("score", "value", torch.tensor(index, dtype=torch.long), None, ())


def _indices(entry: Any, shape: tuple[int, ...]) -> list[int]:
    if entry is None and all(size == 1 for size in shape):
        return [0] * len(shape)
    if entry is None:
        raise UsageError(f"the model answers with outputs of shape {shape}; name one as target")
    numbers = list(entry) if isinstance(entry, tuple) else [entry]
    if len(numbers) < len(shape) and all(size == 1 for size in shape[len(numbers) :]):
        numbers += [0] * (len(shape) - len(numbers))
    if len(numbers) != len(shape) or any(isinstance(n, bool) or not isinstance(n, int) for n in numbers):
        raise UsageError(f"target {entry!r} names no single output of {shape}; give {len(shape)} whole numbers")
    if any(not -size <= number < size for number, size in zip(numbers, shape, strict=True)):
        raise UsageError(f"target {entry!r} is outside the outputs {shape}")
    return [number % size for number, size in zip(numbers, shape, strict=True)]


def _name(forward_func: Callable[..., Any]) -> str:
    return type(forward_func).__name__ if isinstance(forward_func, nn.Module) else forward_func.__class__.__name__
