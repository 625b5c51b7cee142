"""Pictures drawn by a generator: what is optimised is its code, which stays where codes of data lie."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.seeds import generator
from pellucid.core.subject import Run
from pellucid.engine.codes import relative_error
from pellucid.engine.optimize import After, Rule, adam
from pellucid.engine.targets import Objective
from pellucid.results.decoder import Decoder


@runtime_checkable
class Generator(Protocol):
    """Makes points of codes, differentiably. A :class:`~pellucid.Decoder` is one.

    ``code`` and ``picture`` are the shapes of one code and one point; ``mean``, ``deviation`` and ``lowest`` ``[…code]`` are
    those of the codes of data.
    """

    code: tuple[int, ...]
    mean: Tensor
    deviation: Tensor
    lowest: Tensor

    @property
    def picture(self) -> tuple[int, ...]:
        """The shape of one point."""

    def __call__(self, codes: Tensor) -> Tensor:
        """Points ``[n, …picture]``."""


def opened(given: Any) -> Any:
    """A decoder from its file; a generator as it is. Raises ``UsageError`` for anything else."""
    found = Decoder.load(given) if isinstance(given, str | os.PathLike) else given
    if not isinstance(found, Generator):
        raise UsageError(
            f"a generator is a decoder that train-decoder made, its file, or an object that makes points of codes and has "
            f"code, picture, mean, deviation and lowest; not a {type(given).__name__}"
        )
    return found


@dataclass(frozen=True)
class Generated:
    """A canvas of codes."""

    leaf: Tensor
    generator: Generator

    def draw(self, leaf: Tensor) -> Tensor:
        """What the generator makes of them."""
        return self.generator(leaf)


@dataclass(frozen=True)
class Together:
    """Several objectives at once: their sum."""

    parts: tuple[Objective, ...]

    @property
    def capture(self) -> tuple[str, ...]:
        """The layers of all; none where one is read from the scores, for which the pass must not end early."""
        return tuple(dict.fromkeys(layer for part in self.parts for layer in part.capture))

    def rows(self, rows: Tensor | slice) -> "Together":
        """The same of some of the examples."""
        return replace(self, parts=tuple(part.rows(rows) for part in self.parts))

    def __call__(self, run: Run) -> Tensor:
        """``[batch]``."""
        return torch.stack([part(run) for part in self.parts]).sum(0)


def small_codes(made: Generator, seeds: Sequence[int]) -> Tensor:
    """Normal codes, one per seed, with a tenth of the deviation that codes of data have."""
    draws = [torch.randn(made.code, generator=generator(seed, "code", made.mean)) for seed in seeds]
    return 0.1 * made.deviation * torch.stack(draws).to(made.mean)


def within(made: Generator) -> After:
    """Keeps each element between 0 (where it is never negative), or else three deviations below its mean, and three above
    (nguyen2016synthesizing)."""
    low = torch.where(made.lowest >= 0, torch.zeros_like(made.mean), made.mean - 3 * made.deviation)
    high = made.mean + 3 * made.deviation
    return lambda leaf, moment: leaf.clamp(low, high)


def shrinking(rate: float, penalty: float) -> After:
    """The proximal step of ``penalty · |code|²``: after a plain step of ``rate`` it rests where the sum is stationary."""
    return lambda leaf, moment: leaf / (1 + 2 * rate * penalty)


def falling(rate: float, steps: int) -> Rule:
    """Steps whose mean size falls from ``rate`` to nothing, evenly."""

    def step(gradient: Tensor, values: Tensor, number: int) -> Tensor:
        size = gradient.flatten(1).abs().mean(1).clamp(min=torch.finfo(gradient.dtype).tiny)
        left = rate * (1 - number / max(1, steps - 1)) + 1e-10
        return left * gradient / size.view(-1, *[1] * (gradient.ndim - 1))

    return lambda: step


def range_distance(made: Generator, points: Tensor, codes: Tensor, steps: int = 0, rate: float = 0.1) -> Tensor:
    """How far points are from what a generator can make: the least ``|G(code) − x|² / |x|²`` that ``steps`` of Adam find from
    ``codes``, in float64: ``[n]``. An upper bound."""
    size = float(made.deviation.mean()) or 1.0
    step, found = adam(rate * size)(), torch.full((len(points),), math.inf, dtype=torch.float64)
    for number in range(steps + 1):
        with torch.enable_grad():
            free = codes.detach().clone().requires_grad_()
            missed = relative_error(made(free) - points, points)
            (gradient,) = torch.autograd.grad(missed.sum(), free)
        found = torch.minimum(found, missed.detach())
        codes = codes - step(gradient, missed, number)
    return found
