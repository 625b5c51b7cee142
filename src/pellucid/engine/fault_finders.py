"""Simulated readers who look for a fault: programs that name a feature, and that say how. They stand for no person."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Generator, Tensor

from pellucid.core.seeds import generator
from pellucid.core.subject import Inputs
from pellucid.engine.exams import NO_FAULT, Exam, at_fault
from pellucid.engine.sheets import Sheet

# Of one example: the names and strengths of features, which of these the reader knows to matter, a source of chance.
Finder = Callable[[Tensor, Tensor, Generator], int]


def strongest(strengths: Tensor, known: Tensor, source: Generator) -> int:
    """Names the feature with the largest strength, whatever its sign; of equals one at random."""
    return _one_of(strengths.abs() == strengths.abs().max(), source)


def unexpected(strengths: Tensor, known: Tensor, source: Generator) -> int:
    """Names the strongest of the features that it does not know to matter; where none of these counts it finds no fault."""
    sizes = torch.where(known, 0.0, strengths.abs())
    return _one_of(sizes == sizes.max(), source) if float(sizes.max()) > 0 else -1


def missing(strengths: Tensor, known: Tensor, source: Generator) -> int:
    """Names, of the features that it knows to matter, the one with the least strength; of equals one at random."""
    if not bool(known.any()):
        return -1
    sizes = torch.where(known, strengths.abs(), torch.inf)
    return _one_of(sizes == sizes.min(), source)


# Those who look for what they know need a context that says what that is.
FINDERS: Mapping[str, Finder] = {"strongest": strongest, "unexpected": unexpected, "missing": missing}
KNOWING = ("unexpected", "missing")


def named_faults(reader: str, sheet: Sheet, exam: Exam, inputs: Inputs, faulty: object, known: Sequence[str]) -> Tensor:
    """What a reader names of each question, as places among the choices."""
    places = {name: place for place, name in enumerate(exam.choices)}
    found = []
    for row in exam.asked.tolist():
        names = sheet.names[row]
        mine = torch.tensor([name in known for name in names], dtype=torch.bool)
        source = generator(0, f"fault-finding by {reader}", inputs.value[row])
        feature = FINDERS[reader](sheet.strengths[row], mine, source)
        if feature < 0:
            found.append(places[NO_FAULT])
        else:
            found.append(1 if bool(at_fault(sheet, row, faulty)[feature]) else places[names[feature]])
    return torch.tensor(found, dtype=torch.long)


def _one_of(these: Tensor, source: Generator) -> int:
    places = these.nonzero().flatten()
    return int(places[int(torch.randint(len(places), (), generator=source))])
