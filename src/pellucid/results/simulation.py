"""A simulation: how well readers predict what a model answers, without explanations and with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Simulation(Result):
    """Of each reader and each arm, the share of questions that it predicted as the model answers them.

    ``readers`` are programs or people, ``about`` says of each which and how it reads. ``arms`` are what they were shown: the
    first without explanations (the control), the others with those of a method. ``questions`` are in words, ``truth``
    ``[questions]`` the model's answers and ``predicted`` ``[readers, arms, questions]`` the predictions, as places in
    ``choices``, -1 where a reader did not answer.

    ``accuracy`` is ``[readers, arms]``, ``interval`` ``[readers, arms, 2]`` its 95 % interval over questions;
    ``difference`` and ``difference_interval`` ``[readers, arms − 1(, 2)]`` compare each arm with the control on the
    questions that were answered in both. ``studied`` is how many examples were shown, ``protocol`` what was done.
    """

    answerer: ClassVar[str] = "the model"
    heading: ClassVar[str] = "Predicted as the model answers"

    readers: tuple[str, ...]
    about: tuple[str, ...]
    arms: tuple[str, ...]
    choices: tuple[str, ...]
    questions: tuple[str, ...]
    truth: Tensor
    predicted: Tensor
    accuracy: Tensor
    interval: Tensor
    difference: Tensor
    difference_interval: Tensor
    studied: int
    protocol: str = ""
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        readers, arms = len(self.readers), len(self.arms)
        shapes = {
            "truth": (len(self.questions),),
            "predicted": (readers, arms, len(self.questions)),
            "accuracy": (readers, arms),
            "interval": (readers, arms, 2),
            "difference": (readers, arms - 1),
            "difference_interval": (readers, arms - 1, 2),
        }
        for name, shape in shapes.items():
            if tuple(getattr(self, name).shape) != shape:
                raise ValueError(f"{name} is {tuple(getattr(self, name).shape)}, not {shape}")
        if len(self.about) != readers:
            raise ValueError(f"{len(self.about)} descriptions of {readers} readers")
        if len(self.questions) and not 0 <= int(self.truth.min()) <= int(self.truth.max()) < len(self.choices):
            raise ValueError("truth is outside the choices")
        if self.predicted.numel() and not -1 <= int(self.predicted.min()) <= int(self.predicted.max()) < len(
            self.choices
        ):
            raise ValueError("predicted is outside the choices")

    @property
    def right(self) -> Tensor:
        """Whether a prediction is the model's answer, ``[readers, arms, questions]``."""
        return self.predicted == self.truth

    def helps(self, reader: str, arm: str) -> bool | None:
        """Whether explanations help a reader (True) or hinder it (False); None where no difference was shown."""
        place = self.readers.index(reader), self.arms.index(arm) - 1
        low, high = self.difference_interval[place].tolist()
        return None if low <= 0 <= high else low > 0

    def table(self) -> list[dict[str, Any]]:
        rows = []
        for reader, name in enumerate(self.readers):
            for arm, shown in enumerate(self.arms):
                low, high = self.interval[reader, arm].tolist()
                row = {"reader": name, "shown": shown, "accuracy": float(self.accuracy[reader, arm])}
                row |= {"low": low, "high": high, "difference": None, "from": None, "to": None}
                if arm:
                    low, high = self.difference_interval[reader, arm - 1].tolist()
                    row |= {"difference": float(self.difference[reader, arm - 1]), "from": low, "to": high}
                rows.append(row)
        return rows

    def by_question(self) -> list[dict[str, Any]]:
        """Each question with the model's answer and every prediction."""
        rows = []
        for number, question in enumerate(self.questions):
            row = {"question": question, self.answerer: self.choices[int(self.truth[number])]}
            for reader, name in enumerate(self.readers):
                for arm, shown in enumerate(self.arms):
                    place = int(self.predicted[reader, arm, number])
                    row[f"{name}, {shown}"] = "" if place < 0 else self.choices[place]
            rows.append(row)
        return rows

    def statements(self) -> list[str]:
        """What was found, in plain sentences."""
        found: list[str] = []
        for reader, name in enumerate(self.readers):
            if bool((self.predicted[reader] == self.predicted[reader, :1]).all()):
                found.append(
                    f"{name}: {self._does()} {self._share(reader, 0)}, the same with explanations and without."
                )
            else:
                found += [self._told(reader, arm) for arm in range(1, len(self.arms))]
        return found

    def summary(self) -> str:
        return "\n".join([*self.statements(), *self.notes])

    def _told(self, reader: int, arm: int) -> str:
        plain, aided = (self._share(reader, shown) for shown in (0, arm))
        low, high = self.difference_interval[reader, arm - 1].tolist()
        name, shown = self.readers[reader], self.arms[arm]
        helps = self.helps(name, shown)
        shown = f"shuffled {shown}" if name.endswith("scores shuffled") else shown
        verdict = {
            None: "no difference shown",
            True: f"{shown} helps this reader",
            False: f"{shown} misleads this reader",
        }[helps]
        return (
            f"{name}: {self._does()} {plain} without explanations and {aided} with {shown}, a difference of "
            f"{100 * float(self.difference[reader, arm - 1]):+.0f} points ({100 * low:+.0f} to {100 * high:+.0f}): {verdict}."
        )

    def _does(self) -> str:
        return "predicts"

    def _share(self, reader: int, arm: int) -> str:
        low, high = self.interval[reader, arm].tolist()
        answered = int((self.predicted[reader, arm] >= 0).sum())
        right = int(self.right[reader, arm].sum())
        return f"{right} of {answered} ({float(self.accuracy[reader, arm]):.0%}, {low:.0%} to {high:.0%})"
