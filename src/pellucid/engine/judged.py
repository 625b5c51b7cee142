"""What every metric does: resolve what is judged, lay control rows beside it, and say how sure the verdict is."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from scipy.ndimage import correlate1d
from scipy.stats import t as student
from torch import Generator, Tensor

from pellucid.core.content import digest
from pellucid.core.query import Decision, Judgement
from pellucid.core.spec import Modality
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.coalitions import draws_of
from pellucid.engine.judging import check_fit, names, same_decision
from pellucid.engine.perturb import with_padding
from pellucid.engine.standing import mean_intervals
from pellucid.engine.targets import Target, resolve
from pellucid.results.attribution import Attribution
from pellucid.results.evaluation import Evaluation

RandomMaps = Annotated[int, Ge(1), "random control maps per example"]

_BLOCK = 16  # examples whose fixed controls are made at once


@dataclass(frozen=True)
class Case:
    """One example with all maps that are judged on it: ``maps`` ``[rows, …point]``, float64, zero on padding.

    The rows are the answers, then the controls in the order of :func:`controls_of`; the random maps come last, one row
    each. ``row`` is the example's place among those that were asked about.
    """

    subject: Subject
    inputs: Inputs
    target: Target
    maps: Tensor
    row: int
    seed: int

    def draws(self, metric: str) -> Generator:
        """The source of a metric's random draws about this example."""
        return draws_of(self.inputs, 0, self.seed, metric)


@dataclass(frozen=True)
class Judged:
    """Explanations of one decision, resolved once; ``seed`` mixes the metric's and the judgement's."""

    subject: Subject
    inputs: Inputs
    target: Target
    decision: Decision
    answers: tuple[Attribution, ...]
    seed: int
    reference: Any = None

    @property
    def names(self) -> tuple[str, ...]:
        """What the answers are called."""
        return tuple(names(self.answers))

    @property
    def controls(self) -> tuple[str, ...]:
        """The control rows that this subject allows."""
        return controls_of(self.subject)

    def cases(self, random_maps: int = 1) -> Iterator[Case]:
        """Every example with its maps and those of the controls, of which the last ``random_maps`` are random."""
        for start in range(0, len(self.inputs), _BLOCK):
            block = self.inputs.rows(slice(start, start + _BLOCK))
            fixed = [control_maps(self.subject, block, name, self.seed) for name in self.controls[:-1]]
            for place in range(len(block)):
                row = start + place
                example = block.rows(slice(place, place + 1))
                maps = [answer.scores[row : row + 1].double() for answer in self.answers]
                maps += [control[place : place + 1] for control in fixed]
                maps += [control_maps(self.subject, example, "random", self.seed, n) for n in range(random_maps)]
                yield Case(
                    self.subject, example, self.target.rows(slice(row, row + 1)), torch.cat(maps), row, self.seed
                )


def judged(subject: Subject, query: Judgement, seed: int = 0) -> Judged:
    """The explanations of a judgement, checked to answer one decision and to be of these inputs and this subject."""
    answers, decision = same_decision(query.results)
    inputs = subject.prepare(decision.inputs)
    target = resolve(subject, inputs, decision)
    for answer in answers:
        check_fit(subject, inputs, target, answer)
    mixed = int(digest((seed, query.seed))[:12], 16)
    return Judged(subject, inputs, target, decision, tuple(answers), mixed, query.reference)


def controls_of(subject: Subject) -> tuple[str, ...]:
    """The control rows that know nothing about the network; there are edges in pictures only."""
    return (*(("edge",) if subject.task.modality is Modality.IMAGE else ()), "constant", "random")


def control_maps(subject: Subject, inputs: Inputs, name: str, seed: int = 0, number: int = 0) -> Tensor:
    """What a control says of each example, in the shape of the point, float64, zero on padding.

    ``edge`` is the magnitude of the Sobel gradient of the grey picture, ``constant`` is one everywhere, ``random`` the
    ``number``-th map of independent standard normal scores.
    """
    point = inputs.value
    match name:
        case "edge":
            grey = point.double().mean(1).cpu().numpy()
            found = torch.from_numpy(np.hypot(_slope(grey, 1, 2), _slope(grey, 2, 1)))[:, None].expand(point.shape)
        case "constant":
            found = torch.ones(point.shape, dtype=torch.float64)
        case _:
            found = torch.stack([_random_map(inputs, row, seed, number) for row in range(len(inputs))])
    return with_padding(inputs.at(torch.zeros_like(found)), found)


