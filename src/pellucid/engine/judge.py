"""Asking a subject, over and over, how far a changed example is from a goal: counted, batched, and within hard limits."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.meter import report
from pellucid.core.seeds import generator
from pellucid.core.spec import Access
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.batching import evaluate
from pellucid.engine.goals import Goal
from pellucid.engine.gradients import gradients
from pellucid.engine.search_space import SearchSpace

# How far elements are moved, in units of their cost, to see what that does: the first that shows anything counts.
_MOVES = (1e-3, 0.1, 1.0)
_MOST_COORDINATES = 2048


class SpentError(Exception):
    """The budget of passes or of time is used up."""


@dataclass
class Best:
    """Of all points that were judged the cheapest admissible one that reaches the goal, and the one that came closest to it.

    Both are offsets in ``space`` that keep to all that is asked, with at most ``most`` features changed. ``price`` is what
    makes one cheaper than another, by default the space's own cost.
    """

    space: SearchSpace
    most: int | None = None
    offsets: Tensor | None = None
    cost: float = torch.inf
    closest: Tensor | None = None
    gap: float = -torch.inf
    price: Callable[[Tensor], Tensor] | None = None

    def see(self, points: Tensor, gaps: Tensor, met: Tensor) -> None:
        """Remember what is better than what is known."""
        offsets = self.space.offsets(points)
        costs = (self.price or self.space.cost)(offsets)
        cheaper, nearer = met & (costs < self.cost), (gaps > self.gap) & (self.offsets is None)
        rows = (cheaper | nearer).nonzero()[:, 0]
        rows = rows[self.space.kept(offsets[rows], self.most)] if len(rows) else rows
        if not len(rows):
            return
        good = torch.where(met[rows], costs[rows], torch.inf)
        if float(good.min()) < self.cost:
            self.offsets, self.cost = offsets[rows[good.argmin()]].clone(), float(good.min())
        if float(gaps[rows].max()) > self.gap:
            self.closest, self.gap = offsets[rows[gaps[rows].argmax()]].clone(), float(gaps[rows].max())


class Limiter:
    """Counts passes; raises ``SpentError`` before more than ``budget`` are made, or when the time is over."""

    def __init__(self, budget: int, seconds: float | None) -> None:
        self.budget, self.passes = budget, 0
        self._deadline = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> int:
        """How many passes may still be made."""
        return self.budget - self.passes

    def spend(self, passes: int) -> None:
        """Ask for so many passes."""
        late = self._deadline is not None and time.monotonic() > self._deadline
        if late or passes > self.left:
            raise SpentError("the time was over" if late else f"the budget of {self.budget} passes was used up")
        self.passes += passes
        report(self.passes, self.budget, "counterfactual")


class Judge(Limiter):
    """Gaps and their slopes for points around ``one`` example; raises ``SpentError`` before a limit is passed.

    ``best`` sees every point whose gap is asked. Without gradients slopes are differences: element by element, or, of very
    many, along random directions.
    """

    def __init__(
        self, subject: Subject, one: Inputs, goal: Goal, best: Best, budget: int, seconds: float | None
    ) -> None:
        super().__init__(budget, seconds)
        self.goal, self.best = goal, best
        self.differentiable = Access.GRADIENTS in subject.offers and one.value.is_floating_point()
        self._subject, self._one = subject, one

    def gaps(self, space: SearchSpace, offsets: Tensor) -> Tensor:
        """The gap of every row, ``[n]``: positive where the goal is reached."""
        self.spend(len(offsets))
        rows, points = torch.zeros(len(offsets), dtype=torch.long), space.points(offsets)
        found = evaluate(self._subject, self._one, self.goal, rows, lambda part: points[part])
        self.best.see(points, found, self.goal.met(found))
        return found

    def slopes(self, space: SearchSpace, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """The gap of every row, and its slopes along the elements of the space: ``[n]`` and ``[n, elements]``."""
        if not self.differentiable:
            return self._differences(space, offsets)
        self.spend(len(offsets))
        repeated = self._one.rows(torch.zeros(len(offsets), dtype=torch.long))
        found = gradients(self._subject, repeated, self.goal, replaced=space.points(offsets))
        slopes = found.gradient.flatten(1).double() * space.unit
        return found.values.double(), torch.where(space.movable, slopes, torch.zeros_like(slopes))

    def cost_of_slopes(self, space: SearchSpace) -> int:
        """How many passes the slopes of one row take."""
        return 1 if self.differentiable else min(int(space.movable.sum()), _MOST_COORDINATES) + 1

    def _differences(self, space: SearchSpace, offsets: Tensor) -> tuple[Tensor, Tensor]:
        directions = self._directions(space)
        gaps = self.gaps(space, offsets)
        slopes = torch.zeros_like(offsets)
        for number, row in enumerate(offsets):
            for move in _MOVES:
                up, down = (space.clamped(row + sign * move * directions) for sign in (1, -1))
                ends = torch.where((up == row).all(1, keepdim=True), down, up)
                run = ((ends - row) * directions).sum(1) / directions.square().sum(1)
                rise = self.gaps(space, ends) - gaps[number]
                rate = torch.where(run != 0, rise / torch.where(run != 0, run, 1.0), 0.0)
                if bool((rate != 0).any()):
                    slopes[number] = rate @ directions
                    break
        return gaps, slopes

    def _directions(self, space: SearchSpace) -> Tensor:
        movable = space.movable.nonzero()[:, 0]
        if len(movable) <= _MOST_COORDINATES:
            return torch.eye(len(space.origin), dtype=torch.float64)[movable]
        draws = generator(0, "counterfactual", self._one.value[0])
        found = torch.randn(_MOST_COORDINATES, len(space.origin), generator=draws, dtype=torch.float64)
        return torch.where(space.movable, found, torch.zeros_like(found)) / len(movable) ** 0.5
