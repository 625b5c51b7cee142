"""Questions that a reader answers with an explanation, and what is right: which feature is at fault, or whom to follow."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.coalitions import draws_of
from pellucid.engine.sheets import Sheet
from pellucid.engine.targets import class_index

NO_FAULT, MARKED = "no fault", "what the reference marks"
FOLLOW, OTHERWISE = "follow the model", "do not follow it"


@dataclass(frozen=True)
class Exam:
    """A question about each of the ``asked`` examples, with the same ``choices``; ``truth`` ``[asked]`` are places in these.

    Of the ``studied`` examples a reader was told what was right: ``known`` ``[studied]``. ``advice`` ``[batch]`` is what the
    model answers, where that is what is asked about. ``identity`` tells one exam from another, for the answers of people.
    """

    studied: Tensor
    known: Tensor
    asked: Tensor
    choices: tuple[str, ...]
    truth: Tensor
    identity: str
    advice: Tensor | None = None

    @property
    def questions(self) -> tuple[str, ...]:
        """The questions in words: which examples they are about."""
        return tuple(f"example {example}" for example in self.asked.tolist())


def order_of(inputs: Inputs, seed: int, name: str) -> list[int]:
    """The examples in an order that each draws by its own content."""
    places = [float(torch.rand((), generator=draws_of(inputs, row, seed, name))) for row in range(len(inputs))]
    return sorted(range(len(inputs)), key=places.__getitem__)


def fault_exam(
    subject: Subject, inputs: Inputs, shown: Sequence[Sheet], reference: Any, order: Sequence[int], number: int | None
) -> Exam:
    """Which feature is at fault? What ``reference`` marks is: ``{"faulty": names}``, perhaps none, or a mask of the point."""
    faulty = reference.get("faulty") if isinstance(reference, Mapping) else reference
    if faulty is None or isinstance(faulty, str):
        raise UsageError(
            'fault-finding needs a reference that says what is at fault: {"faulty": ["column", …]}, or a mask'
        )
    marked = [at_fault(sheet, row, faulty) for sheet in shown for row in order]
    names = [name for sheet in shown for row in order for name in sheet.names[row]]
    fault = torch.cat(marked).tolist()
    if not isinstance(faulty, Tensor) and len(faulty) and not any(fault):
        raise UsageError(f"no explanation has a feature called {', '.join(map(str, faulty))}")
    joined = MARKED if isinstance(faulty, Tensor) else " or ".join(map(str, faulty))
    there = any(fault)
    others = dict.fromkeys(name for name, wrong in zip(names, fault, strict=True) if not wrong)
    choices = (NO_FAULT, *((joined,) if there else ()), *(name for name in others if name != joined))
    asked = torch.tensor(order[:number], dtype=torch.long)
    truth = [int(any(bool(at_fault(sheet, row, faulty).any()) for sheet in shown)) for row in asked.tolist()]
    return _exam(subject, inputs, (), [], asked, choices, truth)


def at_fault(sheet: Sheet, row: int, faulty: Any) -> Tensor:
    """Which features of an example are at fault: those that are named, or of which a mask marks more than half."""
    if not isinstance(faulty, Tensor):
        return torch.tensor([name in faulty for name in sheet.names[row]], dtype=torch.bool)
    segments = sheet.segments[row].flatten()
    try:
        mask = torch.broadcast_to(faulty.bool(), sheet.segments.shape)[row].flatten()
    except RuntimeError as error:
        raise UsageError(
            f"a mask of shape {tuple(faulty.shape)} does not fit the point {tuple(sheet.segments.shape)}"
        ) from error
    count = len(sheet.names[row])
    inside, all_of = (
        torch.bincount(segments[part], minlength=count) for part in (mask & (segments >= 0), segments >= 0)
    )
    return inside * 2 > all_of


def decision_exam(
    subject: Subject,
    inputs: Inputs,
    advice: Tensor,
    reference: Any,
    order: Sequence[int],
    studied: int,
    number: int | None,
) -> Exam:
    """Should the model's ``advice`` ``[batch]`` be followed? It should where it is what ``{"truth": classes}`` holds."""
    truth = reference.get("truth") if isinstance(reference, Mapping) else None
    if truth is None:
        raise UsageError('decision-quality needs a reference that says what is true: {"truth": [a class per example]}')
    if subject.task.output == "value":
        raise NotAnswerable("a model that answers with a value is not right or wrong; ask fault-finding")
    classes = _classes(truth, subject)
    if len(classes) != len(inputs):
        raise UsageError(f"the reference holds {len(classes)} true classes for {len(inputs)} examples")
    if len(inputs) <= studied:
        raise NotAnswerable(
            f"{len(inputs)} examples: {studied} are studied and at least one more must be left to decide about"
        )
    wrong = (advice != classes).long()
    first, rest = list(order[:studied]), torch.tensor(order[studied:][:number])
    exam = _exam(subject, inputs, first, wrong[first].tolist(), rest, (FOLLOW, OTHERWISE), wrong[rest].tolist())
    return dataclasses.replace(exam, advice=advice)


def _classes(truth: Any, subject: Subject) -> Tensor:
    listed = truth.tolist() if hasattr(truth, "tolist") else list(truth)
    labels = subject.task.labels or ()
    found = [class_index(entry, labels) if isinstance(entry, str) else int(entry) for entry in listed]
    return torch.tensor(found, dtype=torch.long)


def _exam(
    subject: Subject,
    inputs: Inputs,
    studied: Sequence[int],
    known: Sequence[int],
    asked: Tensor,
    choices: tuple[str, ...],
    truth: Sequence[int],
) -> Exam:
    marks = [digest(inputs.value[row]) for row in (*studied, *asked.tolist())]
    return Exam(
        studied=torch.tensor(studied, dtype=torch.long),
        known=torch.tensor(known, dtype=torch.long),
        asked=asked,
        choices=choices,
        truth=torch.tensor(truth, dtype=torch.long),
        identity=digest([subject.fingerprint, marks, choices]),
    )
