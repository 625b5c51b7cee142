"""An evolution: what excites a unit most, from one checkpoint of the training to the next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result
from pellucid.core.subject import Inputs


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Evolution(Result):
    """Unit ``index`` of ``layer`` at each of ``checkpoints``, on the same data.

    ``examples`` ``[checkpoints, k]`` are the numbers of the strongest examples, best first, ``values`` their activations.
    ``overlap`` ``[checkpoints]`` is the share of the last checkpoint's examples that are among them. Of the very strongest
    one at each checkpoint, ``names`` are the names and ``regions`` ``[checkpoints, 4]`` what the unit sees of it: top, left,
    bottom, right; ``shown`` are these examples themselves, which stay in memory only.
    """

    layer: str
    index: int | tuple[int, ...]
    checkpoints: tuple[str, ...]
    examples: Tensor
    values: Tensor
    overlap: Tensor
    names: tuple[str, ...]
    regions: Tensor | None = None
    shown: Inputs | None = field(default=None, compare=False, repr=False)
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        number = len(self.checkpoints)
        for name in ("examples", "values", "overlap", "names"):
            if len(getattr(self, name)) != number:
                raise ValueError(f"{name} are of {len(getattr(self, name))} checkpoints, of {number}")
        if self.examples.shape != self.values.shape:
            raise ValueError(f"examples are {tuple(self.examples.shape)} and values {tuple(self.values.shape)}")
        if self.regions is not None and tuple(self.regions.shape) != (number, 4):
            raise ValueError(f"regions are {tuple(self.regions.shape)} for {number} checkpoints")

    @property
    def unit(self) -> str:
        """The unit in words."""
        return f"{'channel' if isinstance(self.index, int) else 'unit'} {self.index} of {self.layer}"

    @property
    def jumps(self) -> Tensor:
        """Where the strongest example is another one than at the checkpoint before, ``[checkpoints]``."""
        first = self.examples[:, 0]
        return torch.cat([torch.zeros(1, dtype=torch.bool), first[1:] != first[:-1]])

    def settled(self) -> int:
        """The first checkpoint from which on the strongest example stays."""
        jumps = self.jumps.nonzero().flatten()
        return int(jumps[-1]) if len(jumps) else 0

    def table(self) -> list[dict[str, Any]]:
        return [
            {
                "checkpoint": name,
                "strongest": self.names[number],
                "example": int(self.examples[number, 0]),
                "activation": float(self.values[number, 0]),
                "overlap": float(self.overlap[number]),
                "jump": bool(self.jumps[number]),
            }
            for number, name in enumerate(self.checkpoints)
        ]

    def summary(self) -> str:
        number, k = self.examples.shape
        jumps = [self.checkpoints[place] for place in self.jumps.nonzero().flatten().tolist()]
        told = f"jumps to another at {', '.join(jumps)}" if jumps else "is the same at all"
        lines = [
            f"{self.unit} over {number} checkpoints: the strongest example {told}.",
            f"It stays from {self.checkpoints[self.settled()]} on; the strongest activation goes from "
            f"{float(self.values[0, 0]):.3g} to {float(self.values[-1, 0]):.3g}.",
            f"Of the last {k} strongest examples {float(self.overlap[0]):.0%} are among those of {self.checkpoints[0]}.",
        ]
        return "\n".join([*lines, *self.notes])
