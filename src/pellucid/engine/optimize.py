"""The optimisation of inputs: gradient ascent of what units answer, many pictures in one batch, each on its own.

What is optimised is the ``leaf`` of a canvas, which draws the point from it; a step rule says what a gradient adds to it,
and operations ``after`` each step keep it in a set or make it smoother. Rows never mix: a picture comes out the same alone
and in a batch.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pellucid.core import meter
from pellucid.core.errors import NotAnswerable
from pellucid.core.seeds import generator
from pellucid.core.subject import Inputs, Run, Subject
from pellucid.engine.gradients import settled
from pellucid.engine.passing import PassingRectifiers
from pellucid.engine.targets import Objective

_MANY = 1_000_000


class Canvas(Protocol):
    """What is optimised, and how the point is drawn from it."""

    @property
    def leaf(self) -> Tensor:
        """``[rows, …]``, where the ascent starts."""

    def draw(self, leaf: Tensor) -> Tensor:
        """The point ``[rows, …point]``, differentiable."""


@dataclass(frozen=True)
class Moment:
    """What operations after a step may look at: the step's number of ``steps``, the ``point`` that was shown, the
    objective's ``values`` ``[rows]``, the ``totals`` with penalties, the ``gradient`` at the leaf before the step, and the
    pass itself."""

    step: int
    steps: int
    point: Tensor
    values: Tensor
    totals: Tensor
    gradient: Tensor
    run: Run


@dataclass(frozen=True)
class Course:
    """Where an ascent ended: ``images`` ``[rows, …point]``, the objective there ``[rows]``, its ``trace`` ``[rows, steps]``
    on the way, the ``leaf`` and which rows ``moved``: of the others the gradient was zero at every step. ``best`` are the
    images on the way at which the objective less its penalties was largest, ``best_values`` the objective there."""

    images: Tensor
    values: Tensor
    trace: Tensor
    leaf: Tensor
    moved: Tensor
    best: Tensor
    best_values: Tensor

    def rows(self, index: Tensor) -> "Course":
        """Where some of the rows ended."""
        return Course(*(getattr(self, name)[index] for name in Course.__dataclass_fields__))


# What a step adds to the leaf, from the gradient [rows, …], the objective's values [rows] and the step's number.
Step = Callable[[Tensor, Tensor, int], Tensor]
# A rule makes a step with a state of its own.
Rule = Callable[[], Step]
Penalty = Callable[[Tensor], Tensor]
After = Callable[[Tensor, Moment], Tensor]
# A picture as it is shown to the network at one step, from the point and a source of random numbers per row.
Transform = Callable[[Tensor, Sequence[torch.Generator]], Tensor]


def ascend(
    subject: Subject,
    inputs: Inputs,
    objective: Objective,
    canvas: Canvas,
    *,
    steps: int,
    rule: Rule,
    penalties: Sequence[Penalty] = (),
    transform: Transform | None = None,
    after: Sequence[After] = (),
    seed: int = 0,
    label: str = "ascent",
) -> Course:
    """Ascend ``objective − Σ penalties`` from the leaf of ``canvas``, row by row of ``inputs``, whose points are replaced.

    Penalties are of the point, ``[rows]`` each, and are subtracted as they are. The pass ends at the layer that is asked
    about. A row whose gradient is zero, such as one of a unit behind a rectifier that is silent, gets that of a network whose
    rectifiers let it pass. Raises ``NotAnswerable`` where no row moves or the objective is no longer a number.
    """
    size = max(1, subject.batch_size(inputs) // 2)
    parts = []
    for start in range(0, len(inputs), size):
        rows = slice(start, min(start + size, len(inputs)))
        work = _Ascent(subject, inputs.rows(rows), objective.rows(rows), canvas, penalties, transform)
        draws = [generator(seed, label, row) for row in canvas.leaf[rows]]
        parts.append(work.course(canvas.leaf[rows], steps, rule(), after, draws, label, (start, len(inputs))))
    course = Course(*(torch.cat([getattr(part, name) for part in parts]) for name in Course.__dataclass_fields__))
    if not bool(course.moved.any()):
        raise NotAnswerable(
            f"nothing in the input of {subject.name} moves what was asked about: its gradient is zero; the unit may be "
            "constant. Ask weights or network-health"
        )
    return course


class _Ascent:
    """The ascent of one batch."""

    def __init__(
        self,
        subject: Subject,
        inputs: Inputs,
        objective: Objective,
        canvas: Canvas,
        penalties: Sequence[Penalty],
        transform: Transform | None,
    ) -> None:
        self._subject, self._inputs, self._objective = subject, inputs, objective
        self._canvas, self._penalties, self._transform = canvas, penalties, transform
        self._rectifiers = _MANY  # until they were counted

    def course(
        self,
        leaf: Tensor,
        steps: int,
        step: Step,
        after: Sequence[After],
        draws: Sequence[torch.Generator],
        label: str,
        place: tuple[int, int],
    ) -> Course:
        leaf, trace = leaf.detach().clone(), []
        moved = torch.zeros(len(leaf), dtype=torch.bool)
        best = leaf
        most, values_there = (torch.full((len(leaf),), -torch.inf, dtype=leaf.dtype) for _ in range(2))
        for number in range(steps):
            moment = self._gradient(leaf, number, steps, draws)
            if not bool(moment.values.isfinite().all()):
                raise NotAnswerable(
                    f"what was asked about is no longer a number after {number} steps; take smaller steps (rate)"
                )
            totals, values = settled(moment.totals).to(most), settled(moment.values).to(most)
            better = totals > most
            best = torch.where(_beside(better, leaf), leaf, best)
            most, values_there = torch.where(better, totals, most), torch.where(better, values, values_there)
            moved |= settled(moment.gradient.flatten(1).any(1))
            leaf = leaf + step(moment.gradient, moment.values, number)
            for operation in after:
                leaf = operation(leaf, moment)
            trace.append(settled(moment.values))
            meter.report(place[0] * steps + (number + 1) * len(leaf), place[1] * steps, label)
        with torch.no_grad():
            images = self._canvas.draw(leaf)
            values = self._objective(self._pass(images))
            kept_best = self._canvas.draw(best)
        kept = torch.stack(trace, 1) if trace else torch.empty(len(leaf), 0)
        return Course(settled(images), settled(values), kept, settled(leaf), moved, settled(kept_best), values_there)

    def _gradient(self, leaf: Tensor, number: int, steps: int, draws: Sequence[torch.Generator]) -> Moment:
        states = [draw.get_state() for draw in draws]
        moment = self._differentiated(leaf, number, steps, draws)
        gradient, behind = moment.gradient, 1
        while bool((dead := ~gradient.flatten(1).any(1)).any()) and behind <= 2 * self._rectifiers:
            for draw, state in zip(draws, states, strict=True):
                draw.set_state(state)
            # As few rectifiers as will do, those nearest to the unit: without all of them it would be another network.
            with PassingRectifiers(max(0, self._rectifiers - behind)) as passing:
                woken = self._differentiated(leaf, number, steps, draws).gradient
            self._rectifiers, behind = passing.calls, 2 * behind
            gradient = torch.where(_beside(dead, leaf), woken, gradient)
        return dataclasses.replace(moment, gradient=gradient)

    def _differentiated(self, leaf: Tensor, number: int, steps: int, draws: Sequence[torch.Generator]) -> Moment:
        with torch.enable_grad():
            free = leaf.detach().requires_grad_()
            point = self._canvas.draw(free)
            run = self._pass(point if self._transform is None else self._transform(point, draws), differentiable=True)
            values = self._objective(run)
            total = values
            for penalty in self._penalties:
                total = total - penalty(point).to(total)
            if not total.requires_grad:
                raise NotAnswerable(
                    f"what was asked of {self._subject.name} does not depend differentiably on its input"
                )
            # Of the leaf alone: no gradient of a parameter is computed, and none is left behind.
            (gradient,) = torch.autograd.grad(total.sum(), free, allow_unused=True)
        meter.count(backward=len(leaf))
        gradient = torch.zeros_like(leaf) if gradient is None else gradient
        return Moment(number, steps, point.detach(), values.detach(), total.detach(), gradient, run)

    def _pass(self, point: Tensor, differentiable: bool = False) -> Run:
        asked = self._inputs.at(point)
        return self._subject.run(asked, capture=self._objective.capture, differentiable=differentiable, partial=True)


def plain(rate: float) -> Rule:
    """``rate · gradient``."""
    return lambda: lambda gradient, values, number: rate * gradient


def normalised(rate: float, by: str = "norm") -> Rule:
    """``rate · gradient`` divided by each row's ``norm``, or by the ``mean`` of its absolute value."""

    def step(gradient: Tensor, values: Tensor, number: int) -> Tensor:
        flat = gradient.flatten(1)
        size = flat.norm(dim=1) if by == "norm" else flat.abs().mean(1)
        return rate * gradient / _beside(size.clamp(min=torch.finfo(gradient.dtype).tiny), gradient)

    return lambda: step


