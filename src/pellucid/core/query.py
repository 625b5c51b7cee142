"""What can be asked. A query is a frozen record; variants of a question are fields, never classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args

from pellucid.core.content import by_content
from pellucid.core.errors import UsageError, nearest

Quantity = Literal["score", "logit", "probability", "log-probability", "loss"]


def _check_quantity(of: str, query: str) -> None:
    known = get_args(Quantity)
    if of not in known:
        raise UsageError(f"{query}(of={of!r}): {nearest(str(of), known)}")


@by_content
@dataclass(frozen=True, eq=False)
class Unit:
    """What does this unit respond to?

    ``layer`` is a module path, ``index`` a channel or a full index such as ``(channel, row, column)``. ``target`` is a
    class instead, and names the output layer. A unit may also stand as ``of`` of a :class:`Decision`.
    """

    layer: str | None = None
    index: int | tuple[int, ...] | None = None
    target: int | str | None = None
    data: Any = None


@by_content
@dataclass(frozen=True, eq=False)
class Decision:
    """Why this score for these inputs?

    ``inputs``: raw input that the task prepares (path, picture, text, row), a list of these, a tensor in the model's
    own space, or a mapping for several inputs. ``target`` and ``foil``: class index, label, or one of these per
    example; no target means the predicted class. Where outputs have positions, a target is ``(position, class)``.
    With a foil the question is ``of(target) − of(foil)``. ``at`` is ``"input"``, a layer (``"block.3"``) or its
    second call (``"block.3#1"``).
    """

    inputs: Any
    target: Any = None
    foil: Any = None
    of: Union[Quantity, Unit] = "score"
    at: str = "input"

    def __post_init__(self) -> None:
        if not isinstance(self.of, Unit):
            _check_quantity(self.of, "Decision")
        if isinstance(self.of, Unit) and (self.target is not None or self.foil is not None):
            raise UsageError("Decision: a unit as `of` has no target or foil; leave them out")


@by_content
@dataclass(frozen=True, eq=False)
class Code:
    """What does this representation of the inputs keep?"""

    inputs: Any
    layer: str


@by_content
@dataclass(frozen=True, eq=False)
class Representation:
    """How is this data arranged inside the network?"""

    layers: Sequence[str]
    data: Any


@by_content
@dataclass(frozen=True, eq=False)
class Pair:
    """Do networks (or layers, or checkpoints) agree?"""

    others: Sequence[Any]
    layers: Sequence[str] = ()
    data: Any = None


@by_content
@dataclass(frozen=True, eq=False)
class Concepts:
    """Does a human concept matter at this layer, for this class?"""

    layer: str
    concepts: Mapping[str, Any]
    target: int | str | None = None


@by_content
@dataclass(frozen=True, eq=False)
class Training:
    """Which training cases made it so?"""

    train: Any
    test: Any
    checkpoints: Sequence[Any] = ()


@by_content
@dataclass(frozen=True, eq=False)
class Population:
    """How does the model behave over people or cases?

    ``data``: the cases, as raw inputs that the task prepares. ``target`` and ``of`` say which quantity is looked at, as
    in :class:`Decision`; ``groups`` and ``features`` name columns, ``outcome`` the one that holds what is true.
    """

    data: Any
    groups: Sequence[str] = ()
    features: Sequence[str] = ()
    outcome: str | None = None
    target: Any = None
    of: Quantity = "score"

    def __post_init__(self) -> None:
        _check_quantity(self.of, "Population")


@by_content
@dataclass(frozen=True, eq=False)
class Judgement:
    """How good are these answers?

    ``results`` are answers that still know their decision (``Result.query``); all are judged on shared model calls.
    ``reference`` holds what is known to be true (masks), where a metric needs it.
    """

    results: Sequence[Any]
    reference: Any = None
    seed: int = 0


@by_content
@dataclass(frozen=True, eq=False)
class Fit:
    """Train something that can be understood, under this supervision."""

    data: Any
    supervision: Any = None


Query = Union[Decision, Unit, Code, Representation, Pair, Concepts, Training, Population, Judgement, Fit]
