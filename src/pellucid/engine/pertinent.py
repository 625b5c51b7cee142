"""Pertinent negatives and positives: what is missing from an example, and what of it suffices (dhurandhar2018explanations).

Both minimise ``c · max(−gap, −κ) + β |d|₁ + |d|₂² + γ |x − autoencoder(x)|²``. A negative adds d to the example, away from
the value that stands for no information; a positive adds d to that value, towards the example. So both are bounds on d.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import SubjectFailed
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.boundary import reached
from pellucid.engine.goals import Goal
from pellucid.engine.judge import Best, Judge, SpentError
from pellucid.engine.outcomes import Limits, Outcome, outcome
from pellucid.engine.proximal import Cost, descend
from pellucid.engine.search_space import SearchSpace

_STRENGTHS = tuple(10.0**power for power in range(-2, 5))
_REFINED = 4
_TOLERANCE, _FINE = 1e-4, 1e-10


@dataclass(frozen=True)
class Pertinent:
    """The weights of the objective: β of sparsity, κ of the gap beyond the goal, γ of the autoencoder's error.

    ``strength`` is c where it is given, instead of being looked for.
    """

    sparsity: float
    margin: float
    likeness: float = 0.0
    autoencoder: Callable[[Tensor], Any] | None = None
    strength: float | None = None
    iterations: int = 500

    def price(self, space: SearchSpace, offsets: Tensor) -> Tensor:
        """All of the objective but what c weighs, of each row."""
        size = self.sparsity * offsets.abs().sum(1) + offsets.square().sum(1)
        return size + self.unlikeness(space, offsets)[0]

    def unlikeness(self, space: SearchSpace, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """γ |x − autoencoder(x)|² of each row, and its slopes."""
        if self.autoencoder is None or self.likeness == 0:
            return torch.zeros(len(offsets), dtype=torch.float64), torch.zeros_like(offsets)
        with torch.enable_grad():
            points = space.points(offsets).requires_grad_()
            again = self.autoencoder(points)
            if not isinstance(again, Tensor) or again.shape != points.shape:
                found = tuple(again.shape) if isinstance(again, Tensor) else type(again).__name__
                raise SubjectFailed(f"the autoencoder returns {found} for points {tuple(points.shape)}")
            errors = self.likeness * (points - again).square().flatten(1).sum(1)
            slopes = torch.autograd.grad(errors.sum(), points)[0]
        return errors.detach().double(), slopes.flatten(1).double() * space.unit


def away_from(space: SearchSpace, nothing: Tensor) -> SearchSpace:
    """The space in which elements move away from ``nothing`` only; those that are there already move either way."""
    missing = nothing.flatten().double() - space.origin
    zero = torch.zeros_like(missing)
    return replace(
        space,
        low=torch.where(missing < 0, zero, space.low),
        high=torch.where(missing > 0, zero, space.high),
    )


def towards(space: SearchSpace, nothing: Tensor) -> SearchSpace:
    """The space around ``nothing`` in which elements move as far as the example at most; what may not move stays in it."""
    origin = nothing.flatten().double()
    there = (space.origin - origin) / space.unit
    still = ~space.movable
    low, high = (torch.where(still, there, bound) for bound in (there.clamp(max=0), there.clamp(min=0)))
    free = torch.zeros_like(space.whole)  # what is left out is no whole number, and no choice
    return replace(space, origin=origin, low=low, high=high, whole=free, choices=())


def pertinent(
    subject: Subject,
    one: Inputs,
    goal: Goal,
    space: SearchSpace,
    features: Features,
    weights: Pertinent,
    limits: Limits,
) -> Outcome:
    """The cheapest point that reaches the goal by κ: first for a row of c, then between those that fail and succeed."""
    farther = replace(goal, margin=weights.margin, slack=goal.slack + weights.margin)
    best = Best(space, limits.most, price=functools.partial(weights.price, space))
    judge, ended = Judge(subject, one, farther, best, limits.budget, limits.seconds), ""
    try:
        if weights.strength is not None:
            offsets = _minima(judge, space, weights, torch.tensor([weights.strength], dtype=torch.float64))
            best = Best(space, limits.most, offsets[0], closest=offsets[0])
        else:
            _by_strength(judge, space, weights)
    except SpentError as spent:
        ended = str(spent)
    return outcome(space, features, farther, one, best, ended)


def _by_strength(judge: Judge, space: SearchSpace, weights: Pertinent) -> None:
    strengths = torch.tensor(_STRENGTHS, dtype=torch.float64)
    judge.gaps(space, torch.zeros(1, len(space.origin), dtype=torch.float64))
    for _ in range(2):
        offsets, gaps = reached(judge, space, _minima(judge, space, weights, strengths))
        if bool(space.discrete.any()):
            judge.gaps(space, space.snapped(offsets, outwards=True))
        good = judge.goal.met(gaps)
        if not bool(good.any()):
            return
        cheapest = torch.where(good, weights.price(space, offsets), torch.inf).argmin()
        middle, step = strengths[cheapest], (strengths[1] / strengths[0]).log()
        strengths = middle * (torch.linspace(-1, 1, _REFINED, dtype=torch.float64) * step).exp()


def _minima(judge: Judge, space: SearchSpace, weights: Pertinent, strengths: Tensor) -> Tensor:
    margin = 2 * judge.goal.slack - weights.margin  # a little beyond, so that minima reach it

    def loss(offsets: Tensor, rows: Tensor) -> Tensor:
        missing = (margin - judge.gaps(space, offsets)).clamp(min=0) - margin
        return strengths[rows] * missing + weights.unlikeness(space, offsets)[0]

    def loss_and_slopes(offsets: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        gaps, slopes = judge.slopes(space, offsets)
        short = (gaps < margin).double()
        errors, uphill = weights.unlikeness(space, offsets)
        value = strengths[rows] * ((margin - gaps).clamp(min=0) - margin) + errors
        return value, -(strengths[rows] * short)[:, None] * slopes + uphill

    starts = torch.zeros(len(strengths), len(space.origin), dtype=torch.float64)
    cost = Cost(weights.sparsity, 1.0, space.low, space.high)
    tolerance = _TOLERANCE if weights.strength is None else _FINE
    return descend(loss, loss_and_slopes, cost, starts, weights.iterations, tolerance)[0]
