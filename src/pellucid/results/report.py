"""A report: a prediction, a panel of explanations of it, how good they are, and what it all says in plain words."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.files import SUFFIX, write_bytes
from pellucid.core.record import record
from pellucid.core.result import Result
from pellucid.core.subject import Origin
from pellucid.results.attribution import Attribution
from pellucid.results.evaluation import Evaluation

# Marks between passing, unclear and failing: similarity to the randomised network's map, and relative change.
_ALIKE, _SAME, _STEADY = 0.5, 0.9, 0.5


@dataclass(frozen=True)
class Finding:
    """One line of an explanation's evidence: what was checked, how it came out, and what that means in plain words."""

    what: str
    result: Literal["passed", "failed", "unclear", "not checked"]
    means: str


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Report(Result):
    """The main job's answer for one example.

    ``question`` is what was asked in words; ``scores`` ``[outputs]`` and ``probabilities`` (None for a regression)
    are the model's answer, ``labels`` its outputs. ``panel`` explains the target, ``contrast`` the target rather than
    the runner-up; ``evaluation`` scores the panel against control rows, ``checks`` ask again whether its maps depend on what
    the network learned and whether they are stable (``unchecked`` names those that it would cost too much to ask again).
    ``statements`` say in plain words what the
    panel agrees on and how far to trust it; ``refused`` maps methods that could not be asked to the reason. ``kept``
    is the input itself where its owner agreed (``keep_inputs``): a picture's bytes, a text, or a row; ``shown`` is
    the same in memory only.
    """

    subject: str
    modality: str
    title: str
    question: str
    labels: tuple[str, ...]
    scores: Tensor
    probabilities: Tensor | None
    target: int
    foil: int | None
    panel: tuple[Attribution, ...]
    contrast: tuple[Attribution, ...] = ()
    evaluation: Evaluation | None = None
    checks: tuple[Evaluation, ...] = ()
    unchecked: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    kept: Any = None
    shown: Origin | None = field(default=None, compare=False, repr=False)

    def check(self) -> None:
        if len(self.labels) not in (0, len(self.scores)):
            raise ValueError(f"{len(self.labels)} labels for {len(self.scores)} outputs")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page (``.html``) or the result file (``.pellucid``)."""
        path = Path(path)
        if path.suffix == ".html":
            return write_bytes(path, self.html().encode())
        if path.suffix == SUFFIX:
            return super().save(path)
        raise UsageError(f"a report is saved as .html or {SUFFIX}, not {path.suffix or 'without a suffix'!r}")

    def html(self) -> str:
        """One self-contained page: no script, nothing loaded from elsewhere."""
        return self._repr_html_()

    def name(self, output: int) -> str:
        """The label of an output."""
        return self.labels[output] if self.labels else f"output {output}"

    def top(self, count: int = 5) -> list[dict[str, Any]]:
        """The strongest outputs with their scores and probabilities."""
        order = self.scores.argsort(descending=True, stable=True)[:count].tolist()
        return [
            {
                "label": self.name(output),
                "index": output,
                "score": float(self.scores[output]),
                "probability": None if self.probabilities is None else float(self.probabilities[output]),
            }
            for output in order
        ]

    def evidence(self, name: str) -> tuple[Finding, ...]:
        """What was found out about one explanation of the panel, by its name in ``evaluation`` and ``checks``."""
        known = {check.metric: check for check in self.checks if name in check.names}
        return (
            _dependence(known.get("parameter-randomisation"), name, name in self.unchecked),
            _stability(known.get("max-sensitivity"), name, name in self.unchecked),
            _faithfulness(self.evaluation, name),
        )

    def summary(self) -> str:
        return "\n".join([self.title, *self.statements])

    def table(self) -> list[dict[str, Any]]:
        return self.top()

    def as_json(self) -> dict[str, Any]:
        """The report without its maps, as plain data."""
        return {
            "title": self.title,
            "subject": self.subject,
            "question": self.question,
            "target": {"index": self.target, "label": self.name(self.target)},
            "foil": None if self.foil is None else {"index": self.foil, "label": self.name(self.foil)},
            "top": self.top(),
            "methods": [result.provenance.method for result in self.panel if result.provenance],
            "evaluation": None if self.evaluation is None else self.evaluation.table(),
            "evidence": {
                name: [dataclasses.asdict(finding) for finding in self.evidence(name)]
                for name in (() if self.evaluation is None else self.evaluation.names)
            },
            "protocol": None if self.evaluation is None else self.evaluation.protocol,
            "statements": list(self.statements),
            "refused": dict(self.refused),
        }


def _dependence(check: Evaluation | None, name: str, costly: bool) -> Finding:
    """Whether the map is another one for a network with random weights; Adebayo's question, with a mark at one half."""
    what = "depends on what was learned"
    if check is None:
        return Finding(what, "not checked", _unchecked(costly, "it needs the network's weights"))
    alike = float(check.value[check.names.index(name)])
    how = f"rank correlation {alike:.2f} with its map of the same network with random weights"
    if alike < _ALIKE:
        return Finding(what, "passed", how)
    edge = " like that of edges alone" if "edge" in check.control else ""
    return Finding(what, "failed" if alike >= _SAME else "unclear", f"{how}: much of it would look the same{edge}")


def _stability(check: Evaluation | None, name: str, costly: bool) -> Finding:
    what = "stable"
    if check is None:
        return Finding(what, "not checked", _unchecked(costly, "its inputs cannot be moved a little"))
    moved = float(check.value[check.names.index(name)])
    radius = (
        "a little" if check.provenance is None else f"by at most {check.provenance.fields['radius']:.0%} of its range"
    )
    how = f"it changes by {moved:.0%} of its size where the input moves {radius}"
    return Finding(what, "passed" if moved < _STEADY else "unclear" if moved < 1 else "failed", how)


def _faithfulness(evaluation: Evaluation | None, name: str) -> Finding:
    what = "faithful"
    if evaluation is None or name not in evaluation.names:
        return Finding(what, "not checked", "it was not scored")
    behind = [control for control in evaluation.control if not evaluation.beats(name, control)]
    if not behind:
        return Finding(what, "passed", "destroying what it calls important hurts the score more than any control does")
    return Finding(what, "unclear", f"not shown to be better than {' or '.join(behind)} maps, which know nothing")


def _unchecked(costly: bool, reason: str) -> str:
    return "asking it again would cost too many passes; pellucid evaluate does" if costly else reason
