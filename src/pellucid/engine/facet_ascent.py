"""Ascents that start from a mean of examples and stay near what it shows (nguyen2016multifaceted)."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pellucid.core.errors import UsageError
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.canvases import Bounds, Levels, Pixels, Spectrum
from pellucid.engine.optimize import Course, Rule, adam, ascend, normalised
from pellucid.engine.shaping import denoised, in_box, jittered
from pellucid.engine.targets import Objective

Start = Literal["mean", "centre"]
Schedule = Literal["fast", "octaves"]
_FAST = 60


@dataclass(frozen=True)
class Octave:
    """``steps`` in levels 0 to 255, each ``rate`` (from, to) on average over pixels and followed by a denoising of ``weight``
    (from, to); first the picture is enlarged around its centre by ``zoom``, and no pixel nearer to the border than ``margin``
    of the side is moved."""

    steps: int
    rate: tuple[float, float]
    weight: tuple[float, float]
    zoom: float = 1.0
    margin: float = 0.0


OCTAVES: dict[Start, tuple[Octave, ...]] = {
    "mean": (
        Octave(190, (1, 2), (0.4, 0.4)),
        Octave(150, (1, 1), (0.01, 2), zoom=1.2),
        Octave(20, (2, 2), (0.1, 2), margin=50 / 227),
        Octave(10, (2, 2), (0.4, 2)),
    ),
    "centre": (
        Octave(190, (11, 11), (0.001, 0.05)),
        Octave(150, (6, 6), (0.01, 0.08), zoom=1.2),
        Octave(150, (1, 1), (0.01, 2), zoom=1.2),
        Octave(30, (3, 3), (0.1, 2), margin=50 / 227),
        Octave(10, (6, 3), (0.01, 2)),
    ),
}


def ascent_from(
    subject: Subject,
    inputs: Inputs,
    objective: Objective,
    means: Tensor,
    *,
    bounds: Bounds,
    spread: float,
    start: Start,
    schedule: Schedule,
    steps: int | None,
    seed: int,
    label: str,
) -> Course:
    """Ascend from ``means`` ``[rows, …point]``. Pictures move by their spectrum, or by the octaves of the paper, in which
    a picture stays as large as the network's input and is shown at random shifts; anything else moves along its gradient, by
    ``spread`` in all."""
    if means.ndim != 4 and (start == "centre" or schedule == "octaves"):
        raise UsageError("a centre and octaves are of pictures; leave start and schedule out")
    if schedule == "octaves" and bounds is None:
        raise UsageError("octaves are in levels of a range of values, and this input has none; leave schedule out")
    go = functools.partial(ascend, subject, inputs, objective, seed=seed, label=label)
    window = _window(means) if start == "centre" else None
    if window is not None:
        means = means * window + means.mean((2, 3), keepdim=True) * (1 - window)
    if schedule == "octaves":
        return _octaves(go, means, bounds, window, OCTAVES[start], steps)
    steps = steps or _FAST
    if means.ndim == 4:
        return go(Spectrum.of(means, bounds), steps=steps, rule=adam(0.05), transform=jittered())
    rule = normalised((spread or 1.0) / steps, "mean")
    return go(Pixels(means), steps=steps, rule=rule, after=[in_box(bounds)])


def _octaves(
    go: Callable[..., Course],
    means: Tensor,
    bounds: Bounds,
    window: Tensor | None,
    octaves: Sequence[Octave],
    steps: int | None,
) -> Course:
    whole, traces, course = sum(octave.steps for octave in octaves), [], None
    for octave in octaves:
        number = max(1, round(octave.steps * (steps or whole) / whole))
        levels = Levels(means, bounds, 127.5)
        inside = _inside(means, octave.margin)
        course = go(
            replace(levels, leaf=levels.of(_zoomed(means, octave.zoom))),
            steps=number,
            rule=_towards(_line(octave.rate, number), inside if window is None else inside * window),
            transform=jittered(0.1, 0, 0) if octave.zoom > 1 else None,
            after=[lambda leaf, moment: leaf.clamp(-127.5, 127.5), denoised(_line(octave.weight, number))],
        )
        means = course.images
        traces.append(course.trace)
    assert course is not None
    return replace(course, trace=torch.cat(traces, 1))


def _towards(rates: list[float], moved: Tensor) -> Rule:
    """A step whose mean size over pixels is the rate, and zero where nothing is to be moved."""
    one = normalised(1.0, "mean")()
    return lambda: lambda gradient, values, number: rates[number] * one(gradient, values, number) * moved.to(gradient)


def _line(ends: tuple[float, float], number: int) -> list[float]:
    return torch.linspace(*ends, number).tolist()


def _window(like: Tensor) -> Tensor:
    """1 in the centre and falling to the border as a normal density with a deviation of .3 of the side."""
    rows, columns = (torch.linspace(-0.5, 0.5, side, dtype=like.dtype) for side in like.shape[2:])
    return torch.exp(-0.5 * (rows[:, None].square() + columns.square()) / 0.3**2)


def _inside(like: Tensor, margin: float) -> Tensor:
    sides = [torch.arange(side) for side in like.shape[2:]]
    inner = [(place >= margin * len(place)) & (place < (1 - margin) * len(place)) for place in sides]
    return (inner[0][:, None] & inner[1]).to(like)


def _zoomed(images: Tensor, zoom: float) -> Tensor:
    """Pictures enlarged around their centre, what then lies beyond the border cut off."""
    if zoom == 1:
        return images
    height, width = images.shape[2:]
    larger = interpolate(images, scale_factor=zoom, mode="bilinear", align_corners=False)
    top, left = (larger.shape[2] - height) // 2, (larger.shape[3] - width) // 2
    return larger[:, :, top : top + height, left : left + width]
