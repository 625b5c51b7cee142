"""Captum's calls as one point: several inputs packed into it, arguments beside it, and a probe where a layer is asked about.

Captum explains ``forward_func(*inputs, *additional_forward_args)``; a subject has one point, and rows beside it.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.core.errors import NotAnswerable, UsageError

# Whole numbers up to here are exact in single precision, in which a model may be asked.
_EXACT = 2**24


class OneAnswer(NotAnswerable):
    """The model gives one number for a whole batch."""


@dataclass
class Layout:
    """How the arguments of a call come out of a point and what lies beside it.

    ``shapes`` and ``dtypes`` are those of the inputs, batch dimension included. ``beside`` are the other arguments, in
    their order: the name of a tensor with a row per example, or a value. Inputs stand at ``place`` among them. Inputs that
    are ``together`` have one row for their whole batch.
    """

    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[torch.dtype, ...]
    single: bool
    beside: tuple[tuple[bool, Any], ...] = ()
    place: int = 0
    together: bool = False

    @classmethod
    def of(
        cls, inputs: Any, beside: Sequence[Any], place: int = 0, together: bool = False
    ) -> "tuple[Layout, dict[str, Tensor]]":
        """The layout of a call, and the tensors that have a row per example."""
        tensors = as_tuple(inputs, "inputs")
        batch = len(tensors[0])
        if not together and any(len(tensor) != batch for tensor in tensors):
            raise UsageError(f"inputs differ in their number of examples: {[tuple(t.shape) for t in tensors]}")
        rows: dict[str, Tensor] = {}
        told: list[tuple[bool, Any]] = []
        for number, argument in enumerate(beside):
            varies = isinstance(argument, Tensor) and argument.ndim > 0 and len(argument) == batch and not together
            if varies:
                rows[f"argument{number}"] = argument.detach()
            told.append((varies, f"argument{number}" if varies else argument))
        shapes, dtypes = tuple(tuple(t.shape) for t in tensors), tuple(t.dtype for t in tensors)
        return cls(shapes, dtypes, isinstance(inputs, Tensor), tuple(told), place, together), rows

    @property
    def batch(self) -> int:
        """The number of rows of the point."""
        return 1 if self.together else self.shapes[0][0]

    @property
    def _flat(self) -> bool:
        """Whether the point is one row of numbers per example, because no one input has a shape to keep."""
        return len(self.shapes) > 1 or len(self._row(0)) < 1

    def _row(self, number: int) -> tuple[int, ...]:
        """The shape of one input in one row of the point."""
        return self.shapes[number] if self.together else self.shapes[number][1:]

    def precision(self, floating: bool) -> torch.dtype:
        """The type of numbers that holds all inputs, one with fractions where they are to be varied."""
        dtype = functools.reduce(torch.promote_types, self.dtypes)
        return torch.get_default_dtype() if floating and not dtype.is_floating_point else dtype

    def packed(self, values: Sequence[Any], dtype: torch.dtype) -> Tensor:
        """Values, each broadcast to its input, as a point of this type."""
        parts = []
        for number, (value, shape) in enumerate(zip(values, self.shapes, strict=True)):
            tensor = value.detach().cpu() if isinstance(value, Tensor) else torch.as_tensor(value)
            if _whole(tensor) and dtype.is_floating_point and int(tensor.long().abs().max()) > _EXACT:
                raise NotAnswerable(f"whole numbers above {_EXACT} cannot be varied exactly; number them anew from 0")
            try:
                tensor = tensor.to(dtype).expand(shape)
            except RuntimeError as error:
                raise UsageError(f"{tuple(tensor.shape)} does not fit the input of shape {shape}") from error
            parts.append(tensor.reshape(self.batch, *self._row(number)))
        return torch.cat([part.reshape(self.batch, -1) for part in parts], 1) if self._flat else parts[0]

    def split(self, point: Tensor) -> tuple[Tensor, ...]:
        """A point, of any number of rows, as one tensor per input and row."""
        if not self._flat:
            return (point,)
        sizes = [math.prod(self._row(number)) for number in range(len(self.shapes))]
        parts = point.split(sizes, dim=1)
        return tuple(part.reshape(len(point), *self._row(number)) for number, part in enumerate(parts))

    def arguments(self, point: Tensor, rows: dict[str, Tensor]) -> list[Any]:
        """All arguments of the call, the inputs as the types they were."""
        inputs = [part.to(dtype) for part, dtype in zip(self.split(point), self.dtypes, strict=True)]
        others = [rows[value] if varies else value for varies, value in self.beside]
        return [*others[: self.place], *inputs, *others[self.place :]]

    def restored(self, scores: Tensor) -> Any:
        """Scores of the point in the shapes of the inputs; of inputs together those of their first example, for all."""
        parts = self.split(scores)
        if self.together:
            firsts = [part[0, :1] for part in parts]
            parts = tuple(part if len(part) else part.new_zeros(1, *part.shape[1:]) for part in firsts)
        return parts[0] if self.single else parts

    def calls_alike(self, other: "Layout") -> bool:
        """Whether a model goes the same way for both: no more than the batch and what lies in tensors differs."""
        own, others = ([shape[1:] for shape in layout.shapes] for layout in (self, other))
        if (own, self.dtypes, self.place, self.together) != (others, other.dtypes, other.place, other.together):
            return False
        return len(self.beside) == len(other.beside) and all(map(_same, self.beside, other.beside))


@dataclass
class Place:
    """What lies at the layer that is asked about: the shapes of its tensors, batch dimension included."""

    shapes: list[tuple[int, ...]] = field(default_factory=list)
    single: bool = True
    calls: int = 0

    def split(self, value: Tensor) -> Any:
        """A value at the probe as the layer has it: one tensor, or a tuple."""
        if self.single:
            return value
        parts = value.split([math.prod(shape[1:]) for shape in self.shapes], dim=1)
        return tuple(part.reshape(-1, *shape[1:]) for part, shape in zip(parts, self.shapes, strict=True))


@dataclass
class Moment:
    """What a packed model is called with now, and what was at its layer; its prepared copies look here too."""

    layout: Layout
    at_layer: Place = field(default_factory=Place)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Moment":
        return self


class Packed(nn.Module):
    """A forward function of captum's as a module of a point and of tensors beside it.

    Where a ``layer`` is asked about, what it returns (or takes, ``before``) passes through ``probe``, by whose name it is
    read and replaced. With a ``neuron`` the answer is what that makes of the layer.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        layout: Layout,
        layer: nn.Module | None = None,
        before: bool = False,
        neuron: Callable[[Any], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.forward_func = forward_func
        owner = getattr(forward_func, "__self__", None)
        if isinstance(owner, nn.Module) and owner is not forward_func:
            self.owner = owner  # so that its mode and its type are known
        self.layer, self.probe, self.neuron = layer, nn.Identity(), neuron
        self.before, self.now = before, Moment(layout)

    def forward(self, point: Tensor, **rows: Tensor) -> Tensor:
        if self.now.layout.together:
            return torch.cat([self._one_answer(self._called(row[None], rows)) for row in point])
        answer = self._called(point, rows)
        if not isinstance(answer, Tensor) or answer.ndim == 0 or len(answer) != len(point):
            said = f"answers {tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__}"
            raise OneAnswer(f"the model {said} for {len(point)} examples; return one number per example")
        return answer

    def _called(self, point: Tensor, rows: dict[str, Tensor]) -> Any:
        arguments = self.now.layout.arguments(point, rows)
        if self.now.layout.together:
            first, last = self.now.layout.place, self.now.layout.place + len(self.now.layout.shapes)
            arguments[first:last] = [part[0] for part in arguments[first:last]]
        if self.layer is None:
            return self.forward_func(*arguments)
        seen: list[Any] = []
        self.now.at_layer.calls = 0
        with self._probing(seen):
            answer = self.forward_func(*arguments)
        if self.neuron is None:
            return answer
        if not seen:
            raise UsageError("the layer is not called in this pass, so that it has no unit to ask about")
        return self.neuron(seen[0])

    def _one_answer(self, answer: Any) -> Tensor:
        value = answer if isinstance(answer, Tensor) else torch.as_tensor(float(answer))
        if value.numel() != 1:
            raise UsageError(
                f"the model answers {tuple(value.shape)} for a whole batch; return one number, or one a row"
            )
        return value.reshape(1, 1)

    @contextlib.contextmanager
    def _probing(self, seen: list[Any]) -> Iterator[None]:
        assert self.layer is not None

        def before(module: nn.Module, given: tuple[Any, ...]) -> Any:
            return self._through(given if len(given) > 1 else given[0], seen)

        def after(module: nn.Module, given: tuple[Any, ...], output: Any) -> Any:
            return self._through(output, seen)

        hook = self.layer.register_forward_pre_hook(before) if self.before else self.layer.register_forward_hook(after)
        try:
            yield
        finally:
            hook.remove()

    def _through(self, value: Any, seen: list[Any]) -> Any:
        """The value of the layer, after the probe has seen it (and an engine has read or replaced it)."""
        place = self.now.at_layer
        place.single = isinstance(value, Tensor)
        place.calls += 1
        if place.calls > 1:
            raise NotAnswerable(
                "the layer is called more than once in a pass, so that it names no one place; "
                "ask natively at one of its calls: pl.Decision(…, at='name#1')"
            )
        parts = (value,) if place.single else value
        if not isinstance(parts, tuple) or not all(isinstance(part, Tensor) for part in parts):
            raise NotAnswerable(f"the layer holds a {type(value).__name__}, not tensors; ask at a layer inside it")
        place.shapes = [tuple(part.shape) for part in parts]
        point = value if place.single else torch.cat([part.reshape(len(part), -1) for part in parts], 1)
        passed = place.split(self.probe(point))
        # A copy, because what follows may write into it.
        seen.append(passed.clone() if place.single else tuple(part.clone() for part in passed))
        return passed


def _whole(tensor: Tensor) -> bool:
    return bool(tensor.numel()) and not tensor.is_floating_point()


def _same(one: tuple[bool, Any], other: tuple[bool, Any]) -> bool:
    (varies, value), (other_varies, other_value) = one, other
    plain = isinstance(value, str | int | float | None) and type(value) is type(other_value)
    return varies == other_varies and (value is other_value or (plain and value == other_value))


def as_tuple(value: Any, what: str) -> tuple[Tensor, ...]:
    """One tensor or a tuple of tensors as a tuple."""
    parts = (value,) if isinstance(value, Tensor) else value
    if not isinstance(parts, tuple) or not parts or not all(isinstance(part, Tensor) and part.ndim for part in parts):
        raise UsageError(f"{what} must be a tensor with a batch dimension or a tuple of these, not {_kind(value)}")
    return parts


def _kind(value: Any) -> str:
    return f"a tuple of {', '.join(type(v).__name__ for v in value)}" if isinstance(value, tuple) else str(type(value))
