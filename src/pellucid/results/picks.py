"""Picks: a few cases that together show what matters over many."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result
from pellucid.results.attribution import Attribution


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Picks(Result):
    """Cases ``picked`` ``[picks]`` out of ``cases``, in the order of choice, and their explanations.

    ``covered`` ``[picks]`` is the share of all importance that the picks so far show. ``names`` are the features that
    occur in any explanation, ``importance`` ``[features]`` how much each matters over all cases, ``total`` ``[features]``
    the sum of its scores, which tells its side, and ``occurrences`` ``[features]`` in how many explanations it is.
    """

    picked: Tensor
    covered: Tensor
    names: tuple[str, ...]
    importance: Tensor
    total: Tensor
    occurrences: Tensor
    explanations: Attribution
    cases: int
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        picks, features = len(self.picked), len(self.names)
        if len(self.covered) != picks or len(self.explanations) != picks:
            raise ValueError(f"{len(self.covered)} shares and {len(self.explanations)} explanations for {picks} picks")
        if picks and not 0 <= int(self.picked.min()) <= int(self.picked.max()) < self.cases:
            raise ValueError("picks are outside the cases")
        for name in ("importance", "total", "occurrences"):
            if len(getattr(self, name)) != features:
                raise ValueError(f"{name} is of {len(getattr(self, name))} features, not {features}")

    def strongest(self, number: int) -> list[int]:
        """The most important features, equals in alphabetical order."""
        order = sorted(range(len(self.names)), key=lambda place: (-float(self.importance[place]), self.names[place]))
        return order[:number]

    def table(self) -> list[dict[str, Any]]:
        rows = []
        for rank, number in enumerate(self.picked.tolist()):
            scores = self.explanations.by_feature()[rank]
            order = [place for place in scores.abs().argsort(descending=True, stable=True).tolist() if scores[place]]
            shown = ", ".join(
                f"{self.explanations.label(rank, place)} {float(scores[place]):+.3g}" for place in order[:5]
            )
            rows.append(
                {
                    "rank": rank + 1,
                    "case": number,
                    "explains": self.explanations.question(rank),
                    "covered": float(self.covered[rank]),
                    "strongest": shown,
                }
            )
        return rows

    def summary(self) -> str:
        told = ", ".join(
            f"{self.names[place]} ({float(self.total[place]):+.3g} in {int(self.occurrences[place])})"
            for place in self.strongest(5)
        )
        share = f"{float(self.covered[-1]):.0%}" if len(self.covered) else "nothing"
        lines = [
            f"Over {self.cases} cases the most important of {len(self.names)} features are {told}.",
            f"{len(self.picked)} cases show {share} of all importance: {', '.join(map(str, self.picked.tolist()))}.",
        ]
        return "\n".join([*lines, *self.notes])
