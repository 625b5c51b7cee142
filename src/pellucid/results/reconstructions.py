"""Reconstructions: inputs made from codes, and how much of the input that means."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Reconstructions(Result):
    """``images`` ``[examples, starts, …point]``, in the network's own space, made from codes at ``layer``.

    ``error`` ``[examples, starts]`` is ``|Φ(x) − Φ₀|² / |Φ₀|²`` and ``strength`` is ``⟨Φ(x), Φ₀⟩ / |Φ₀|²``, 1 for the example
    itself. ``apart`` ``[examples, examples]`` is the same error of each other example (column) in the place of an image:
    how far codes of real inputs are from each other. ``correlation`` is that of the elements with the example's own, and
    ``agreement`` ``[examples]`` the mean one between starts, NaN where there is one. ``low`` and ``high`` are the bounds
    of the space where it has any, and ``trace`` ``[examples, starts, steps]`` the objective on the way.
    """

    layer: str
    images: Tensor
    error: Tensor
    strength: Tensor
    correlation: Tensor
    agreement: Tensor
    apart: Tensor
    low: Tensor | None = None
    high: Tensor | None = None
    trace: Tensor | None = None
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        asked = tuple(self.images.shape[:2])
        for name in ("error", "strength", "correlation"):
            if tuple(getattr(self, name).shape) != asked:
                raise ValueError(
                    f"{name} is {tuple(getattr(self, name).shape)}, images are of [examples, starts] = {asked}"
                )
        if tuple(self.agreement.shape) != asked[:1] or tuple(self.apart.shape) != (asked[0], asked[0]):
            raise ValueError(f"agreement and apart are not of {asked[0]} examples")
        if (self.low is None) != (self.high is None):
            raise ValueError("inputs are bounded on both sides or on none")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def nearest(self) -> Tensor:
        """How far the nearest code of another example is, ``[examples]``, NaN where there is no other."""
        if len(self) == 1:
            return torch.full((1,), torch.nan, dtype=torch.float64)
        own = torch.eye(len(self), dtype=torch.bool)
        return self.apart.double().masked_fill(own, torch.inf).amin(1)

    def table(self) -> list[dict[str, Any]]:
        nearest = self.nearest.tolist()
        return [
            {
                "example": example,
                "start": start + 1,
                "error": float(self.error[example, start]),
                "strength": float(self.strength[example, start]),
                "correlation": float(self.correlation[example, start]),
                "nearest other example": None if nearest[example] != nearest[example] else nearest[example],
            }
            for example in range(len(self))
            for start in range(self.images.shape[1])
        ]

    def summary(self) -> str:
        return "\n".join([*map(self._told, range(len(self))), *self.notes])

    def _told(self, example: int) -> str:
        starts = self.images.shape[1]
        made = f"{starts} reconstructions miss" if starts > 1 else "the reconstruction misses"
        said = [f"Example {example} from its code at {self.layer}: {made} {_span(self.error[example])} of the code"]
        if (nearest := float(self.nearest[example])) == nearest:
            said.append(f"; the nearest code of another example misses {nearest:.0%}")
        best = int(self.error[example].argmin())
        said.append(f". The best one correlates {float(self.correlation[example, best]):.2f} with the example")
        if (agreement := float(self.agreement[example])) == agreement:
            said.append(f", and the reconstructions {agreement:.2f} with each other")
        return "".join(said) + "."


def _span(values: Tensor) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.1%}" if f"{low:.1%}" == f"{high:.1%}" else f"{low:.1%} to {high:.1%}"
