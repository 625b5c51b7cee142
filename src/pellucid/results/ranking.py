"""A ranking: many explanations of many examples, judged by many metrics on shared model calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result

LEVEL = 0.05


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Ranking(Result):
    """Methods × metrics over the same examples, with what may and what may not be said of them.

    ``rows`` are the methods, then the control rows, which know nothing about the network (``controls`` of them).
    ``values`` ``[metrics, rows, examples]`` are NaN where a metric could not judge. ``means`` ``[metrics, rows, 3]`` hold
    mean, low and high (95 %, bootstrap over examples), ``different`` ``[metrics, rows, rows]`` the corrected p-values of
    paired tests, ``ranks`` ``[rows, 3]`` the mean rank over metrics (1 is best) with its interval, ``agreement``
    ``[metrics, metrics]`` how alike two metrics order the rows. ``cost`` ``[methods, 2]`` are passes per example, in F and
    B. ``refused`` says why a method or a metric was not asked, ``failed`` which examples could not be read.
    """

    subject: str
    examples: tuple[str, ...]
    metrics: tuple[str, ...]
    higher_is_better: tuple[bool, ...]
    rows: tuple[str, ...]
    controls: int
    values: Tensor
    means: Tensor
    different: Tensor
    ranks: Tensor
    agreement: Tensor
    cost: Tensor
    protocols: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        expected = (len(self.metrics), len(self.rows), len(self.examples))
        if tuple(self.values.shape) != expected:
            raise ValueError(f"values have shape {tuple(self.values.shape)}, not {expected}")
        if not 0 <= self.controls < len(self.rows):
            raise ValueError(f"{self.controls} of {len(self.rows)} rows cannot be controls")

    @property
    def methods(self) -> tuple[str, ...]:
        """The rows that are explanations."""
        return self.rows[: len(self.rows) - self.controls]

    def order(self, metric: int) -> list[int]:
        """The methods that a metric judged, best mean first."""
        means = self.means[metric, : len(self.methods), 0]
        known = [row for row in range(len(means)) if bool(means[row].isfinite())]
        return sorted(known, key=lambda row: (-self._good(metric, float(means[row])), row))

    def told_apart(self, metric: int, one: int, other: int) -> bool:
        """Whether two rows differ for a metric: intervals that do not overlap, and a corrected paired test below 5 %."""
        (_, low, high), (_, other_low, other_high) = (self.means[metric, row].tolist() for row in (one, other))
        return (low > other_high or other_low > high) and float(self.different[metric, one, other]) < LEVEL

    def leaders(self, metric: int) -> list[str]:
        """The best method of a metric and all that cannot be told apart from it; one name is a winner."""
        order = self.order(metric)
        return [self.rows[row] for row in order if row == order[0] or not self.told_apart(metric, order[0], row)]

    def beats_controls(self, metric: int, row: int) -> bool:
        """Whether a method is better than every control row, and can be told apart from it."""
        own = self._good(metric, float(self.means[metric, row, 0]))
        controls = range(len(self.methods), len(self.rows))
        return all(
            own > self._good(metric, float(self.means[metric, control, 0])) and self.told_apart(metric, row, control)
            for control in controls
        )

    def by_rank(self) -> list[int]:
        """All rows by their mean rank over the metrics, best first; those without one last."""
        ranks = self.ranks[:, 0].nan_to_num(torch.inf).tolist()
        return sorted(range(len(self.rows)), key=lambda row: (ranks[row], row))

    def verdict(self) -> str:
        """What may be said over all metrics together."""
        ranked = [row for row in self.by_rank() if row < len(self.methods) and bool(self.ranks[row, 0].isfinite())]
        if len(ranked) < 2 or len(self.metrics) < 2:
            return "There is no order over all metrics: it takes two methods and two metrics."
        best, _, high = self.ranks[ranked[0]].tolist()
        beside = [self.rows[row] for row in ranked[1:] if float(self.ranks[row, 1]) <= high]
        where = f"mean rank {best:.1f} of {len(self.rows)} over {len(self.metrics)} metrics"
        name = self.rows[ranked[0]]
        if not beside:
            return f"{name} ranks best ({where}), with an interval that no other method's overlaps."
        listed = ", ".join(beside[:3]) + (", …" if len(beside) > 3 else "")
        return f"No winner over all metrics: {name} ranks first ({where}), but its interval overlaps that of {listed}."

    def statements(self) -> list[str]:
        """What may be said, over all metrics and metric by metric."""
        said = [self.verdict(), *(self.about(metric) for metric in range(len(self.metrics)))]
        if bool(self.different.isnan().all()):
            said.append("With so few inputs no paired test can tell rows apart at 5 %; six are the fewest.")
        return said

    def summary(self) -> str:
        return "\n".join(self.statements())

    def table(self) -> list[dict[str, Any]]:
        return [
            {
                "metric": name,
                "row": row,
                "control": place >= len(self.methods),
                **dict(zip(("mean", "low", "high"), self.means[metric, place].tolist(), strict=True)),
                "leads": row in self.leaders(metric) if place < len(self.methods) else False,
            }
            for metric, name in enumerate(self.metrics)
            for place, row in enumerate(self.rows)
        ]

    def about(self, metric: int) -> str:
        """What may be said by one metric."""
        name, order = self.metrics[metric], self.order(metric)
        if not order:
            return f"{name}: nothing could be judged."
        leaders = self.leaders(metric)
        good = [row for row in order if self.beats_controls(metric, row)]
        known = f"{len(good)} of {len(order)} methods are better than every control row"
        if len(leaders) == 1:
            return f"{name}: {leaders[0]} is best, told apart from all others; {known}."
        rest = len(leaders) - 1
        others = "any other" if len(leaders) == len(order) else f"{rest} other{'s' if rest > 1 else ''}"
        listed = ", ".join(leaders[1:4]) + (", …" if len(leaders) > 4 else "")
        return f"{name}: no winner. {leaders[0]} leads but cannot be told apart from {others} ({listed}); {known}."

    def _good(self, metric: int, value: float) -> float:
        return value if self.higher_is_better[metric] else -value
