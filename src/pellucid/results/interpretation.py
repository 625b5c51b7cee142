"""An interpretation: how well explanations serve a reader in one context, by what the reader then gets right."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pellucid.core.context import Context
from pellucid.core.record import record
from pellucid.results.simulation import Simulation

_DOES: Mapping[str, str] = {
    "forward-simulation": "predicts",
    "fault-finding": "finds the fault in",
    "decision-quality": "decides right in",
}


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Interpretation(Simulation):
    """Of each reader and each arm, the share of questions that it got right, with the one ``context`` that this is true of.

    ``outcome`` says what the questions were: what the model answers (``forward-simulation``), which feature is at fault
    (``fault-finding``), or whether to follow the model (``decision-quality``). ``about_what`` is a digest of the subject and
    the inputs. The other fields are those of a simulation; ``truth`` is what is right.

    Scores of different contexts are no ranking and have no mean: ``compare-explanations`` refuses to put them side by side.
    """

    context: Context
    outcome: str
    about_what: str

    answerer: ClassVar[str] = "what is right"
    heading: ClassVar[str] = "Right in this context"

    def check(self) -> None:
        super().check()
        if self.outcome not in _DOES:
            raise ValueError(f"there is no outcome {self.outcome!r}")

    def table(self) -> list[dict[str, Any]]:
        return [{"outcome": self.outcome, **row} for row in super().table()]

    def statements(self) -> list[str]:
        return [f"In the context: {self.context}", *super().statements()]

    def _does(self) -> str:
        return _DOES[self.outcome]
