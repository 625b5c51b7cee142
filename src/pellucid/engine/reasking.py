"""Asking an explanation's own method again: about other inputs, other classes, other weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pellucid.core.catalogue import build
from pellucid.core.errors import NotAnswerable, PellucidError
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.judged import Judged, control_maps
from pellucid.engine.targets import Target, again
from pellucid.results.attribution import Attribution

# What explains the same question about other inputs: maps in the shape of their point, float64.
Explainer = Callable[[Subject, Inputs, Target], Tensor]


def explainers(asked: Judged) -> list[Explainer]:
    """What made each answer, then the controls, which are made anew of the inputs that they are given."""
    found = [_by_method(asked, method_of(answer)) for answer in asked.answers]
    return [*found, *(_by_control(name, asked.seed) for name in asked.controls)]


def method_of(answer: Attribution) -> Any:
    """The method that gave an answer, which a loaded one builds anew from its provenance."""
    if answer.method is not None:
        return answer.method
    if answer.provenance is None:
        raise NotAnswerable("a result does not know its method; ask the method for it, so that it can be asked again")
    try:
        return build({"method": answer.provenance.method, **answer.provenance.fields})
    except (PellucidError, TypeError) as error:
        raise NotAnswerable(
            f"{answer.provenance.method} cannot be built anew from a result file that holds only digests of its data; "
            "ask it again and judge the answer in the same run"
        ) from error


def _by_method(asked: Judged, method: Any) -> Explainer:
    def explain(subject: Subject, inputs: Inputs, target: Target) -> Tensor:
        answer = method(subject, again(asked.decision, inputs, target))
        scores: Tensor = answer.scores
        if not bool(scores.isfinite().all()):
            raise NotAnswerable(f"{method.spec.id} answered with NaN or infinite scores when it was asked again")
        return scores.double()

    return explain


def _by_control(name: str, seed: int) -> Explainer:
    def explain(subject: Subject, inputs: Inputs, target: Target) -> Tensor:
        return control_maps(subject, inputs, name, seed)

    return explain


def repeated(inputs: Inputs, point: Tensor) -> Inputs:
    """One example again and again, with another ``point`` ``[n, …]`` each time."""
    return inputs.rows(torch.zeros(len(point), dtype=torch.long), point)
