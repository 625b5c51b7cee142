"""Asking an explanation's own method again: about other inputs, other classes, other weights."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from pellucid.core.catalogue import build
from pellucid.core.errors import NotAnswerable, PellucidError
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.erasing import shared
from pellucid.engine.judged import Case, Judged, control_maps
from pellucid.engine.targets import Target, again
from pellucid.results.attribution import Attribution

# What explains the same question about other inputs: maps in the shape of their point, float64.
Explainer = Callable[[Subject, Inputs, Target], Tensor]


def explainers(asked: Judged, random_maps: int = 1, time: int = 0) -> list[Explainer]:
    """What made each answer, then the controls, in the order of a case's maps.

    Controls are made anew of the inputs that they are given; the random maps differ each ``time`` too, as they would if
    they were drawn without looking at anything, and are those of the cases at time 0.
    """
    found = [_by_method(asked, method_of(answer)) for answer in asked.answers]
    found += [_by_control(name, asked.seed, 0) for name in asked.controls[:-1]]
    return [*found, *(_by_control("random", asked.seed, time * random_maps + number) for number in range(random_maps))]


def about(asked: Judged, case: Case, subject: Subject, inputs: Inputs) -> Iterator[tuple[Tensor, Tensor]]:
    """Each map of a case, and those that its maker gives for the same question about other ``inputs`` of a ``subject``."""
    target = case.target.rows(torch.zeros(len(inputs), dtype=torch.long))
    random_maps = len(case.maps) - len(asked.answers) - len(asked.controls) + 1
    for explain, before in zip(explainers(asked, random_maps), case.maps, strict=True):
        yield before, explain(subject, inputs, target)


def about_points(asked: Judged, case: Case, points: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Each map of a case and those of the same example with another point ``[n, …point]``: ``[n, …point]``, asked at
    once."""
    return about(asked, case, case.subject, repeated(case.inputs, points))


def relative_changes(before: Tensor, after: Tensor) -> Tensor:
    """How far each map of ``after`` ``[n, …point]`` lies from ``before``, whose norm is the unit; of zeros that is 1."""
    size = before.norm()
    return (after - before).flatten(1).norm(dim=1) / torch.where(size > 0, size, torch.ones_like(size))


def originals(asked: Judged, random_maps: int = 1) -> Iterator[Tensor]:
    """The maps of all examples, row by row: ``[examples, …point]``, float64."""
    yield from (answer.scores.double() for answer in asked.answers)
    for explain in explainers(asked, random_maps)[len(asked.answers) :]:
        yield explain(asked.subject, asked.inputs, asked.target)


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
        def ask() -> Tensor:
            scores: Tensor = method(subject, again(asked.decision, inputs, target)).scores
            return scores

        scores = shared(subject, inputs, target, ("asked again", method), ask)
        if not bool(scores.isfinite().all()):
            raise NotAnswerable(f"{method.spec.id} answered with NaN or infinite scores when it was asked again")
        return scores.double()

    return explain


def _by_control(name: str, seed: int, number: int) -> Explainer:
    def explain(subject: Subject, inputs: Inputs, target: Target) -> Tensor:
        return control_maps(subject, inputs, name, seed, number)

    return explain


def repeated(inputs: Inputs, point: Tensor) -> Inputs:
    """One example again and again, with another ``point`` ``[n, …]`` each time."""
    return inputs.rows(torch.zeros(len(point), dtype=torch.long), point)
