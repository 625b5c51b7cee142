"""Explanations that are judged together: that they answer one decision and fit its inputs, and what they are called."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.errors import BadInput, UsageError
from pellucid.core.query import Decision
from pellucid.core.result import Result
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.targets import Target
from pellucid.results.attribution import Attribution


def same_decision(results: Sequence[Attribution]) -> tuple[list[Attribution], Decision]:
    """The explanations that are judged, and the one decision that they answer; ``UsageError`` where there are several."""
    answers: list[Attribution] = list(results) if isinstance(results, list | tuple) else [results]  # type: ignore[list-item]
    if not answers:
        raise UsageError("there is nothing to judge; name at least one result")
    for answer in answers:
        if not isinstance(answer, Attribution):
            raise UsageError(f"it judges attributions, not a {type(answer).__name__}")
        if not isinstance(answer.query, Decision):
            raise BadInput("a result does not know its decision any more; give it back: result.asked(decision)")
        if answer.at != "input":
            raise UsageError(f"it judges maps of the input, and one result lies at {answer.at!r}; ask at the input")
    first = answers[0].query
    assert isinstance(first, Decision)
    others = [answer.query for answer in answers[1:] if answer.query is not first]
    if others and any(digest(other) != asked for asked in [digest(first)] for other in others):
        raise UsageError("the results answer different decisions; ask every method the same, or judge them apart")
    return answers, first


def check_fit(subject: Subject, inputs: Inputs, target: Target, answer: Attribution) -> None:
    """Raise ``BadInput`` where an explanation is not of these inputs, this target and this subject."""
    if answer.scores.shape != inputs.value.shape:
        shapes = f"{tuple(answer.scores.shape)}, its inputs {tuple(inputs.value.shape)}"
        raise BadInput(f"a result's scores have shape {shapes}; it answers another decision")
    if not bool(answer.scores.isfinite().all()):
        raise BadInput("a result holds NaN or infinite scores, which have no order; ask its method again")
    for name, found, asked in (("target", answer.target, target.index), ("foil", answer.foil, target.foil)):
        wanted = target.public(asked)
        if found is not None and (wanted is None or not torch.equal(found, wanted)):
            raise BadInput(f"a result has another {name} than the decision it was given; ask its method again")
    if answer.provenance is not None and answer.provenance.subject_fingerprint != subject.fingerprint:
        raise BadInput(
            f"a result explains {answer.provenance.subject} as it was when it was asked, not this {subject.name}; "
            "ask its method again"
        )


def names(answers: Sequence[Result]) -> list[str]:
    """The methods' ids; methods that occur twice with the fields in which they differ, or else numbered."""
    told = [answer.provenance for answer in answers]
    return labels([("answer", {}) if of is None else (of.method, of.fields) for of in told])


def labels(described: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Ids of methods; those that occur twice with the fields in which they differ, or else numbered."""
    found: list[str] = []
    for name, own in described:
        alike = [other for other_name, other in described if other_name == name]
        apart = [key for key in own if len({digest(other.get(key)) for other in alike}) > 1]
        label = f"{name} ({', '.join(f'{key}={_short(own[key])}' for key in apart)})" if apart else name
        number = sum(known.partition(" #")[0] == label for known in found) + 1
        found.append(label if number == 1 else f"{label} #{number}")
    return found


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return str(value.get("method", value.get("rule", "…")))
    if value is None:
        return "default"
    return str(tuple(value.shape)) if isinstance(value, Tensor) else str(value)
