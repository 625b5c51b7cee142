"""What can be read off an explanation, whatever its kind: how strongly it names each feature of each example."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.errors import BadInput, NotAnswerable, NotComparable, UsageError
from pellucid.core.query import Decision
from pellucid.core.result import Result
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.judging import check_fit
from pellucid.engine.targets import Target
from pellucid.results.attribution import Attribution
from pellucid.results.counterfactual import Counterfactuals


@dataclass(frozen=True)
class Reading:
    """A score for each element of the point, ``[batch, …point]``, and the features that these stand for.

    Of an attribution these are its scores, which speak ``towards`` a class (``[batch]``; None where that is none), of a
    counterfactual its changes, in the subject's own units.
    """

    kind: str
    at: str
    scores: Tensor
    features: Features
    towards: Tensor | None = None

    def strengths(self, example: int) -> Tensor:
        """The signed strength of each feature of one example, float64."""
        rows = slice(example, example + 1)
        return self.features.rows(rows).sums(self.scores[rows].double())[0]

    def labels(self, example: int) -> tuple[str, ...]:
        """The names of the features of one example."""
        if self.features.labels is not None:
            return self.features.labels[example]
        return tuple(f"{self.features.kind} {number}" for number in range(self.features.counts()[example]))


def kind_of(result: Result) -> str:
    """The kind of an explanation; what suffices is another kind of counterfactual than what would have to change."""
    name = type(result).__name__
    return f"{name} ({result.kind})" if isinstance(result, Counterfactuals) else name


@singledispatch
def read(result: Result) -> Reading:
    """What can be read off an explanation. Raises ``NotAnswerable`` for a kind that names no features of an example."""
    raise NotAnswerable(f"of a {type(result).__name__} nobody can read how much each feature of an example counts")


@read.register
def _(result: Attribution) -> Reading:
    towards = None if result.target is None else result.target.reshape(len(result), -1)[:, -1]
    return Reading(kind_of(result), result.at, result.scores, result.features, towards)


@read.register
def _(result: Counterfactuals) -> Reading:
    found = result.found[:, 0].view(-1, *[1] * (result.inputs.ndim - 1))
    compared = result.inputs if result.absent is None else result.absent
    changes = torch.where(found, result.points[:, 0] - compared, torch.zeros_like(result.inputs))
    features = result.features
    if len(features.segments) != len(result):
        features = _repeated(features, len(result))
    at = "input" if result.swaps is None else result.swaps.layer
    return Reading(kind_of(result), at, changes, features)


def _repeated(features: Features, batch: int) -> Features:
    segments = features.segments.expand(batch, *features.segments.shape[1:])
    labels = None if features.labels is None else features.labels * batch
    return dataclasses.replace(features, segments=segments, labels=labels, spans=None)


def about_one_decision(results: Sequence[Result]) -> Decision:
    """The one decision that all results answer; raises ``NotComparable`` where there are several."""
    first, *others = map(decided_of, results)
    asked = digest(first)
    if any(other is not first and digest(other) != asked for other in others):
        raise NotComparable("the explanations answer different decisions; ask every method the same")
    return first


def about_same_inputs(results: Sequence[Result]) -> list[Decision]:
    """The decisions that results answer, which may be several, about the same inputs."""
    decisions = [decided_of(result) for result in results]
    given = [decision.inputs for decision in decisions]
    asked = digest(given[0])
    if any(other is not given[0] and digest(other) != asked for other in given[1:]):
        raise NotComparable("the explanations are about different inputs; ask every method about the same")
    return decisions


def decided_of(result: Result) -> Decision:
    """The decision that a result answers."""
    if not isinstance(result.query, Decision):
        raise BadInput("a result does not know its decision any more; give it back: result.asked(decision)")
    return result.query


def check_read(subject: Subject, inputs: Inputs, target: Target, result: Result) -> None:
    """Raise ``BadInput`` where an explanation is not of these inputs and this subject."""
    if isinstance(result, Attribution) and result.at == "input":
        check_fit(subject, inputs, target, result)
        return
    told = result.provenance
    if told is not None and told.subject_fingerprint != subject.fingerprint:
        raise BadInput(f"a result explains {told.subject} as it was when it was asked, not this {subject.name}")
    if isinstance(result, Counterfactuals) and result.swaps is None and not torch.equal(result.inputs, inputs.value):
        raise BadInput("a counterfactual starts from other inputs than the decision it was given; ask its method again")


def listed(results: object) -> list[Result]:
    """The results of a judgement as a list; ``UsageError`` where there is none, or what is none."""
    found: list[Any] = list(results) if isinstance(results, list | tuple) else [results]
    if not found:
        raise UsageError("there is nothing to judge; name at least one result")
    for result in found:
        if not isinstance(result, Result):
            raise UsageError(f"it judges results, not a {type(result).__name__}")
    return found
