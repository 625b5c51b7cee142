"""Simulated readers who decide whether to follow a model: programs that say how. They stand for no person."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pellucid.core.subject import Inputs
from pellucid.engine.exams import Exam
from pellucid.engine.sheets import Sheet

_NEIGHBOURS, _ENOUGH = 5, 0.5

DECIDERS: Mapping[str, str] = {
    "trusting": "Follows the model always.",
    "expecting": (
        "Follows the model unless more than half of what it is shown for the advice falls on features of which it does not "
        "know that they matter; of a counterfactual, of all that it is shown."
    ),
    "experienced": (
        "Remembers the studied examples, and how the model turned out there, and does what was right for most of the five "
        "that look most alike: those whose shown strengths have the largest cosine; without explanations those whose inputs "
        "are nearest."
    ),
}


def decide(reader: str, sheet: Sheet | None, exam: Exam, inputs: Inputs, known: Sequence[str]) -> Tensor:
    """What a reader does about each question: 0 where it follows the model, 1 where it does not."""
    assert exam.advice is not None
    if reader == "experienced":
        return _as_before(_alike(inputs) if sheet is None else _cosines(sheet), exam)
    if reader == "trusting" or sheet is None:
        return torch.zeros(len(exam.asked), dtype=torch.long)
    shares = [sheet.for_advice(exam.advice, known, row) for row in exam.asked.tolist()]
    return torch.tensor([int(share is not None and share < _ENOUGH) for share in shares])


def _as_before(alike: Tensor, exam: Exam) -> Tensor:
    if not len(exam.studied):
        return torch.zeros(len(exam.asked), dtype=torch.long)
    rows = alike[exam.asked][:, exam.studied]
    nearest = rows.argsort(dim=1, descending=True, stable=True)[:, :_NEIGHBOURS]
    return (exam.known[nearest].double().mean(1) > 0.5).long()


def _alike(inputs: Inputs) -> Tensor:
    """Minus the distance between the elements of every two inputs, each in units of its spread."""
    value = inputs.value.double().flatten(1)
    spread = value.std(0, correction=0)
    return -torch.cdist(value / torch.where(spread > 0, spread, 1.0), value / torch.where(spread > 0, spread, 1.0))


def _cosines(sheet: Sheet) -> Tensor:
    """The cosine of the strengths of every two examples, feature by feature of the same name."""
    places = {name: place for place, name in enumerate(dict.fromkeys(name for row in sheet.names for name in row))}
    rows = torch.zeros(len(sheet.names), len(places), dtype=torch.float64)
    for row, names, strengths in zip(rows, sheet.names, sheet.strengths, strict=True):
        row.index_add_(0, torch.tensor([places[name] for name in names], dtype=torch.long), strengths)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-30)
    return rows @ rows.T
