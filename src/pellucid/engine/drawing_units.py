"""Pictures for units, several starts of each in one batch: what the methods that draw them share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.errors import NotAnswerable, PellucidError, SubjectFailed, UsageError
from pellucid.core.query import Unit
from pellucid.core.spec import Modality
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.canvases import Bounds, Parametrisation, Pixels, Spectrum, drawn
from pellucid.engine.optimize import Canvas, Course, Penalty, adam, ascend
from pellucid.engine.picture_evidence import evidence
from pellucid.engine.shaping import in_box, jittered
from pellucid.engine.targets import Objective
from pellucid.engine.unit_examples import data_set, left_out
from pellucid.engine.units import Over, objective_of
from pellucid.results.feature_images import FeatureImages

# Pictures are drawn no larger than this unless a size is named: a third of the pixels of 224 × 224.
SIDE = 128


def blank(subject: Subject, query: Unit, rows: int, size: int | None = None) -> tuple[Inputs, tuple[str, ...]]:
    """Inputs of zeros to draw on, in the shape that the subject reads, and notes on what was chosen.

    Pictures are ``size`` × ``size``; without a size as large as the network's own, or 128 where that is larger and the
    network takes it. Other inputs have the shape of the task's example or of the query's data.
    """
    one = shape_of(subject, query)
    if not one.value.is_floating_point():
        raise NotAnswerable(
            f"{subject.name} reads whole numbers, which cannot be drawn; ask at a network that reads vectors"
        )
    index = torch.zeros(rows, dtype=torch.long)
    if subject.task.modality is not Modality.IMAGE:
        if size is not None:
            raise UsageError("size= is of pictures")
        return one.rows(index, torch.zeros_like(one.value)[index]), ()
    own = tuple(one.value.shape[2:])
    if size is None and max(own) > SIDE and _takes(subject, one, SIDE):
        note = f"Drawn at {SIDE} × {SIDE} pixels; the network's own size is {own[0]} × {own[1]} (size={max(own)})."
        return _sized(one, rows, (SIDE, SIDE)), (note,)
    return _sized(one, rows, own if size is None else (size, size)), ()


def shape_of(subject: Subject, query: Unit) -> Inputs:
    """One example, of which only the shape counts: the task's, or the first of the query's data."""
    example = subject.task.example()
    if example is None and query.data is None:
        raise UsageError(f"the shape of what {subject.name} reads is not known; give data, or shape= to its task")
    return (subject.prepare(query.data) if example is None else example).rows(slice(0, 1))


def bounds_of(subject: Subject, inputs: Inputs) -> Bounds:
    """The bounds of one example's point, None where there are none."""
    bounds = subject.task.bounds(inputs)
    if bounds is None:
        return None
    low, high = (bound.reshape(bound.shape[1 - inputs.value.ndim :]) for bound in bounds)
    return low, high


def start(parametrisation: Parametrisation, inputs: Inputs, bounds: Bounds, seeds: Sequence[int]) -> Canvas:
    """A canvas of small noise for each seed: a spectrum, or the pixels themselves around the middle of the bounds."""
    shape = tuple(inputs.value.shape[1:])
    if parametrisation == "fft" and len(shape) == 3:
        return Spectrum.noise(seeds, shape, bounds)
    noise = drawn(seeds, shape)
    if bounds is None:
        return Pixels(0.1 * noise)
    low, high = (bound.to(noise) for bound in bounds)
    return Pixels((low + high) / 2 + 0.05 * (high - low) * noise)


def climbed(
    subject: Subject,
    inputs: Inputs,
    objective: Objective,
    canvas: Canvas,
    *,
    steps: int,
    rate: float,
    jitter: float,
    seed: int,
    label: str,
    penalties: Sequence[Penalty] = (),
) -> Course:
    """The ascent from a canvas by Adam: what a spectrum draws is shown moved by up to ``jitter`` of its sides, turned and
    scaled with that; pixels are shown as they are, and stay inside the bounds."""
    plain = isinstance(canvas, Pixels)
    return ascend(
        subject,
        inputs,
        objective,
        canvas,
        steps=steps,
        rule=adam(rate),
        penalties=penalties,
        transform=None if plain or not jitter else jittered(jitter, 100 * jitter, 2 * jitter),
        after=[in_box(bounds_of(subject, inputs))] if plain else [],
        seed=seed,
        label=label,
    )


def seeds_of(seed: int, unit: str, starts: int) -> list[int]:
    """A seed for each start of a unit, the same whatever else is drawn beside it."""
    base = int(digest([seed, unit])[:12], 16)
    return [base + number for number in range(starts)]


def drawn_unit(
    subject: Subject,
    query: Unit,
    starts: int,
    size: int | None,
    seed: int,
    over: Over,
    ascent: Callable[[Inputs, Objective, Sequence[int]], Course],
    second: Subject | None = None,
) -> FeatureImages:
    """Pictures of the query's unit from several starts, with the evidence beside them."""
    query, skipped = readable(subject, query)
    inputs, notes = blank(subject, query, starts, size)
    objective, name = objective_of(subject, inputs, query, over)
    course = ascent(inputs, objective, seeds_of(seed, name, starts))
    return told(
        subject,
        query,
        inputs,
        objective,
        course,
        (name,) * starts,
        [f"start {n + 1}" for n in range(starts)],
        second,
        (*skipped, *notes),
    )


def readable(subject: Subject, query: Unit) -> tuple[Unit, tuple[str, ...]]:
    """The same question with those of its data that can be read, prepared, and a note that names the others."""
    if query.data is None or isinstance(query.data, Inputs):
        return query, ()
    data = data_set(subject, query.data)
    return replace(query, data=data.inputs(range(len(data)))), left_out(data)


def told(
    subject: Subject,
    query: Unit,
    inputs: Inputs,
    objective: Objective,
    course: Course,
    units: Sequence[str],
    captions: Sequence[str],
    second: Subject | None = None,
    notes: Sequence[str] = (),
) -> FeatureImages:
    """The pictures of an ascent as a result, with their evidence."""
    data = None if query.data is None else subject.prepare(query.data)
    known: Mapping[str, Any] = evidence(subject, inputs.at(course.images), objective, units, data, second)
    still = [caption for caption, moved in zip(captions, course.moved.tolist(), strict=True) if not moved]
    said = [f"Nothing moved {', '.join(still)}: the gradient there is zero."] if still else []
    bounds = bounds_of(subject, inputs)
    return FeatureImages(
        images=course.images,
        units=tuple(units),
        captions=tuple(captions),
        activations=course.values.double(),
        low=None if bounds is None else bounds[0],
        high=None if bounds is None else bounds[1],
        evidence=known,
        trace=course.trace,
        notes=(*notes, *said),
    )


def _takes(subject: Subject, one: Inputs, side: int) -> bool:
    try:
        subject.run(_sized(one, 1, (side, side)))
    except (SubjectFailed, PellucidError):
        return False
    return True


def _sized(one: Inputs, rows: int, sides: tuple[int, ...]) -> Inputs:
    value: Tensor = one.value.new_zeros((rows, one.value.shape[1], *sides))
    return one.rows(torch.zeros(rows, dtype=torch.long), value)
