"""What a search ended with, asked of the subject again: from points to a result that says what was found and what not."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.subject import Domain, Features, Inputs, Subject
from pellucid.engine.goals import Goal, answers
from pellucid.engine.judge import Best
from pellucid.engine.search_space import SearchSpace
from pellucid.engine.targets import Target
from pellucid.results.counterfactual import Counterfactuals, RegionSwaps


@dataclass(frozen=True)
class Limits:
    """The most passes and seconds per example, and the most features that may change."""

    budget: int
    seconds: float | None = None
    most: int | None = None


@dataclass(frozen=True)
class Swapped:
    """Which cells were swapped, ``[swaps, 3]``, and the gaps before the first and after each swap, ``[swaps + 1]``."""

    cells: Tensor
    gaps: Tensor


@dataclass(frozen=True)
class Outcome:
    """What was found for one example: ``points`` ``[number, …]`` with their distances and whether constraints are kept.

    ``given`` is the example itself, or its activation at the layer where cells were swapped. ``reason`` says why the search
    ended early, or found nothing.
    """

    goal: Goal
    features: Features
    given: Tensor
    points: Tensor
    distance: Tensor
    kept: Tensor
    reason: str = ""
    finished: bool = True
    absent: Tensor | None = None
    swapped: Swapped | None = None


def outcome(space: SearchSpace, features: Features, goal: Goal, one: Inputs, best: Best, ended: str) -> Outcome:
    """What a search leaves behind; ``ended`` is the limit that cut it off, if one did."""
    offsets = best.offsets if best.offsets is not None else best.closest
    offsets = torch.zeros_like(space.origin) if offsets is None else offsets
    points = space.points(offsets[None])
    exact = space.offsets(points)
    most = "" if best.most is None else f" of at most {best.most} features"
    failed = "" if best.offsets is not None else f"no admissible change{most} that was tried reaches it"
    return Outcome(
        goal=goal,
        features=features,
        given=one.value[0],
        points=points,
        distance=space.cost(exact),
        kept=space.kept(exact, best.most),
        reason="; ".join(part for part in (failed, ended) if part),
        finished=not ended,
    )


def counterfactuals(
    subject: Subject,
    inputs: Inputs,
    target: Target,
    outcomes: Sequence[Outcome],
    kind: str,
    wanted: float | None,
    measure: str,
    constraints: Sequence[str] = (),
    layer: str | None = None,
) -> Counterfactuals:
    """The outcomes of all examples as one result; what the subject answers now decides what was found."""
    asked = [_asked_again(subject, inputs.rows(slice(n, n + 1)), found, layer) for n, found in enumerate(outcomes)]
    before, after, reached = (torch.stack(parts) for parts in zip(*asked, strict=True))
    kept = torch.stack([found.kept for found in outcomes])
    good = reached & kept
    domain: Domain | None = subject.task.domain() if layer is None and hasattr(subject.task, "domain") else None
    names = getattr(subject.task, "columns", ())
    return Counterfactuals(
        kind=kind,
        inputs=torch.stack([found.given for found in outcomes]),
        points=torch.stack([found.points for found in outcomes]),
        before=before,
        after=after,
        found=good,
        kept=kept,
        distance=torch.stack([found.distance for found in outcomes]),
        converged=torch.tensor([found.finished for found in outcomes]),
        features=_joined([found.features for found in outcomes]),
        answer=subject.task.output if target.index is not None else "value",
        measure=measure,
        reason=tuple(_reason(found, fine) for found, fine in zip(outcomes, good, strict=True)),
        constraints=tuple(constraints),
        elements=tuple(names) if domain is not None and domain.choices else (),
        factor=None if domain is None else domain.factor.double(),
        offset=None if domain is None else domain.offset.double(),
        choices={} if domain is None else dict(domain.choices),
        target=target.public(target.index),
        foil=target.public(target.foil),
        wanted=wanted,
        labels=tuple(target.labels),
        absent=None if outcomes[0].absent is None else torch.stack([f.absent for f in outcomes]),  # type: ignore[misc]
        swaps=None if layer is None else _swaps(layer, outcomes),
        notes=tuple(note for origin in inputs.origins for note in origin.notes),
    )


def _asked_again(subject: Subject, one: Inputs, found: Outcome, layer: str | None) -> tuple[Tensor, Tensor, Tensor]:
    """The subject's own answers before and after, and whether those after are as wanted."""
    goal = found.goal
    plain = answers(subject.run(one, capture=goal.capture, original=True), goal)[0]
    several = one.rows(torch.zeros(len(found.points), dtype=torch.long))
    given, replaced = (several.at(found.points), {}) if layer is None else (several, {layer: found.points})
    run = subject.run(given, capture=goal.capture, replace=replaced, original=True)
    reached = goal.reached(goal(run))
    return plain.detach().cpu(), answers(run, goal).detach().cpu(), reached.cpu()


def _reason(found: Outcome, fine: Tensor) -> str:
    if bool(fine.all()):
        return ""
    if found.reason:
        return found.reason
    number = int(fine.sum())
    return f"{number} of {len(fine)} were found" if number else "none that was tried is answered as wanted"


def _joined(features: Sequence[Features]) -> Features:
    """The features of all examples: one row where all are the same."""
    first = features[0]
    if all(torch.equal(found.segments, first.segments) for found in features):
        return Features(first.kind, first.segments[:1], None if first.labels is None else first.labels[:1])
    labels = None if first.labels is None else tuple(found.labels[0] for found in features if found.labels)
    return Features(first.kind, torch.cat([found.segments for found in features]), labels)


def _swaps(layer: str, outcomes: Sequence[Outcome]) -> RegionSwaps:
    rows, columns = outcomes[0].given.shape[1:]
    swapped = [found.swapped for found in outcomes if found.swapped is not None]
    return RegionSwaps(
        layer=layer,
        grid=(rows, columns),
        cells=tuple(found.cells for found in swapped),
        gaps=tuple(found.gaps for found in swapped),
    )