def adam(rate: float, decays: tuple[float, float] = (0.9, 0.999), small: float = 1e-3) -> Rule:
    """Adam (kingma2015adam), whose state is per element, for gradients divided by each row's root mean square at the first
    step: ``small`` is relative to that, so that elements that matter nothing do not follow rounding errors."""

    def fresh() -> Step:
        mean = square = torch.zeros(())
        size = torch.zeros(0)

        def step(gradient: Tensor, values: Tensor, number: int) -> Tensor:
            nonlocal mean, square, size
            size = gradient.flatten(1).square().mean(1).sqrt() if number == 0 else size
            gradient = gradient / _beside(size.clamp(min=torch.finfo(gradient.dtype).tiny), gradient)
            mean = decays[0] * mean + (1 - decays[0]) * gradient
            square = decays[1] * square + (1 - decays[1]) * gradient.square()
            corrected = square / (1 - decays[1] ** (number + 1))
            return rate * mean / (1 - decays[0] ** (number + 1)) / (corrected.sqrt() + small)

        return step

    return fresh


def rms(rate: float, decay: float = 0.95, small: float = 1e-7) -> Rule:
    """Each element divided by the root of its running mean square, from zero."""

    def fresh() -> Step:
        square = torch.zeros(())

        def step(gradient: Tensor, values: Tensor, number: int) -> Tensor:
            nonlocal square
            square = decay * square + (1 - decay) * gradient.square()
            return rate * gradient / (square + small).sqrt()

        return step

    return fresh


