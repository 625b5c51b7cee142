"""Erasing and restoring features in an order, and what the explained quantity becomes: what most metrics watch.

Inside :func:`shared_calls` the model is never asked twice about the same example with the same features erased in the same
way, whatever metric or map wants to know, and no method about the same other inputs.
"""

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.errors import BadInput
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.attributing import finest_grouping
from pellucid.engine.coalitions import Game, play, players
from pellucid.engine.judged import Case
from pellucid.engine.perturb import Baseline, Grouping, baseline_value
from pellucid.engine.targets import Target

ErasedTogether = Annotated[
    Grouping, "what is erased together: a grouping of the task; None: single pixels, words, columns or elements"
]

T = TypeVar("T")

_known: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("known", default=None)
_MASK_BYTES = 64 * 1024 * 1024


@contextlib.contextmanager
def shared_calls() -> Iterator[None]:
    """Let all metrics inside share what the model has answered about erased features, and methods about other inputs."""
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def shared(subject: Subject, inputs: Inputs, target: Target, about: Sequence[Any], make: Callable[[], T]) -> T:
    """What ``make`` gives for this question and what else it is ``about``; inside :func:`shared_calls` it is made once."""
    known = _known.get()
    if known is None:
        return make()
    name = digest(
        [subject.fingerprint, dict(inputs.tensors), inputs.mask, target.of, target.index, target.foil, *about]
    )
    if name not in known:
        known[name] = make()
    found: T = known[name]
    return found


def erasable(case: Case, wanted: Grouping, number: int | None = None) -> Features:
    """The features of a case that can be erased, by default the finest that a person can read; padding belongs to none.

    Raises ``BadInput`` where it has none.
    """
    features = players(case.subject, case.inputs, finest_grouping(case.subject) if wanted is None else wanted, number)
    if min(features.counts()) < 1:
        raise BadInput("an example has no feature that could be erased; give it some input")
    return features


def game_of(case: Case, features: Features, cover: Baseline, seed: int = 0) -> Game:
    """What answers which features are shown; ``cover``, a baseline, stands where one is erased."""
    erased = baseline_value(case.subject, case.inputs, cover, seed)
    asked = case.subject, case.inputs, case.target
    return shared(*asked, (features.segments, erased), lambda: Game(*asked, features, erased))


def orders(case: Case, features: Features, *, ascending: bool = False) -> Tensor:
    """The features from the highest to the lowest sum of scores, ``[rows, features]``; ties go to the first."""
    return ranked(relevances(case, features), ascending=ascending)


def ranked(values: Tensor, *, ascending: bool = False) -> Tensor:
    """The places of each row's ``values`` from the highest to the lowest, or ``ascending``; ties go to the first."""
    keys = values if ascending else -values
    order = torch.from_numpy(np.argsort(keys.numpy(), axis=1))  # several times as fast as a stable sort
    sorted_keys = keys.gather(1, order)
    tied = (sorted_keys[:, 1:] == sorted_keys[:, :-1]).any(1)
    order[tied] = keys[tied].argsort(dim=1, stable=True)
    return order


def relevances(case: Case, features: Features) -> Tensor:
    """The sum of scores over each feature, by map: ``[rows, features]``, float64."""
    index = features.segments.expand(case.inputs.value.shape).reshape(-1)
    inside = index >= 0
    sums = torch.zeros(len(case.maps), features.counts()[0], dtype=torch.float64)
    return sums.index_add_(1, index[inside], case.maps.flatten(1)[:, inside])


def stages(number: int, steps: int, most: float = 1.0) -> Tensor:
    """How many of ``number`` features are gone at each stage: ``0`` to the share ``most``, in at most ``steps`` even
    steps of one feature or more."""
    last = max(1, round(most * number))
    return torch.linspace(0, last, min(steps, last) + 1, dtype=torch.float64).round().long()


@dataclass(frozen=True)
class Walk:
    """One example's features on their way out, in the orders of several maps.

    ``order`` is ``[rows, features]``; ``gone`` says how many features are erased at each stage, or with ``restoring`` how
    many are shown while all others are erased.
    """

    game: Game
    order: Tensor
    gone: Tensor
    restoring: bool = False

    @property
    def size(self) -> int:
        """The bytes of its masks, and of what the game holds."""
        return self.order.numel() * len(self.gone) + self.game.size

    def parts(self) -> "list[Walk]":
        """The same walk in parts of few enough rows for their masks to be held at once."""
        at_once = max(1, _MASK_BYTES // (self.order.shape[1] * len(self.gone)))
        return [dataclasses.replace(self, order=order) for order in self.order.split(at_once)]

    def masks(self) -> Tensor:
        """Which features are shown at each stage of each row: ``[rows × stages, features]``."""
        places = torch.arange(self.order.shape[1]).expand_as(self.order)
        ranks = torch.empty_like(self.order).scatter_(1, self.order, places)
        early = ranks[:, None, :] < self.gone[None, :, None]
        return (early if self.restoring else ~early).flatten(0, 1)


def walked(walks: Iterable[Walk]) -> Iterator[tuple[Tensor, Tensor]]:
    """What the explained quantity becomes on each walk, ``[rows, stages]``, behind the share gone or shown at each.

    Short walks are asked of the model together, several examples at a time.
    """
    waiting: list[Walk] = []
    held = 0
    for walk in walks:
        if waiting and held + walk.size > _MASK_BYTES:
            yield from _together(waiting)
            waiting, held = [], 0
        waiting.append(walk)
        held += walk.size
    yield from _together(waiting)


def curves(game: Game, order: Tensor, gone: Tensor, *, restoring: bool = False) -> Tensor:
    """What the explained quantity becomes on a single walk: ``[rows, stages]``."""
    ((_, found),) = walked([Walk(game, order, gone, restoring)])
    return found


def _together(walks: Sequence[Walk]) -> Iterator[tuple[Tensor, Tensor]]:
    if len(walks) == 1:
        heights = [torch.cat([part.game(part.masks()) for part in walks[0].parts()])]
    else:
        heights = play([(walk.game, walk.masks()) for walk in walks])
    for walk, height in zip(walks, heights, strict=True):
        yield walk.gone.double() / walk.gone[-1], height.view(len(walk.order), len(walk.gone))


def area_under(curve: Tensor, share: Tensor) -> Tensor:
    """The area under each curve ``[rows, stages]`` over ``share`` ``[stages]``, by the trapezoid rule, as a mean height."""
    return torch.trapezoid(curve, share, dim=1) / (share[-1] - share[0])
