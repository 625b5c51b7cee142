"""Edits of arrays and sequences: elements, positions and channels set to values."""

import functools
import re
from collections.abc import Sequence

from torch import Tensor

from pellucid.core.errors import UsageError, nearest
from pellucid.core.subject import Edit
from pellucid.tasks.editing import Assignment, assignment, statements

_EXAMPLE = "3 = 0.5, 2:5 = 0, or row,column = 1"


def array_edits(raw: Tensor, script: str, channels: Sequence[str] = ()) -> tuple[Edit, ...]:
    """``3 = 0.5``, ``2:5 += 1``, ``0,2 = 0``: numbers or ranges along the axes, counted from 0, set to a value.

    Along the last axis ``channels`` have names: ``2:5, pulse = 0``; ``:`` is all of an axis.
    """
    return tuple(_assigned(raw, assignment(part, _EXAMPLE), channels) for part in statements(script))


def array_changes(raw: Tensor, other: Tensor) -> tuple[Edit, ...]:
    """One edit for each place along the first axis at which another array of the same shape differs."""
    if raw.shape != other.shape:
        raise UsageError(f"the other input has shape {tuple(other.shape)} and this one {tuple(raw.shape)}; keep it")
    places = (raw != other).reshape(len(raw), -1).any(1).nonzero().flatten().tolist()
    return tuple(Edit(f"another value at {place}", functools.partial(_put, place, other[place])) for place in places)


def character_edits(raw: str, script: str, vocabulary: Sequence[str]) -> tuple[Edit, ...]:
    """``4 = x`` and ``2:5 = abc``: characters at places, counted from 0, changed for as many others."""
    found = []
    for part in statements(script):
        told = assignment(part, '4 = x, or 2:5 = "abc"')
        place = _along(told.place, len(raw), ())
        new, old = told.value, raw[place] if isinstance(place, slice) else raw[place : place + 1]
        unknown = [character for character in new if character not in vocabulary]
        if told.sign != "=" or len(new) != len(old) or unknown:
            wrong = (
                f"{unknown[0]!r} is not a character that the model knows" if unknown else f"{told.value!r} does not fit"
            )
            raise UsageError(f"cannot put {told.value!r} in the place of {old!r}: {wrong}; give {len(old)} of its own")
        start = place.indices(len(raw))[0] if isinstance(place, slice) else place
        found.append(_spelled(start, old, new))
    return tuple(found)


def _spelled(start: int, old: str, new: str) -> Edit:
    return Edit(f"“{old}” at {start} to “{new}”", lambda text: text[:start] + new + text[start + len(old) :])


def _assigned(raw: Tensor, told: Assignment, channels: Sequence[str]) -> Edit:
    parts = [part.strip() for part in told.place.split(",")]
    if len(parts) > raw.ndim:
        raise UsageError(f"the place {told.place!r} has {len(parts)} parts; the input has {raw.ndim} axes")
    names = [channels if axis == raw.ndim - 1 else () for axis in range(raw.ndim)]
    place = tuple(_along(part, size, own) for part, size, own in zip(parts, raw.shape, names, strict=False))
    told.number(0.0)  # Whether it is one.

    def apply(value: Tensor) -> Tensor:
        changed = value.clone()
        changed[place] = changed[place].double().apply_(told.number).to(value.dtype)
        return changed

    return Edit(f"{told.place} {told.sign} {told.value}", apply)


def _put(place: int, new: Tensor, value: Tensor) -> Tensor:
    changed = value.clone()
    changed[place] = new
    return changed


def _along(part: str, size: int, names: Sequence[str]) -> int | slice:
    if part in names:
        return names.index(part)
    found = re.fullmatch(r"(-?\d*)\s*(:?)\s*(-?\d*)", part)
    if found is None or (not found[2] and not found[1]):
        known = nearest(part, names) if names else f"write it as {_EXAMPLE}"
        raise UsageError(f"there is no place {part!r}; {known}")
    if found[2]:
        return slice(int(found[1]) if found[1] else None, int(found[3]) if found[3] else None)
    number = int(found[1])
    if not -size <= number < size:
        raise UsageError(f"there is no place {number}; this axis has the places 0 to {size - 1}")
    return number % size