def momentum(rates: Sequence[float], decay: float = 0.9) -> Rule:
    """Momentum with a rate for each step, from zero again whenever the rate changes (mahendran2015understanding)."""

    def fresh() -> Step:
        speed = torch.zeros(())

        def step(gradient: Tensor, values: Tensor, number: int) -> Tensor:
            nonlocal speed
            if number and rates[number] != rates[number - 1]:
                speed = torch.zeros(())
            speed = decay * speed + rates[number] * gradient
            return speed

        return step

    return fresh


def total_variation(x: Tensor, beta: float = 2.0) -> Tensor:
    """``Σ ((x[i, j+1] − x[i, j])² + (x[i+1, j] − x[i, j])²)^(β/2)`` of pictures ``[…, height, width]``, over all axes but
    the first: ``[rows]`` (mahendran2015understanding).

    Differences are zero beyond the last row and column. Where both are zero the gradient is 0, for any exponent.
    """
    right = torch.nn.functional.pad(x.diff(dim=-1), (0, 1))
    down = torch.nn.functional.pad(x.diff(dim=-2), (0, 0, 0, 1))
    square = right.square() + down.square()
    varies = square > 0
    return (torch.where(varies, square, torch.ones_like(square)) ** (beta / 2) * varies).flatten(1).sum(1)


def power_norm(x: Tensor, exponent: float = 2.0) -> Tensor:
    """``Σ |x|^exponent`` of each row: ``[rows]``."""
    return x.abs().pow(exponent).flatten(1).sum(1)


def _beside(numbers: Tensor, like: Tensor) -> Tensor:
    """One number per row, in a shape that multiplies rows."""
    return numbers.view(-1, *[1] * (like.ndim - 1))
