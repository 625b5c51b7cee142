"""A health report: which units of a network do nothing, the same as others, or little, and what its layers cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class LayerHealth:
    """The units of one layer over the data.

    ``silent`` are constant, ``unused`` have no gradient from any score, ``saturated`` lie almost always at an end of what the
    activation returns; ``duplicates`` ``[pairs, 2]`` repeat an earlier unit, with their ``correlations``. ``without`` is the
    largest change of a score, relative to the largest one, and ``changed`` the share of decisions that change with its 95 %
    interval ``[3]``, where all of the silent, unused and duplicate units are removed.

    ``spare`` is how many units of least effect can be held at their means before more decisions change than was allowed,
    None where that was not asked.
    ``matched`` ``[others, 2]`` is the mean correlation of the units with those of each other network, matched one to one,
    and what matching gives by chance.
    """

    name: str
    kind: str
    units: int
    silent: Tensor
    unused: Tensor
    saturated: Tensor
    duplicates: Tensor
    correlations: Tensor
    without: float
    changed: Tensor
    spare: int | None
    matched: Tensor

    @property
    def removable(self) -> list[int]:
        """The units that are silent, unused or duplicates, ascending."""
        return sorted({*self.silent.tolist(), *self.unused.tolist(), *self.duplicates[:, :1].flatten().tolist()})


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class HealthReport(Result):
    """``layers`` over ``examples``, and ``costs`` ``[modules, 3]`` of one example by ``modules``: parameters, multiply-adds
    and bytes. ``seconds`` of processor time by module were measured where that was asked; they are no part of what the
    answer is.

    ``without`` and ``changed`` ``[3]`` are as of a layer, with the removable units of all layers removed at once.
    ``counts`` ``[others, layers, 4]`` are silent, unused, saturated and duplicate units of the ``others``.
    """

    layers: tuple[LayerHealth, ...]
    examples: int
    without: float
    changed: Tensor
    modules: tuple[str, ...]
    costs: Tensor
    seconds: Mapping[str, float] = field(default_factory=dict, metadata={"identity": False})
    others: tuple[str, ...] = ()
    counts: Tensor = field(default_factory=lambda: torch.zeros(0, 0, 4, dtype=torch.long))
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        if tuple(self.costs.shape) != (len(self.modules), 3):
            raise ValueError(f"costs are {tuple(self.costs.shape)} for {len(self.modules)} modules")
        if self.others and tuple(self.counts.shape) != (len(self.others), len(self.layers), 4):
            raise ValueError(f"counts are {tuple(self.counts.shape)} for {len(self.others)} others")
        for layer in self.layers:
            if len(layer.duplicates) != len(layer.correlations) or len(layer.matched) != len(self.others):
                raise ValueError(f"fields of layer {layer.name!r} contradict each other")

    def share(self, module: int, column: int) -> float:
        """A module's share of the parameters, multiply-adds or bytes of all."""
        return float(self.costs[module, column]) / max(float(self.costs[:, column].sum()), 1.0)

    def time_share(self, module: str) -> float | None:
        """A module's share of the processor time, None where it was not measured."""
        total = sum(self.seconds.values())
        return self.seconds[module] / total if module in self.seconds and total > 0 else None

    def table(self) -> list[dict[str, Any]]:
        return [
            {
                "layer": layer.name,
                "kind": layer.kind,
                "units": layer.units,
                "silent": len(layer.silent),
                "unused": len(layer.unused),
                "duplicate": len(layer.duplicates),
                "saturated": len(layer.saturated),
                "change without": layer.without,
                "decisions changed": float(layer.changed[0]),
                "spare": layer.spare,
            }
            for layer in self.layers
        ]

    def summary(self) -> str:
        total, gone = sum(layer.units for layer in self.layers), sum(len(layer.removable) for layer in self.layers)
        share, low, high = self.changed.tolist()
        kinds = ", ".join(
            f"{sum(len(getattr(layer, kind)) for layer in self.layers)} {word}"
            for kind, word in (
                ("silent", "silent"),
                ("unused", "unused"),
                ("duplicates", "duplicate"),
                ("saturated", "saturated"),
            )
        )
        lines = [
            f"Of {total} units in {len(self.layers)} layers over {self.examples} examples: {kinds}.",
            f"Without the {gone} that are silent, unused or duplicates no score changes by more than {self.without:.2g} of "
            f"the largest; {share:.1%} of the decisions change ({low:.1%} to {high:.1%}).",
        ]
        spares = [(layer.spare / layer.units, layer) for layer in self.layers if layer.spare is not None]
        if spares:
            _, most = max(spares, key=lambda pair: pair[0])
            lines.append(
                f"Of all layers, {most.name} can do without most: {most.spare} of its {most.units} units held at their means."
            )
        if len(self.modules):
            lines.append(
                "; ".join(self._dearest(column, word) for column, word in ((0, "parameters"), (1, "multiply-adds")))
                + "."
            )
        lines += [self._beside(place) for place in range(len(self.others))]
        return "\n".join([*lines, *self.notes])

    def _dearest(self, column: int, word: str) -> str:
        place = int(self.costs[:, column].argmax())
        total, share = int(self.costs[:, column].sum()), self.share(place, column)
        return f"{total:,} {word}, of which {share:.0%} in {self.modules[place]}"

    def _beside(self, place: int) -> str:
        pairs = [(layer.name, *layer.matched[place].tolist()) for layer in self.layers[:8]]
        told = ", ".join(f"{name} {found:.2f} ({chance:.2f})" for name, found, chance in pairs)
        own, other = sum(len(layer.silent) for layer in self.layers), int(self.counts[place, :, 0].sum())
        return (
            f"Beside {self.others[place]}: silent units {other} there, {own} here; units matched one to one correlate by "
            f"(by chance): {told}."
        )
