"""From scores to an attribution: padding is zero, features are named, the question is on record."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor

from pellucid.core.method import Answers, Method
from pellucid.core.query import Decision
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.perturb import grouping, position_axes
from pellucid.engine.targets import Target
from pellucid.results.attribution import Attribution

# What a field takes that holds a method which explains a decision: smoothgrad(inner=…).
Explainer = Annotated[Method, Answers(Decision, Attribution)]


def attribution(
    subject: Subject,
    inputs: Inputs,
    query: Decision,
    target: Target,
    scores: Tensor,
    values: Tensor,
    features: Features | None = None,
    **trust: Any,
) -> Attribution:
    """An ``Attribution`` of ``scores`` (in the shape of the point) for ``values`` ``[batch]``.

    ``features`` default to the finest grouping a person can read: words, columns, positions, pixels; at a layer the
    channels. ``trust`` are the further fields of the result.
    """
    at_input = query.at == "input"
    mask = inputs.mask if at_input else None
    if mask is not None:
        scores = torch.where(mask.view(*mask.shape, *[1] * (scores.ndim - mask.ndim)), scores, torch.zeros_like(scores))
    if features is None:
        features = features_at(subject, inputs, query.at, scores)
    return Attribution(
        scores=scores,
        value=values,
        features=features,
        at=query.at,
        target=target.public(target.index),
        foil=target.public(target.foil),
        labels=tuple(target.labels),
        mask=mask,
        notes=tuple(note for origin in inputs.origins for note in origin.notes),
        **trust,
    )


def around(answer: Attribution, half_widths: Sequence[Tensor]) -> Attribution:
    """The same answer with an interval around its scores by feature: one vector of half widths per example."""
    pairs = [(centre, half.to(centre)) for centre, half in zip(answer.by_feature(), half_widths, strict=True)]
    interval = (tuple(centre - half for centre, half in pairs), tuple(centre + half for centre, half in pairs))
    return dataclasses.replace(answer, interval=interval)


def features_at(subject: Subject, inputs: Inputs, at: str, like: Tensor) -> Features:
    """The finest features that a person can read at the input; the channels of a layer, whose activation is ``like``."""
    return readable_features(subject, inputs) if at == "input" else _channels(like)


def readable_features(subject: Subject, inputs: Inputs) -> Features:
    """Words, columns, positions, pixels or elements: the first of these that the task offers."""
    return grouping(subject, inputs, finest_grouping(subject))


def finest_grouping(subject: Subject) -> str:
    """The name of the finest grouping that a person can read."""
    offered = subject.task.groupings()
    return next((name for name in ("words", "columns", "positions", "pixels") if name in offered), "elements")


def once_per_position(subject: Subject, inputs: Inputs) -> Features:
    """Readable features of scores that are the same in all channels of a position: they count once, not per channel."""
    features, positions = readable_features(subject, inputs), position_axes(subject, inputs)
    segments = features.segments.expand_as(inputs.value).clone()
    for axis in range(1, segments.ndim):
        if axis not in positions:
            segments.narrow(axis, 1, segments.shape[axis] - 1).fill_(-1)
    return dataclasses.replace(features, segments=segments)


def _channels(scores: Tensor) -> Features:
    channels = torch.arange(scores.shape[1]).view(1, -1, *[1] * (scores.ndim - 2)) if scores.ndim > 1 else None
    segments = torch.zeros_like(scores, dtype=torch.long) if channels is None else channels
    return Features("channel", segments.expand(len(scores), *segments.shape[1:]))
