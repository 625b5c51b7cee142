"""What a method may know of a model: the Subject, its Task, prepared Inputs, Layers and Features."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, Union, runtime_checkable

import torch
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.record import record
from pellucid.core.spec import Access, Modality, Structure

OutputKind = Literal["logits", "probabilities", "value"]
# What takes the place of a layer's output: a tensor, or what a function makes of the output as it flows.
Replacement = Union[Tensor, Callable[[Tensor], Tensor]]


@dataclass(frozen=True)
class Origin:
    """The way back from one prepared example to the raw input.

    ``raw`` is what a person sees (an upright RGB picture, the text, the row); ``spans`` are the character offsets of
    the positions; ``box`` is the part ``(left, top, right, bottom)`` of the picture that was shown to the network.
    """

    raw: Any = None
    name: str = ""
    spans: tuple[tuple[int, int], ...] | None = None
    box: tuple[int, int, int, int] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inputs:
    """Named tensors with one batch dimension; ``point`` names the one where gradients act and features live.

    ``mask`` is ``[batch, positions]``, True where a position is real and False where it is padding.
    """

    tensors: Mapping[str, Tensor]
    point: str
    mask: Tensor | None = None
    origins: tuple[Origin, ...] = ()

    def __len__(self) -> int:
        return len(self.tensors[self.point])

    @property
    def value(self) -> Tensor:
        """The tensor at the point, ``[batch, …]``."""
        return self.tensors[self.point]

    def rows(self, index: Tensor | slice, value: Tensor | None = None) -> "Inputs":
        """The examples at ``index``, with ``value`` at the point if it is given; an index tensor may repeat examples."""
        given = {} if value is None else {self.point: value}
        tensors = {name: given[name] if name in given else tensor[index] for name, tensor in self.tensors.items()}
        mask = None if self.mask is None else self.mask[index]
        numbers = range(len(self))[index] if isinstance(index, slice) else index.tolist()
        origins = tuple(self.origins[number] for number in numbers) if self.origins else ()
        return Inputs(tensors, self.point, mask, origins)

    def at(self, value: Tensor) -> "Inputs":
        """The same inputs with another tensor at the point."""
        return replace(self, tensors={**self.tensors, self.point: value})


@record
@dataclass(frozen=True, eq=False)
class Features:
    """Which elements of the point belong together as one feature.

    ``segments`` is a long tensor ``[batch, …]`` that broadcasts to the point; -1 belongs to no feature. ``labels`` and
    ``spans`` (character offsets) are per example, or None where features are just numbered.
    """

    kind: str
    segments: Tensor
    labels: tuple[tuple[str, ...], ...] | None = None
    spans: tuple[tuple[tuple[int, int], ...], ...] | None = None

    def counts(self) -> tuple[int, ...]:
        """The number of features of each example."""
        return tuple(int(segments.max()) + 1 for segments in self.segments)

    def rows(self, index: slice) -> "Features":
        """The features of some of the examples."""
        labels = None if self.labels is None else self.labels[index]
        spans = None if self.spans is None else self.spans[index]
        return Features(self.kind, self.segments[index], labels, spans)

    def sums(self, scores: Tensor) -> tuple[Tensor, ...]:
        """The sum of ``scores`` (``[batch, …]``) over each feature: one vector per example."""
        result = []
        for example, segments, number in zip(scores, self.segments, self.counts(), strict=True):
            flat = segments.expand_as(example).reshape(-1)
            inside = flat >= 0
            sums = torch.zeros(number, dtype=torch.float64)
            sums.index_add_(0, flat[inside], example.reshape(-1)[inside].double())
            result.append(sums.to(example.dtype))
        return tuple(result)

    def spread(self, values: Sequence[Tensor], like: Tensor) -> Tensor:
        """The inverse of :meth:`sums`: each feature's value divided evenly over its elements, in the shape of
        ``like``."""
        result = torch.zeros_like(like)
        for example, vector, segments in zip(result, values, self.segments, strict=True):
            flat = segments.expand_as(example).reshape(-1)
            inside = flat >= 0
            sizes = torch.bincount(flat[inside], minlength=len(vector)).clamp(min=1)
            example.view(-1)[inside] = (vector / sizes).to(like.dtype)[flat[inside]]
        return result


@dataclass(frozen=True)
class Layer:
    """A place inside a network that can be captured or replaced: module path, kind, output shape, number of calls."""

    name: str
    kind: str
    shape: tuple[int, ...] | None
    calls: int = 1


@dataclass(frozen=True)
class Run:
    """One pass: ``scores`` ``[batch, outputs]`` (or with positions in between) and the captured activations."""

    scores: Tensor
    activations: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Domain:
    """What elements of the point mean in units a person knows, ``point × factor + offset``, and which values they can take.

    ``factor`` and ``offset`` broadcast to one example's point, and so does ``integers``, True where only whole numbers (in
    those units) occur. ``choices`` are the columns, numbered, of which exactly one is 1 and the others are 0, by name.
    A task that knows this has a method ``domain()``.
    """

    factor: Tensor
    offset: Tensor
    integers: Tensor | None = None
    choices: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Edit:
    """One change to one raw input: what it does in words, and a function that makes the changed input.

    The function leaves its argument as it is; where it finds nothing to change, it returns it.
    """

    said: str
    apply: Callable[[Any], Any]


class Task(Protocol):
    """What a model is for: how raw input becomes tensors, and what inputs, outputs and features mean."""

    modality: Modality
    output: OutputKind
    labels: tuple[str, ...] | None

    def prepare(self, raw: Any) -> Inputs:
        """Raw input, a list of raw inputs, or tensors in the model's own space, as ``Inputs``."""

    def example(self) -> Inputs | None:
        """Some valid inputs, to measure a model with; None where their shape is not known."""

    def bounds(self, inputs: Inputs) -> tuple[Tensor, Tensor] | None:
        """The lowest and highest value an element of the point can take, broadcastable to it; None if unbounded."""

    def baselines(self) -> tuple[str, ...]:
        """The names that :meth:`baseline` knows, the task's default first."""

    def baseline(self, inputs: Inputs, name: str, seed: int = 0) -> Tensor:
        """What stands for "no information", in the shape of the point."""

    def groupings(self) -> tuple[str, ...]:
        """The names that :meth:`features` knows, the task's default first."""

    def features(self, inputs: Inputs, grouping: str, number: int | None = None) -> Features:
        """A grouping of the elements of the point; ``number`` is how many features are wanted where that is free."""

    def edits(self, raw: Any, script: str) -> tuple[Edit, ...]:
        """The edits that a script asks for, in its order, such as ``"age = 35; hours += 5"``.

        ``raw`` is one example as its origin holds it, or its point where it has no other form. Raises ``UsageError`` with
        the nearest names where the script cannot be read, or asks for what ``raw`` does not have.
        """

    def changes(self, raw: Any, other: Any) -> tuple[Edit, ...]:
        """The edits that together make ``other``, a raw input too, of ``raw``; none where they are the same."""

    def describe(self) -> dict[str, Any]:
        """Everything that changes the preparation or the meaning of outputs: part of the subject's fingerprint."""


