"""Variables: what can be set in every case to see what changes, in units that a person knows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import BadInput, UsageError, nearest
from pellucid.core.spec import Modality
from pellucid.core.subject import Inputs, Subject


@dataclass(frozen=True, eq=False)
class Variable:
    """One number of the point, or one choice among several of which exactly one is 1.

    ``elements`` are its places in the flat point; a value in a person's units is ``point × factor + offset``. ``labels``
    name the choices, whose values are 0, 1, …; without them the variable is a number. ``present`` ``[cases]`` is False
    where a case does not have it, because it ends before.
    """

    name: str
    elements: tuple[int, ...]
    factor: Tensor
    offset: Tensor
    present: Tensor
    labels: tuple[str, ...] | None = None

    def values(self, point: Tensor) -> Tensor:
        """The variable's value in every case of ``point`` ``[cases, …]``: ``[cases]``, float64."""
        own = point.flatten(1)[:, list(self.elements)].double() * self.factor + self.offset
        return own[:, 0] if self.labels is None else own.argmax(1).double()

    def replaced(self, point: Tensor, values: Tensor) -> Tensor:
        """The same cases with other values ``[cases]``, all else as it was."""
        flat = point.flatten(1).clone()
        if self.labels is None:
            wanted = values[:, None]
        else:
            wanted = torch.nn.functional.one_hot(values.long(), len(self.labels)).double()
        flat[:, list(self.elements)] = ((wanted - self.offset) / self.factor).to(flat.dtype)
        return flat.view(point.shape)


def variables(subject: Subject, inputs: Inputs, wanted: Sequence[str | int] | None) -> tuple[Variable, ...]:
    """The variables that are named, in this order; all of a table, or of a plain vector, where none is.

    In a table a variable is a column, by name or number, or a choice among columns that the task knows. In channels over
    time and in other tensors it is one element: ``"40:pulse"``, ``"3:1"``; in characters a position: 7. Raises
    ``UsageError`` for what is not there.
    """
    names = _names(subject, inputs)
    if wanted is None:
        if names is None:
            raise UsageError(
                f"name what is to be varied: features=…, elements of {tuple(inputs.value.shape[1:])} as '4:0'"
            )
        inside = {number for group in _choices(subject).values() for number in group}
        wanted = [*(number for number in range(len(names)) if number not in inside), *_choices(subject)]
    return tuple(_variable(subject, inputs, word, names) for word in wanted)


def words(features: Any, known: Sequence[str]) -> list[str | int]:
    """The features that a field names: one or several, text with commas too where it is not a name itself."""
    if isinstance(features, str) and features not in known:
        features = tuple(word.strip() for word in features.split(","))
    listed = [features] if isinstance(features, str | int) else list(features)
    return [int(word) if isinstance(word, str) and word not in known and word.isdigit() else word for word in listed]


def known_names(subject: Subject, inputs: Inputs) -> tuple[str, ...]:
    """The names of columns, and of choices among them."""
    return (*(_names(subject, inputs) or ()), *_choices(subject))


def _names(subject: Subject, inputs: Inputs) -> tuple[str, ...] | None:
    """The names of the elements of a vector; None where the point has more axes."""
    if inputs.value.ndim != 2:
        return None
    if subject.task.modality is Modality.TABULAR:
        return (subject.task.features(inputs, subject.task.groupings()[0]).labels or ((),))[0]
    return tuple(f"element {number}" for number in range(inputs.value.shape[1]))


def _choices(subject: Subject) -> dict[str, tuple[int, ...]]:
    domain = getattr(subject.task, "domain", None)
    return {} if domain is None else dict(domain().choices)


def _variable(subject: Subject, inputs: Inputs, word: str | int, names: tuple[str, ...] | None) -> Variable:
    choices, vocabulary = _choices(subject), getattr(subject.task, "vocabulary", None)
    present = torch.ones(len(inputs), dtype=torch.bool)
    if isinstance(word, str) and word in choices:
        return _made(subject, inputs, word, choices[word], present, tuple((names or ())[n] for n in choices[word]))
    if names is not None:
        number = _numbered(word, names)
        return _made(subject, inputs, names[number], (number,), present)
    shape = tuple(inputs.value.shape[1:])
    if vocabulary is not None:
        position = _within(word, shape[0])
        present = present if inputs.mask is None else inputs.mask[:, position]
        elements = range(position * shape[1], (position + 1) * shape[1])
        return _made(subject, inputs, f"position {position}", tuple(elements), present, tuple(vocabulary))
    place = _place(word, shape, getattr(subject.task, "channels", None) or ())
    if inputs.mask is not None:
        present = inputs.mask[:, place[0]]
    flat = sum(number * math.prod(shape[axis + 1 :]) for axis, number in enumerate(place))
    return _made(subject, inputs, str(word), (flat,), present)


def _made(
    subject: Subject,
    inputs: Inputs,
    name: str,
    elements: tuple[int, ...],
    present: Tensor,
    labels: tuple[str, ...] | None = None,
) -> Variable:
    if not bool(present.any()):
        raise BadInput(f"no case has {name}: all of them end before")
    domain = getattr(subject.task, "domain", None)
    if domain is None:
        factor, offset = torch.ones(len(elements)), torch.zeros(len(elements))
    else:
        known = domain()
        shape = inputs.value.shape[1:]
        factor, offset = (part.expand(shape).flatten()[list(elements)] for part in (known.factor, known.offset))
    return Variable(name, elements, factor.double(), offset.double(), present, labels)


def _numbered(word: str | int, names: tuple[str, ...]) -> int:
    if isinstance(word, str) and word in names:
        return names.index(word)
    if isinstance(word, str):
        raise UsageError(f"there is no column {word!r}; {nearest(word, names)}")
    return _within(word, len(names))


def _within(word: str | int, size: int) -> int:
    if not isinstance(word, int) or not -size <= word < size:
        raise UsageError(f"there is no place {word!r}: places are 0 to {size - 1}")
    return word % size


def _place(word: str | int, shape: tuple[int, ...], channels: Sequence[str]) -> tuple[int, ...]:
    parts = str(word).split(":")
    if len(parts) != len(shape):
        raise UsageError(f"{word!r} is not one element of {shape}; name {len(shape)} numbers, such as '4:0'")
    named = [channels.index(part) if axis == 1 and part in channels else part for axis, part in enumerate(parts)]
    if not all(isinstance(part, int) or part.lstrip("-").isdigit() for part in named):
        raise UsageError(f"{word!r} is not an element of {shape}; {nearest(parts[-1], channels)}")
    return tuple(_within(int(part), size) for part, size in zip(named, shape, strict=True))
