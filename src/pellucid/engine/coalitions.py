"""Coalitions: what the explained quantity of one example is with only some of its features shown."""

import dataclasses
from collections.abc import Callable
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


class Game:
    """One example's features as players: ``game(masks)`` is the explained quantity with only the features shown that
    each row of ``masks`` (``[n, features]``, bool) names: ``[n]``, float64. ``row`` is the example's place in its batch.

    ``hidden`` ``[batch, …point]`` stands where a feature is not shown. No coalition is asked of the model twice:
    ``asked`` counts those that were. Elements of no feature are always shown.
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
        self._subject, self._inputs, self._target, self.row, self._what = subject, inputs, target, row, what
        self._point, self._hidden, self._segments = inputs.value[row], hidden[row], features.segments[row]
        self.features = features.counts()[row]
        self._known: dict[bytes, float] = {}

    @property
    def asked(self) -> int:
        """How many coalitions the model was asked about."""
        return len(self._known)

    @property
    def unchanged(self) -> int:
        """How many features look the same hidden as shown, so that they cannot matter."""
        return sampling.unchanged(self._point, self._hidden, self._segments)

    def ends(self) -> tuple[float, float]:
        """The quantity with nothing shown, and with everything shown."""
        nothing, everything = self(torch.tensor([[False], [True]]).expand(2, self.features)).tolist()
        return nothing, everything

    def __call__(self, masks: Tensor) -> Tensor:
        codes = [code.tobytes() for code in np.packbits(masks.numpy(), axis=1)]
        places = {code: place for place, code in enumerate(codes) if code not in self._known}
        new = masks[list(places.values())]
        if len(new):
            rows = torch.full((len(new),), self.row)
            answers = evaluate(
                self._subject, self._inputs, self._target, rows, lambda part: self._points(new[part]), self._what
            )
            self._known.update(zip(places, answers.tolist(), strict=True))
        return torch.tensor([self._known[code] for code in codes], dtype=torch.float64)

    def _points(self, masks: Tensor) -> Tensor:
        return blended(self._point, self._hidden, self._segments, masks)


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
