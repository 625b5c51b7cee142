"""A change: what the model answered before an edit and what it answers after it, and what each single edit did."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result
from pellucid.core.subject import Origin
from pellucid.results.attribution import Attribution, named

Moment = Literal["before", "after"]


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Change(Result):
    """Two answers, and the difference between them, divided among the edits.

    ``before`` and ``after`` are the scores ``[batch, outputs]`` (where outputs have positions, those at the one that was
    asked about), ``chances_before`` and ``chances_after`` the same as probabilities, None where the answer is a value.
    ``value`` ``[batch, 2]`` is the explained quantity before and after. ``edits`` are the edits of each example in words.

    Per example, one number for each edit: ``shares`` is its Shapley value, which sum to the change of the quantity, or None
    where there are more edits than are told apart; ``alone`` is the change that it makes by itself, ``last`` the one that
    it makes when all others are made. Where these differ, edits work together or against each other.

    ``explained`` holds attributions of the quantity before and after, where a method for them was named. ``shown`` are the
    inputs before and after, in memory only.
    """

    edits: tuple[tuple[str, ...], ...]
    before: Tensor
    after: Tensor
    value: Tensor
    alone: tuple[Tensor, ...]
    last: tuple[Tensor, ...]
    shares: tuple[Tensor, ...] | None = None
    chances_before: Tensor | None = None
    chances_after: Tensor | None = None
    target: Tensor | None = None
    foil: Tensor | None = None
    quantity: str = "score"
    labels: tuple[str, ...] = ()
    explained: tuple[Attribution, ...] = ()
    evaluations: Mapping[str, int] = field(default_factory=dict)
    shown: tuple[tuple[Origin, Origin], ...] = field(default=(), compare=False, repr=False)

    def check(self) -> None:
        batch = len(self.edits)
        for name in ("before", "after", "value", "chances_before", "chances_after", "target", "foil"):
            tensor = getattr(self, name)
            if tensor is not None and len(tensor) != batch:
                raise ValueError(f"{name} has {len(tensor)} examples, edits have {batch}")
        for name in ("shares", "alone", "last"):
            vectors = getattr(self, name)
            if vectors is not None and [len(vector) for vector in vectors] != [len(edits) for edits in self.edits]:
                raise ValueError(f"{name} are not one number for each edit")
        if len(self.explained) not in (0, 2):
            raise ValueError(f"{len(self.explained)} attributions, not one before and one after")

    def __len__(self) -> int:
        return len(self.edits)

    @property
    def difference(self) -> Tensor:
        """The change of the explained quantity, ``[batch]``."""
        return self.value[:, 1] - self.value[:, 0]

    def name(self, output: int) -> str:
        """The label of an output."""
        return self.labels[output] if output < len(self.labels) else f"output {output}"

    def question(self, example: int = 0) -> str:
        """Which quantity was looked at, in words."""
        target, foil = named(self.target, example, self.labels), named(self.foil, example, self.labels)
        if not target:
            return "the unit"
        return f"the {self.quantity} of {target}" + (f" rather than {foil}" if foil else "")

    def decision(self, moment: Moment, example: int = 0) -> str | None:
        """The class that the model decides for, None where it answers with a value."""
        chances = self.chances_before if moment == "before" else self.chances_after
        if chances is None:
            return None
        if chances.shape[1] == 1:
            return self.name(0) if float(chances[example, 0]) > 0.5 else f"not {self.name(0)}"
        return self.name(int((self.before if moment == "before" else self.after)[example].argmax()))

    def decides_otherwise(self, example: int = 0) -> bool:
        """Whether the edit changes the decision."""
        return self.decision("before", example) != self.decision("after", example)

    def top(self, example: int = 0, count: int = 5) -> list[dict[str, Any]]:
        """The outputs that are strongest before or after, by the larger of both, with both answers."""
        chances = self.chances_before is not None and self.chances_after is not None
        strength = torch.maximum(self.before[example], self.after[example])
        rows = []
        for output in strength.argsort(descending=True, stable=True)[:count].tolist():
            row: dict[str, Any] = {"output": self.name(output)}
            row |= {"before": float(self.before[example, output]), "after": float(self.after[example, output])}
            if chances:
                assert self.chances_before is not None
                assert self.chances_after is not None
                row["probability before"] = float(self.chances_before[example, output])
                row["probability after"] = float(self.chances_after[example, output])
            rows.append(row)
        return rows

    def table(self) -> list[dict[str, Any]]:
        rows = []
        for example, edits in enumerate(self.edits):
            for number, edit in enumerate(edits):
                share = None if self.shares is None else float(self.shares[example][number])
                measured = {"share": share, "alone": float(self.alone[example][number])}
                rows.append({"example": example, "edit": edit, **measured, "last": float(self.last[example][number])})
        return rows

    def statements(self, example: int = 0) -> list[str]:
        """What the edit did, in plain sentences."""
        return [self._decided(example), *self._moved(example)]

    def summary(self) -> str:
        lines = [line for example in range(len(self)) for line in self.statements(example)]
        return "\n".join([*lines, *self.notes])

    def _decided(self, example: int) -> str:
        before, after = self.decision("before", example), self.decision("after", example)
        if before is None or self.chances_before is None or self.chances_after is None:
            old, new = (f"{float(self.value[example, moment]):.4g}" for moment in (0, 1))
            return f"The answer was {old} and becomes {new}."
        output = int(self.before[example].argmax())
        old, new = (_percent(float(chances[example, output])) for chances in (self.chances_before, self.chances_after))
        name = self.name(output)
        if before == after:
            return f"The decision stays “{before}”: the probability of {name} was {old} and becomes {new}."
        other = "" if len(self.before[example]) == 1 else self._gained(example)
        moved = f"the probability of {name} goes from {old} to {new}{other}"
        return f"The decision changes from “{before}” to “{after}”: {moved}."

    def _gained(self, example: int) -> str:
        assert self.chances_before is not None
        assert self.chances_after is not None
        output = int(self.after[example].argmax())
        old, new = (_percent(float(chances[example, output])) for chances in (self.chances_before, self.chances_after))
        return f", that of {self.name(output)} from {old} to {new}"

    def _moved(self, example: int) -> list[str]:
        edits, difference = self.edits[example], float(self.difference[example])
        total = f"{_capital(self.question(example))} changes by {difference:+.3g}"
        if self.shares is None or len(edits) == 1:
            return [f"{total}: {edits[0]}." if len(edits) == 1 else f"{total} by {len(edits)} edits together."]
        shares = self.shares[example]
        order = shares.abs().argsort(descending=True, stable=True).tolist()
        told = "; ".join(f"{edits[number]} ({float(shares[number]):+.3g})" for number in order[:5])
        rest = f"; and {len(order) - 5} more" if len(order) > 5 else ""
        return [f"{total}, of which: {told}{rest}.", *self._together(example)]

    def _together(self, example: int) -> list[str]:
        alone, difference = float(self.alone[example].sum()), float(self.difference[example])
        apart = difference - alone
        if abs(apart) <= 0.1 * max(abs(difference), float(self.alone[example].abs().max())):
            return []
        return [
            f"The edits do not simply add up: made one at a time they change it by {alone:+.3g} in sum, together by "
            f"{difference:+.3g}."
        ]


def _percent(share: float) -> str:
    if share < 0.001:
        return "below 0.1%"
    return "over 99.9%" if share > 0.999 else f"{share:.1%}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