@runtime_checkable
class Subject(Protocol):
    """A model and what it is for. Every kind of model is reached through this and nothing else."""

    name: str
    task: Task

    @property
    def offers(self) -> frozenset[Access]:
        """What a method may reach."""

    @property
    def structure(self) -> frozenset[Structure]:
        """Parts of the architecture a method may need."""

    @property
    def fingerprint(self) -> str:
        """Digest of weights, architecture and preparation; recomputed when they change."""

    @property
    def module(self) -> torch.nn.Module | None:
        """The torch module of a subject that offers weights, else None."""

    def with_module(self, module: torch.nn.Module) -> "Subject":
        """The same kind of subject with the same task and another torch module, such as a changed copy of its own.

        Raises ``NotAnswerable`` where a subject has no module.
        """

    def prepare(self, raw: Any) -> Inputs:
        """Raw input as prepared inputs, on the CPU."""

    def scores(self, inputs: Any) -> Tensor:
        """``[batch, outputs]`` (with positions in between where the model answers per position), on the CPU."""

    def run(
        self,
        inputs: Inputs,
        *,
        capture: Sequence[str] = (),
        replace: Mapping[str, Replacement] | None = None,
        differentiable: bool | str = False,
        original: bool = False,
        partial: bool = False,
    ) -> Run:
        """One pass over prepared inputs.

        ``capture`` and ``replace`` name layers (``"block.3"``, its second call ``"block.3#1"``). A replacement is
        a tensor, or a function of what the layer returns, which sees what earlier replacements have made of it. A tensor
        for one example may have many rows: what lies below the layer is then computed once for all of them. With
        ``differentiable`` the scores carry a graph back to the tensors; where it names a layer, back to that layer's
        activation only, which is captured, and nothing below is recorded. ``original`` forbids the private prepared
        copy of the model, for callers that watch the model's own modules. With ``partial`` the pass ends as soon as all
        that is named in ``capture`` was captured: scores are then empty, ``[batch, 0]``; a private copy may be run that
        answers the same up to rounding.
        """

    def layers(self, inputs: Inputs | None = None) -> tuple[Layer, ...]:
        """The layers in the order in which they first return, with their shapes for ``inputs`` (the task's example)."""

    def batch_size(self, inputs: Inputs) -> int:
        """How many examples at a time respect the byte budget."""


def single(inputs: Inputs, what: str) -> None:
    """Refuse more than one example where a method answers for one."""
    if len(inputs) != 1:
        raise UsageError(f"{what} takes one example at a time, not {len(inputs)}; call it once per example")