def _slope(grey: np.ndarray, along: int, across: int) -> np.ndarray:
    """Sobel's derivative along one axis of each picture, smoothed across it, and never from one picture to the next."""
    return np.asarray(correlate1d(correlate1d(grey, [-1, 0, 1], along), [1, 2, 1], across))


def _random_map(inputs: Inputs, row: int, seed: int, number: int) -> Tensor:
    """Only real positions are drawn, so that their scores do not depend on padding."""
    source = draws_of(inputs, row, seed, f"random map {number}")
    point = inputs.value[row]
    found = torch.zeros(point.shape, dtype=torch.float64)
    real = torch.ones(point.shape[:1], dtype=torch.bool) if inputs.mask is None else inputs.mask[row]
    found[real] = torch.randn(found[real].shape, generator=source, dtype=torch.float64)
    return found


def verdict(
    metric: str,
    asked: Judged,
    measured: Sequence[Tensor],
    *,
    protocol: str,
    higher_is_better: bool = True,
    curves: Sequence[Tensor] | None = None,
) -> Evaluation:
    """The metric's verdict from what it ``measured`` of each case: ``[rows]``, or ``[draws, rows]`` with several draws.

    With several examples intervals are bootstrapped over examples. With one they are over draws where there are some,
    else none; that of the random row is where a single random map would lie, so that an answer outside it differs from
    chance. ``curves`` are those of the cases, ``[rows, steps + 1]``, and may differ in length.
    """
    samples = [sample if sample.ndim == 2 else sample[None] for sample in measured]
    fixed = len(asked.answers) + len(asked.controls) - 1
    per_case = torch.stack([_with_chance(sample.mean(0), fixed) for sample in samples], 1)
    rows = torch.stack([per_case.mean(1), *_intervals(samples, per_case, fixed, asked.seed).unbind(1)], 1)
    number = len(asked.answers)
    return Evaluation(
        metric=metric,
        names=asked.names,
        value=rows[:number, 0],
        interval=rows[:number, 1:],
        per_example=per_case[:number],
        control=dict(zip(asked.controls, rows[number:], strict=True)),
        control_per_example=per_case[number:],
        curve=None if curves is None else _mean_curve(curves, fixed),
        higher_is_better=higher_is_better,
        protocol=protocol,
        notes=(_about_intervals(samples, fixed),),
    )


def _with_chance(rows: Tensor, fixed: int) -> Tensor:
    return torch.cat([rows[:fixed], rows[fixed:].mean(0, keepdim=True)])


def _intervals(samples: list[Tensor], per_case: Tensor, fixed: int, seed: int) -> Tensor:
    if len(samples) > 1:
        return mean_intervals(per_case, seed)[:, 1:]
    (sample,) = samples
    found = [_student(sample[:, row], 0.0) for row in range(fixed)]
    maps = sample[:, fixed:]
    found.append(_student(maps.mean(0), 1.0) if maps.shape[1] > 1 else _student(maps[:, 0], 0.0))
    return torch.tensor(found, dtype=torch.float64)


def _student(draws: Tensor, single: float) -> tuple[float, float]:
    """The interval of the mean of ``draws``; with ``single`` = 1 that in which one more draw would lie."""
    middle, count = float(draws.mean()), len(draws)
    if count < 2:
        return middle, middle
    half = float(draws.std()) * float(student.ppf(0.975, count - 1)) * math.sqrt(single + 1 / count)
    return middle - half, middle + half


def _mean_curve(curves: Sequence[Tensor], fixed: int) -> Tensor:
    longest = max(curve.shape[-1] for curve in curves)
    padded = [torch.cat([c, c[:, -1:].expand(-1, longest - c.shape[-1])], 1) for c in curves]
    lines = torch.stack(padded).mean(0)
    return torch.cat([lines[:fixed], lines[fixed:].mean(0, keepdim=True)])


def _about_intervals(samples: list[Tensor], fixed: int) -> str:
    if len(samples) > 1:
        return f"Intervals are 95 %, by bootstrap over {len(samples)} examples."
    draws, maps = samples[0].shape[0], samples[0].shape[1] - fixed
    over = (
        f"Intervals are 95 % over {draws} draws" if draws > 1 else "One example and no draws: answers have no interval"
    )
    chance = (
        f"the random row shows the range in which a single random map would lie (from {maps})"
        if maps > 1
        else "the random row is one random map"
    )
    return f"{over}; {chance}. It supports statements about this one example only."
