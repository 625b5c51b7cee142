"""What may change in one example, within which bounds, and what each change costs: the space of a search."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Union

import torch
from torch import Tensor

from pellucid.core.errors import UsageError, nearest
from pellucid.core.subject import Domain, Features, Inputs, Subject
from pellucid.engine.attributing import readable_features

Norm = Literal["l1", "l2"]
Names = Union[str, tuple[str, ...], None]
_ROUNDING = 1e-5
_SINGLE = 5e-7


@dataclass(frozen=True)
class SearchSpace:
    """One example's elements, flat, as *offsets* from ``origin`` in units of their cost: 0 is the origin itself.

    An offset of 1 costs 1, so that the cost of a change is its plain L1 or L2 ``norm``. ``low`` ≤ 0 ≤ ``high`` bound
    offsets; what must not change has 0 for both. ``features`` ``[elements]`` numbers what a person changes as one.
    ``choices`` are elements of which one is 1 and the others 0, ``whole`` (bool) those that are whole numbers, in own units
    (``point × factor + shift``); changing a choice costs 1.
    """

    origin: Tensor
    unit: Tensor
    low: Tensor
    high: Tensor
    features: Tensor
    factor: Tensor
    shift: Tensor
    whole: Tensor
    choices: tuple[Tensor, ...]
    norm: Norm
    shape: torch.Size
    dtype: torch.dtype

    def points(self, offsets: Tensor) -> Tensor:
        """Offsets ``[n, elements]`` as the subject reads them, ``[n, …point]``."""
        moved = torch.where(offsets == 0, self.origin, self.origin + offsets * self.unit)
        return moved.to(self.dtype).view(len(offsets), *self.shape)

    def offsets(self, points: Tensor) -> Tensor:
        """The inverse of :meth:`points`."""
        return (points.flatten(1).double() - self.origin) / self.unit

    def clamped(self, offsets: Tensor) -> Tensor:
        """The nearest offsets within the bounds."""
        return torch.maximum(torch.minimum(offsets, self.high), self.low)

    def cost(self, offsets: Tensor) -> Tensor:
        """The cost of each row, ``[n]``."""
        return offsets.abs().sum(1) if self.norm == "l1" else offsets.square().sum(1).sqrt()

    def changed(self, offsets: Tensor) -> Tensor:
        """Which features differ from the origin, ``[n, features]``."""
        number = int(self.features.max()) + 1
        counts = torch.zeros(len(offsets), number).index_add_(1, self.features, (offsets != 0).float())
        return counts > 0

    @property
    def movable(self) -> Tensor:
        """Which elements may change at all, ``[elements]``."""
        return self.high > self.low

    @property
    def discrete(self) -> Tensor:
        """Which elements take some values only, ``[elements]``."""
        found = self.whole.clone()
        for group in self.choices:
            found[group] = True
        return found

    def only(self, features: Tensor) -> "SearchSpace":
        """The same space in which only these features (bool) may change."""
        open_ = features[self.features]
        zero = torch.zeros_like(self.low)
        return replace(self, low=torch.where(open_, self.low, zero), high=torch.where(open_, self.high, zero))

    def beside(self, offsets: Tensor) -> "SearchSpace":
        """The space of numbers only, around an example with the choices that these offsets ``[elements]`` make."""
        chosen = torch.zeros_like(self.whole)
        for group in self.choices:
            chosen[group] = True
        zero = torch.zeros_like(self.low)
        origin = self.points(torch.where(chosen, offsets, zero)[None])[0].flatten().double()
        low, high = (torch.where(chosen, zero, bound) for bound in (self.low, self.high))
        return replace(self, origin=origin, low=low, high=high)

    def snapped(self, offsets: Tensor, outwards: bool = False) -> Tensor:
        """The nearest offsets whose choices and whole numbers are such, within the bounds.

        With ``outwards`` whole numbers are those that lie farther from the origin.
        """
        found = self.clamped(offsets)
        if bool(self.whole.any()):
            found = torch.where(self.whole & (found != 0), self._rounded(found, outwards), found)
        for group in self.choices:
            found[:, group] = self._chosen(found, group)
        return found

    def options(self, group: Tensor) -> Tensor:
        """The offsets of each other value of a choice, ``[options, elements of the group]``."""
        held = self._held(group)
        free = self.movable[group]
        return self._one_hot(group)[free & free[held] & (torch.arange(len(group)) != held)]

    def kept(self, offsets: Tensor, most: int | None) -> Tensor:
        """Whether rows keep to the bounds, the choices, the whole numbers and to at most this many changes: ``[n]``."""
        room = _ROUNDING * (1 + offsets.abs())
        fine = ((offsets >= self.low - room) & (offsets <= self.high + room)).all(1)
        own, changed = self._own(offsets), offsets != 0
        # What single precision leaves of a whole number when it is scaled and shifted.
        close = (own - own.round()).abs() <= _SINGLE * (own.abs() + self.shift.abs() + self.factor.abs())
        fine &= (close | ~(self.whole & changed)).all(1)
        for group in self.choices:
            valid = close[:, group].all(1) & (own[:, group].round().sum(1) == 1) & (own[:, group].round() >= 0).all(1)
            fine &= valid | ~changed[:, group].any(1)
        return fine if most is None else fine & (self.changed(offsets).sum(1) <= most)

    def _own(self, offsets: Tensor) -> Tensor:
        return (self.origin + offsets * self.unit) * self.factor + self.shift

    def _rounded(self, offsets: Tensor, outwards: bool) -> Tensor:
        own = self._own(offsets)
        away = torch.where(offsets > 0, own.ceil(), own.floor())
        lowest, highest = (self._own(bound[None]) for bound in (self.low, self.high))
        wanted = away if outwards else own.round()
        wanted = torch.where(wanted > highest + _ROUNDING, highest.floor(), wanted)
        wanted = torch.where(wanted < lowest - _ROUNDING, lowest.ceil(), wanted)
        found = ((wanted - self.shift) / self.factor - self.origin) / self.unit
        # Whole numbers beside an origin that is none: going back towards it means not to move.
        same = (wanted - self._own(torch.zeros_like(offsets))).abs() < _ROUNDING
        return torch.where(same | (found * offsets < 0), torch.zeros_like(found), found)

    def _held(self, group: Tensor) -> int:
        """The place in a group of the value that the example itself has."""
        return int((self.origin * self.factor + self.shift)[group].argmax())

    def _chosen(self, offsets: Tensor, group: Tensor) -> Tensor:
        """The option that each row is nearest to, of those that occur within the bounds."""
        held, free = self._held(group), self.movable[group]
        if not bool(free[held]):
            return torch.zeros_like(offsets[:, group])
        best = torch.where(free, self._own(offsets)[:, group], -torch.inf).argmax(1)
        found = self._one_hot(group)[best]
        return torch.where((best == held)[:, None], torch.zeros_like(found), found)

    def _one_hot(self, group: Tensor) -> Tensor:
        wanted = torch.eye(len(group), dtype=torch.float64)
        points = (wanted - self.shift[group]) / self.factor[group]
        found = (points - self.origin[group]) / self.unit[group]
        return torch.where(found.abs() < _ROUNDING, torch.zeros_like(found), found)


def search_space(
    subject: Subject,
    one: Inputs,
    norm: Norm,
    weights: str | Tensor = "none",
    immutable: Union[Names, Tensor] = None,
    increasing: Names = None,
    decreasing: Names = None,
) -> tuple[SearchSpace, Features]:
    """The space around one example, and its features.

    ``weights`` are 1 / MAD of the task's reference rows (``"mad"``; the deviation where that is 0), 1, or a tensor that
    broadcasts to the point: what a change by 1 costs. ``immutable`` names features, or is True where elements stay.
    """
    value = one.value[0]
    domain = _domain(subject, value)
    flat = lambda tensor: tensor.to(torch.float64).expand(value.shape).reshape(-1).clone()  # noqa: E731
    factor, shift = flat(domain.factor), flat(domain.offset)
    whole = torch.zeros(value.numel(), dtype=torch.bool) if domain.integers is None else flat(domain.integers) > 0
    choices = tuple(torch.tensor(group) for group in domain.choices.values())
    features = _features(subject, one, domain)
    names = () if features.labels is None else features.labels[0]
    numbers = features.segments[0].expand(value.shape).reshape(-1)
    unit = 1 / _weights(subject, value, weights)
    for group in choices:
        unit[group] = (2.0 if norm == "l1" else 2.0**0.5) / factor[group]
    origin = flat(value)
    low, high = _bounds(subject, one, origin)
    low, high = (low - origin) / unit, (high - origin) / unit
    low = torch.where(_named(increasing, names, numbers, choices, "increasing"), torch.zeros_like(low), low)
    high = torch.where(_named(decreasing, names, numbers, choices, "decreasing"), torch.zeros_like(high), high)
    still = (
        flat(immutable) > 0 if isinstance(immutable, Tensor) else _named(immutable, names, numbers, None, "immutable")
    )
    if one.mask is not None:
        mask = one.mask[0].view(*one.mask.shape[1:], *[1] * (value.ndim - one.mask.ndim + 1))
        still = still | ~mask.expand(value.shape).reshape(-1)
    low, high = (torch.where(still, torch.zeros_like(bound), bound) for bound in (low, high))
    space = SearchSpace(
        origin, unit, low, high, numbers, factor, shift, whole, choices, norm, value.shape, one.value.dtype
    )
    return space, features


def _domain(subject: Subject, value: Tensor) -> Domain:
    known = getattr(subject.task, "domain", None)
    return Domain(torch.ones(()), torch.zeros(())) if known is None else known()


def _features(subject: Subject, one: Inputs, domain: Domain) -> Features:
    """The readable features, the elements of a choice being one."""
    found = readable_features(subject, one)
    if not domain.choices:
        return found
    names = list(found.labels[0]) if found.labels is not None else []
    owner = {element: name for name, group in domain.choices.items() for element in group}
    kept = list(dict.fromkeys(owner.get(element, name) for element, name in enumerate(names)))
    numbers = torch.tensor([[kept.index(owner.get(element, name)) for element, name in enumerate(names)]])
    return Features(found.kind, numbers, (tuple(kept),))


def _weights(subject: Subject, value: Tensor, weights: str | Tensor) -> Tensor:
    if isinstance(weights, Tensor):
        try:
            given = weights.to(torch.float64).expand(value.shape).reshape(-1).clone()
        except RuntimeError as error:
            raise UsageError(f"weights of shape {tuple(weights.shape)} do not fit {tuple(value.shape)}") from error
        if bool((given <= 0).any()) or not bool(given.isfinite().all()):
            raise UsageError("weights are finite and above 0; what must not change at all is immutable")
        return given
    rows = getattr(subject.task, "reference", None)
    if weights == "none" or rows is None:
        return torch.ones(value.numel(), dtype=torch.float64)
    rows = rows.flatten(1).double()
    spread = (rows - rows.median(0).values).abs().median(0).values
    spread = torch.where(spread > 1e-6, spread, rows.std(0))
    return 1 / torch.where(spread > 1e-6, spread, torch.ones_like(spread))


def _bounds(subject: Subject, one: Inputs, origin: Tensor) -> tuple[Tensor, Tensor]:
    """The task's bounds, wide enough for the example itself."""
    known = subject.task.bounds(one)
    if known is None:
        endless = torch.full_like(origin, torch.inf)
        return -endless, endless
    low, high = (bound.double().expand_as(one.value)[0].reshape(-1) for bound in known)
    return torch.minimum(low, origin), torch.maximum(high, origin)


def _named(
    given: Names, names: Sequence[str], numbers: Tensor, choices: tuple[Tensor, ...] | None, what: str
) -> Tensor:
    """Which elements belong to the named features, ``[elements]``."""
    found = torch.zeros(len(numbers), dtype=torch.bool)
    words = [word.strip() for word in given.split(",")] if isinstance(given, str) else (given or ())
    for word in words:
        if word not in names:
            known = (
                nearest(word, names) if names else "features have no names here; give a tensor, True where they stay"
            )
            raise UsageError(f"{what}: there is no feature {word!r}; {known}")
        own = numbers == names.index(word)
        if choices is not None and any(bool(own[group].any()) for group in choices):
            raise UsageError(f"{what}: {word!r} is a choice, which has no order; make it immutable or leave it out")
        found |= own
    return found
