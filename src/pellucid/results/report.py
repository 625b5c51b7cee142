"""A report: a prediction, a panel of explanations of it, how good they are, and what it all says in plain words."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.files import SUFFIX, write_bytes
from pellucid.core.record import record
from pellucid.core.result import Result
from pellucid.core.subject import Origin
from pellucid.results.attribution import Attribution
from pellucid.results.evaluation import Evaluation


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Report(Result):
    """The main job's answer for one example.

    ``question`` is what was asked in words; ``scores`` ``[outputs]`` and ``probabilities`` (None for a regression)
    are the model's answer, ``labels`` its outputs. ``panel`` explains the target, ``contrast`` the target rather than
    the runner-up; ``evaluation`` scores the panel against control rows. ``statements`` say in plain words what the
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
            "protocol": None if self.evaluation is None else self.evaluation.protocol,
            "statements": list(self.statements),
            "refused": dict(self.refused),
        }
