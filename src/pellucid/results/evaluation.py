"""An evaluation: how good answers are, against control rows, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation(Result):
    """A metric's verdict on one or several answers that were judged on shared model calls.

    ``names`` are the judged answers; ``value`` ``[answers]`` the metric, its mean over examples; ``interval``
    ``[answers, 2]`` its 95 % interval; ``per_example`` ``[answers, examples]``. ``control`` holds the same metric for
    rows that know nothing (random, edge, constant) as ``[value, low, high]``, ``control_per_example`` ``[controls,
    examples]`` in the same order. ``curve`` ``[answers + controls, steps +
    1]`` is the mean score as the replacement goes on, where the metric has one. ``protocol`` says in words what was
    done.
    """

    metric: str
    names: tuple[str, ...]
    value: Tensor
    interval: Tensor
    per_example: Tensor
    control: Mapping[str, Tensor] = field(default_factory=dict)
    control_per_example: Tensor | None = None
    curve: Tensor | None = None
    higher_is_better: bool = True
    protocol: str = ""
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        for name in ("value", "interval", "per_example"):
            if len(getattr(self, name)) != len(self.names):
                raise ValueError(f"{name} has {len(getattr(self, name))} rows for {len(self.names)} answers")

    def table(self) -> list[dict[str, Any]]:
        rows = [
            {"answer": name, "value": float(value), "low": float(low), "high": float(high)}
            for name, value, (low, high) in zip(self.names, self.value, self.interval, strict=True)
        ]
        for name, (value, low, high) in self.control.items():
            rows.append({"answer": f"control: {name}", "value": float(value), "low": float(low), "high": float(high)})
        return rows

    def beats(self, name: str, control: str) -> bool:
        """Whether an answer is better than a control row with intervals that do not overlap."""
        low, high = self.interval[self.names.index(name)].tolist()
        _, control_low, control_high = self.control[control].tolist()
        return low > control_high if self.higher_is_better else high < control_low

    def summary(self) -> str:
        rows = [f"{row['answer']} {row['value']:.4g} [{row['low']:.4g}, {row['high']:.4g}]" for row in self.table()]
        return f"{self.metric}: " + "; ".join(rows)
