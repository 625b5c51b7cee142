"""Coalitions: what the explained quantity of one example is with only some of its features shown."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import Annotated, Union

import numpy as np
import torch
from torch import Generator, Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.seeds import generator
from pellucid.core.spec import Modality
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine import sampling
from pellucid.engine.batching import evaluate
from pellucid.engine.perturb import Baseline, Grouping, baseline_value, blended, faded, grouping
from pellucid.engine.targets import Target

# The fields that methods have in common which show and hide features.
HiddenBy = Annotated[
    Union[Baseline, None], "what hides a feature; None: its own mean colour in a picture, else the task's default"
]
ShownTogether = Annotated[Grouping, "what is shown together; None: superpixels, words, columns or elements"]

_CODE_BYTES = 16


class Game:
    """One example's features as players: ``game(masks)`` is the explained quantity with only the features shown that
    each row of ``masks`` (``[n, features]``, bool) names: ``[n]``, float64. ``row`` is the example's place in its batch.

    ``hidden`` ``[batch, …point]`` stands where a feature is not shown. Nothing is asked of the model twice: coalitions
    that differ only in features which look the same hidden as shown are one, and ``asked`` counts those that were asked.
    Elements of no feature are always shown.
    """

    def __init__(
        self,
        subject: Subject,
        inputs: Inputs,
        target: Target,
        features: Features,
        hidden: Tensor,
        row: int = 0,
        what: str = "",
    ) -> None:
        self.subject, self._inputs, self._target, self.row, self._what = subject, inputs, target, row, what
        self._point, self._hidden, self._segments = inputs.value[row], hidden[row], features.segments[row]
        self.features = features.counts()[row]
        self._inert = sampling.inert(self._point, self._hidden, self._segments)
        self._known: dict[bytes, float] = {}

    @property
    def size(self) -> int:
        """The bytes of the example, shown and hidden."""
        return 2 * self._point.numel() * self._point.element_size()

    @property
    def asked(self) -> int:
        """How many coalitions the model was asked about."""
        return len(self._known)

    @property
    def unchanged(self) -> int:
        """How many features look the same hidden as shown, so that they cannot matter."""
        return int(self._inert.sum())

    def ends(self) -> tuple[float, float]:
        """The quantity with nothing shown, and with everything shown."""
        nothing, everything = self(torch.tensor([[False], [True]]).expand(2, self.features)).tolist()
        return nothing, everything

    def __call__(self, masks: Tensor) -> Tensor:
        return play([(self, masks)])[0]

    def alone(self) -> tuple[Inputs, Target]:
        """The example without the others of its batch, and the question about it."""
        part = slice(self.row, self.row + 1)
        return self._inputs.rows(part), self._target.rows(part)

    def points(self, masks: Tensor) -> Tensor:
        """What the model sees of each coalition."""
        return blended(self._point, self._hidden, self._segments, masks)

    def distinct(self, masks: Tensor) -> Tensor:
        """The same coalitions with all features that look the same hidden as shown: equal rows look equal."""
        return masks | self._inert if bool(self._inert.any()) else masks

    def unknown(self, codes: Sequence[bytes]) -> dict[bytes, int]:
        """The coalitions that were never asked, and where each comes first."""
        return {code: place for place, code in reversed(list(enumerate(codes))) if code not in self._known}

    def learn(self, answers: Mapping[bytes, float]) -> None:
        """Remember what the model said of coalitions."""
        self._known.update(answers)

    def recall(self, codes: Sequence[bytes]) -> Tensor:
        """What the model said of coalitions that were asked."""
        return torch.tensor([self._known[code] for code in codes], dtype=torch.float64)

    def ask(self, masks: Tensor) -> Tensor:
        """The quantity of coalitions that are asked of the model, whatever is known of them."""
        rows = torch.full((len(masks),), self.row)
        return evaluate(
            self.subject, self._inputs, self._target, rows, lambda part: self.points(masks[part]), self._what
        )


def play(turns: Sequence[tuple[Game, Tensor]]) -> list[Tensor]:
    """What each game answers to its masks, where all that is unknown is asked of the model together.

    The games may be about different examples, whose points have one shape, of one subject and one quantity.
    """
    turns = [(game, game.distinct(masks)) for game, masks in turns]
    codes = [_codes(masks) for _, masks in turns]
    asked: dict[Game, tuple[list[bytes], list[Tensor]]] = {}
    for (game, masks), row in zip(turns, codes, strict=True):
        known = set(asked[game][0]) if game in asked else ()
        new = {code: place for code, place in game.unknown(row).items() if code not in known}
        if new:
            fresh, parts = asked.setdefault(game, ([], []))
            fresh.extend(new)
            parts.append(masks[list(new.values())])
    if asked:
        answers = _answers({game: torch.cat(parts) for game, (_, parts) in asked.items()})
        for (game, (fresh, _)), found in zip(asked.items(), answers, strict=True):
            game.learn(dict(zip(fresh, found.tolist(), strict=True)))
    return [game.recall(row) for (game, _), row in zip(turns, codes, strict=True)]


def _codes(masks: Tensor) -> list[bytes]:
    """What tells coalitions apart in a few bytes."""
    packed = [row.tobytes() for row in np.packbits(masks.numpy(), axis=1)]
    return (
        packed
        if masks.shape[1] <= 8 * _CODE_BYTES
        else [blake2b(row, digest_size=_CODE_BYTES).digest() for row in packed]
    )


def _answers(masks: Mapping[Game, Tensor]) -> list[Tensor]:
    if len(masks) == 1:
        return [game.ask(part) for game, part in masks.items()]
    games, sizes = list(masks), [len(part) for part in masks.values()]
    inputs, target = _together([game.alone() for game in games])
    ends = list(accumulate(sizes))

    def points(part: slice) -> Tensor:
        made = []
        for game, end, size in zip(games, ends, sizes, strict=True):
            first, last = max(part.start - end + size, 0), min(part.stop - end + size, size)
            if first < last:
                made.append(game.points(masks[game][first:last]))
        return torch.cat(made)

    rows = torch.arange(len(games)).repeat_interleave(torch.tensor(sizes))
    return list(evaluate(games[0].subject, inputs, target, rows, points).split(sizes))


def _together(parts: Sequence[tuple[Inputs, Target]]) -> tuple[Inputs, Target]:
    """Examples that stood apart as one batch, with the question about each."""
    inputs, targets = [inputs for inputs, _ in parts], [target for _, target in parts]
    first, one = inputs[0], targets[0]
    tensors = {name: torch.cat([each.tensors[name] for each in inputs]) for name in first.tensors}
    mask = None if first.mask is None else torch.cat([each.mask for each in inputs if each.mask is not None])
    index, foil = (
        None if getattr(one, name) is None else torch.cat([getattr(target, name) for target in targets])
        for name in ("index", "foil")
    )
    origins = tuple(origin for each in inputs for origin in each.origins)
    return (
        Inputs(tensors, first.point, mask, origins),
        dataclasses.replace(one, index=index, foil=foil),
    )


def fading(
    subject: Subject, inputs: Inputs, target: Target, features: Features, hidden: Tensor, row: int = 0, what: str = ""
) -> Callable[[Tensor], Tensor]:
    """What gives one example's explained quantity with each feature faded in by its degree, as a :class:`Game` does for
    features that are shown or hidden: ``[n]``, float64, for ``[n, features]`` degrees of 0 … 1."""
    point, empty, segments = inputs.value[row], hidden[row], features.segments[row]
    if not point.is_floating_point():
        raise NotAnswerable(
            f"{subject.name} reads whole numbers, which cannot fade; ask a method that hides or replaces: rise, lime"
        )

    def ask(degrees: Tensor) -> Tensor:
        rows = torch.full((len(degrees),), row)
        return evaluate(subject, inputs, target, rows, lambda part: faded(point, empty, segments, degrees[part]), what)

    return ask


def players(subject: Subject, inputs: Inputs, wanted: Grouping, number: int | None = None) -> Features:
    """The features that can be shown or hidden; padding belongs to none, because hiding it says nothing."""
    features = grouping(subject, inputs, wanted, number)
    if inputs.mask is None:
        return features
    mask = inputs.mask.view(*inputs.mask.shape, *[1] * (inputs.value.ndim - inputs.mask.ndim))
    shape = torch.broadcast_shapes(features.segments.shape, mask.shape)
    segments = torch.where(mask.expand(shape), features.segments.expand(shape), -1)
    return dataclasses.replace(features, segments=segments)


def hidden_point(
    subject: Subject, inputs: Inputs, features: Features, baseline: Baseline | None, seed: int = 0
) -> Tensor:
    """The point with everything hidden: by ``baseline``, or by default each part of a picture by its own mean colour and
    anything else by the task's default baseline.

    Raises ``NotAnswerable`` for an example whose features all look the same hidden as shown.
    """
    if baseline is None and subject.task.modality is Modality.IMAGE:
        pairs = zip(inputs.value, features.segments, strict=True)
        hidden = torch.stack([sampling.feature_means(point, segments) for point, segments in pairs])
    else:
        hidden = baseline_value(subject, inputs, subject.task.baselines()[0] if baseline is None else baseline, seed)
    for point, empty, segments in zip(inputs.value, hidden, features.segments, strict=True):
        if sampling.unchanged(point, empty, segments) == int(segments.max()) + 1:
            raise NotAnswerable(
                "every feature looks the same hidden as shown; name another baseline or larger features"
            )
    return hidden


def draws_of(inputs: Inputs, row: int, seed: int, method: str) -> Generator:
    """The source of all random draws about one example; padding depends on the neighbours in a batch, so it is left
    out."""
    point = inputs.value[row]
    return generator(seed, method, point if inputs.mask is None else point[inputs.mask[row]])
