"""A comparison: how far explanations say the same, or, across kinds, how far they serve a reader alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pellucid.core.context import Context
from pellucid.core.record import record
from pellucid.core.result import Result

DISTANCES = ("moved score", "relative distance")


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison(Result):
    """Measures of every pair of ``names``, explanations of the given ``kinds``.

    ``pairs`` ``[pairs, 2]`` are places in ``names``. ``value`` ``[measures, pairs]`` is the mean over ``per`` (examples or
    questions), ``per_example`` ``[measures, pairs, examples]`` each of them and ``interval`` ``[measures, pairs, 2]`` the
    95 % interval of the mean. ``chance`` ``[measures, pairs, 3]`` is what explanations give that say nothing, because
    their scores were dealt out anew: the middle, and the ends of the range in which 95 % of such means lie.

    Without a ``context`` the measures are of what the explanations hold, which only those of one kind have in common.
    With one they are differences in what a reader gets right in that context.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    pairs: Tensor
    measures: tuple[str, ...]
    value: Tensor
    interval: Tensor
    chance: Tensor
    per_example: Tensor
    per: str = "example"
    context: Context | None = None
    protocol: str = ""
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        measures, pairs = len(self.measures), len(self.pairs)
        shapes = {
            "value": (measures, pairs),
            "interval": (measures, pairs, 2),
            "chance": (measures, pairs, 3),
            "per_example": (measures, pairs, self.per_example.shape[-1]),
            "pairs": (pairs, 2),
        }
        for name, shape in shapes.items():
            if tuple(getattr(self, name).shape) != shape:
                raise ValueError(f"{name} is {tuple(getattr(self, name).shape)}, not {shape}")
        if len(self.kinds) != len(self.names):
            raise ValueError(f"{len(self.kinds)} kinds of {len(self.names)} explanations")
        if pairs and not 0 <= int(self.pairs.min()) <= int(self.pairs.max()) < len(self.names):
            raise ValueError("pairs are outside the names")
        if self.context is None and len(set(self.kinds)) > 1:
            raise ValueError("explanations of different kinds have no distance without a context")

    def of(self, measure: str, one: str, other: str) -> float:
        """The mean of a measure for two explanations, whichever is named first; differences are first minus second."""
        row, pair, sign = self._found(measure, one, other)
        return sign * float(self.value[row, pair])

    def beyond_chance(self, measure: str, one: str, other: str) -> bool:
        """Whether two explanations are more alike than chance makes them, with an interval that holds nothing of its range;
        of differences in a context, whether there is one at all."""
        row, pair, _ = self._found(measure, one, other)
        low, high = self.interval[row, pair].tolist()
        _, least, most = self.chance[row, pair].tolist()
        if self.context is not None:
            return not low <= 0 <= high
        return high < least if measure in DISTANCES else low > most

    def table(self) -> list[dict[str, Any]]:
        rows = []
        for pair, (one, other) in enumerate(self.pairs.tolist()):
            for row, measure in enumerate(self.measures):
                low, high = self.interval[row, pair].tolist()
                chance, least, most = self.chance[row, pair].tolist()
                told = {"one": self.names[one], "other": self.names[other], "measure": measure}
                told |= {"value": float(self.value[row, pair]), "low": low, "high": high}
                rows.append(told | {"chance": chance, "from": least, "to": most})
        return rows

    def statements(self) -> list[str]:
        """What was found, a sentence for each pair."""
        return [self._told(pair) for pair in range(len(self.pairs))]

    def summary(self) -> str:
        start = [] if self.context is None else [f"In the context: {self.context}"]
        return "\n".join([*start, *self.statements(), *self.notes])

    def _told(self, pair: int) -> str:
        one, other = (self.names[place] for place in self.pairs[pair].tolist())
        said = []
        for row, measure in enumerate(self.measures):
            low, high = self.interval[row, pair].tolist()
            _, least, most = self.chance[row, pair].tolist()
            said.append(
                f"{measure} {float(self.value[row, pair]):.2f} [{low:.2f}, {high:.2f}] (by chance {least:.2f} to {most:.2f})"
            )
        between = f"{one} and {other}" if self.context is None else f"{one} rather than {other}"
        return f"{between}: {', '.join(said)}."

    def _found(self, measure: str, one: str, other: str) -> tuple[int, int, int]:
        wanted = [self.names.index(one), self.names.index(other)]
        for pair, places in enumerate(self.pairs.tolist()):
            if places in (wanted, wanted[::-1]):
                sign = -1 if self.context is not None and places != wanted else 1
                return self.measures.index(measure), pair, sign
        raise ValueError(f"{one} and {other} were not compared")
