"""What a relevance propagation reports: the scores, and where the rest of the explained value went, step by step."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

# A sum whose terms are together this many times larger than it is: its shares mean little.
_CANCELLING = 10.0


@dataclass(frozen=True)
class LayerRelevance:
    """What one operation did: relevance that arrived at its output, went to its inputs, and was absorbed, ``[batch]``.

    ``amplification`` ``[batch]`` of a sum is the size of its terms' relevance over that of the relevance itself: 1 where
    the terms agree in sign, large where they nearly cancel.
    """

    place: str
    operation: str
    rule: str
    arriving: Tensor
    leaving: Tensor
    absorbed: Mapping[str, Tensor]
    amplification: Tensor | None = None

    @property
    def residual(self) -> Tensor:
        """What arrived, less what left and what was absorbed: rounding."""
        return self.arriving - self.leaving - sum(self.absorbed.values(), start=torch.zeros_like(self.arriving))

    @property
    def cancels(self) -> bool:
        """Whether terms nearly cancel in any example."""
        return self.amplification is not None and bool((self.amplification > _CANCELLING).any())


@dataclass
class Step:
    """A ``LayerRelevance`` in the making: its sums are still numbers of accounts."""

    place: str
    operation: str
    rule: str = ""
    arriving: list[int] = field(default_factory=list)
    leaving: list[int] = field(default_factory=list)
    absorbed: dict[str, list[int]] = field(default_factory=dict)
    amplification: tuple[int, int] | None = None

    def settled(self, totals: Tensor) -> LayerRelevance:
        """The same with its sums, ``totals[account]``."""
        ratio = None
        if self.amplification is not None:
            spread, size = totals[self.amplification[0]], totals[self.amplification[1]]
            ratio = spread / size.clamp(min=torch.finfo(torch.float32).tiny)
        absorbed = {source: totals[accounts].sum(0) for source, accounts in self.absorbed.items()}
        arriving, leaving = totals[self.arriving].sum(0), totals[self.leaving].sum(0)
        return LayerRelevance(self.place, self.operation, self.rule, arriving, leaving, absorbed, ratio)


@dataclass(frozen=True, eq=False)
class Relevance:
    """``scores`` in the shape of the point (or of the layer ``at``), and where the rest of ``value`` ``[batch]`` went.

    value = Σ scores + Σ absorbed + residual for each example. ``absorbed`` names its sources, the model's other inputs
    among them; each amount comes from its own formula, none is a difference. ``read`` holds the relevance of further
    layers. Sums are float64, scores float32 (float64 where the model is); all on the CPU.
    """

    scores: Tensor
    value: Tensor
    absorbed: Mapping[str, Tensor]
    steps: Sequence[Step]
    totals: Tensor
    at: str = ""
    read: Mapping[str, Tensor] = field(default_factory=dict)

    @functools.cached_property
    def layers(self) -> tuple[LayerRelevance, ...]:
        """The account of every operation, from the score to the point."""
        return tuple(step.settled(self.totals) for step in self.steps)

    @property
    def total(self) -> Tensor:
        """The sum of the scores, ``[batch]``."""
        return self.scores.reshape(len(self.value), -1).sum(1, dtype=torch.float64)

    @property
    def residual(self) -> Tensor:
        """The part of the value that is in no account: rounding, ``[batch]``."""
        return self.value - self.total - sum(self.absorbed.values(), start=torch.zeros_like(self.value))

    @property
    def reaching(self) -> Tensor:
        """The share of the value that arrives at the point, ``[batch]``."""
        return self.total / self.value
