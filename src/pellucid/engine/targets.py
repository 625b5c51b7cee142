"""Which number is explained: target, foil and quantity of a decision, resolved once for every method."""

import dataclasses
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pellucid.core.errors import BadInput, NotAnswerable, UsageError, nearest
from pellucid.core.query import Decision, Unit
from pellucid.core.subject import Inputs, OutputKind, Run, Subject


class Objective(Protocol):
    """What is read from a pass, a number per example (of ``Several`` targets a row of them)."""

    @property
    def capture(self) -> tuple[str, ...]:
        """The layers that must be captured to read it."""

    def rows(self, rows: Tensor | slice) -> "Objective":
        """The same question about some of the examples, or about repeated ones."""

    def __call__(self, run: Run) -> Tensor:
        """``[batch]``, differentiable where the run is."""


@dataclass(frozen=True)
class Target:
    """A resolved question: ``index`` and ``foil`` are ``[batch, k]`` indices into the trailing axes of the scores.

    Calling it turns the runs of perturbed examples into the explained quantity, one number per example. ``scores`` are
    those of the plain inputs where they had to be computed to find the target, else None.
    """

    of: str | Unit
    output: OutputKind
    index: Tensor | None
    foil: Tensor | None
    labels: tuple[str, ...]

    @property
    def capture(self) -> tuple[str, ...]:
        """The layer that must be captured to read the quantity, if any."""
        return _layer_of(self.of)

    def rows(self, rows: Tensor | slice) -> "Target":
        """The same question about some of the examples, or about repeated ones."""
        index = None if self.index is None else self.index[rows]
        foil = None if self.foil is None else self.foil[rows]
        return Target(self.of, self.output, index, foil, self.labels)

    def __call__(self, run: Run) -> Tensor:
        """The explained quantity of each example in ``run``: ``[batch]``, differentiable where the run is."""
        if isinstance(self.of, Unit):
            return _unit(run.activations[self.capture[0]], self.of)
        assert self.index is not None
        value = self._quantity(run.scores, self.index)
        return value if self.foil is None else value - self._quantity(run.scores, self.foil)

    def _quantity(self, scores: Tensor, index: Tensor) -> Tensor:
        rows = torch.arange(len(scores), device=scores.device)
        index = index.to(scores.device)
        at_position = scores[(rows, *index[:, :-1].unbind(1))] if index.shape[1] > 1 else scores
        classes = index[:, -1]
        match self.of:
            case "score" | "logit":
                return at_position[rows, classes]
            case "probability":
                return self._log_probability(at_position, rows, classes).exp()
            case "log-probability":
                return self._log_probability(at_position, rows, classes)
            case _:
                return -self._log_probability(at_position, rows, classes)

    def _log_probability(self, scores: Tensor, rows: Tensor, classes: Tensor) -> Tensor:
        if self.output == "probabilities":
            return scores[rows, classes].clamp(min=torch.finfo(scores.dtype).tiny).log()
        if scores.shape[-1] == 1:
            return torch.nn.functional.logsigmoid(scores[:, 0])
        return scores.log_softmax(-1)[rows, classes]

    def public(self, index: Tensor | None) -> Tensor | None:
        """Indices as results show them: ``[batch]`` for plain classes, ``[batch, k]`` with positions."""
        return None if index is None else index[:, 0] if index.shape[1] == 1 else index


@dataclass(frozen=True)
class Several:
    """Several questions about the same examples, answered by one pass: ``[batch, questions]``."""

    targets: tuple[Target, ...]

    @property
    def capture(self) -> tuple[str, ...]:
        """The layers that must be captured to read the quantities."""
        return tuple(dict.fromkeys(layer for target in self.targets for layer in target.capture))

    def rows(self, rows: Tensor | slice) -> "Several":
        """The same questions about some of the examples, or about repeated ones."""
        return Several(tuple(target.rows(rows) for target in self.targets))

    def __call__(self, run: Run) -> Tensor:
        """The explained quantities of each example in ``run``."""
        return torch.stack([target(run) for target in self.targets], 1)


@dataclass(frozen=True)
class Predicted:
    """Whether the target's class is still the one that is predicted, 1 or 0 per example: ``[batch]``."""

    target: Target
    capture: tuple[str, ...] = ()

    def rows(self, rows: Tensor | slice) -> "Predicted":
        """The same question about some of the examples, or about repeated ones."""
        return Predicted(self.target.rows(rows))

    def __call__(self, run: Run) -> Tensor:
        """Whether each example in ``run`` is given its class; a single output gives it above even odds."""
        assert self.target.index is not None
        index = self.target.index.to(run.scores.device)
        examples = torch.arange(len(run.scores), device=run.scores.device)
        scores = run.scores[(examples, *index[:, :-1].unbind(1))]
        if scores.shape[-1] == 1:
            return scores[:, 0] > (0.5 if self.target.output == "probabilities" else 0)
        return scores.argmax(-1) == index[:, -1]


def resolve(subject: Subject, inputs: Inputs, query: Decision, scores: Tensor | None = None) -> Target:
    """Resolve target and foil of ``query`` for every example; the predicted class where no target is named.

    ``scores`` are those of the inputs where they are known; else they are computed.
    """
    if isinstance(query.target, Target):
        return query.target
    output, labels = subject.task.output, subject.task.labels or ()
    if isinstance(query.of, Unit):
        return Target(_checked_unit(subject, query.of), output, None, None, labels)
    _check_quantity(subject, query.of)
    scores = subject.scores(inputs) if scores is None else scores
    shape = tuple(scores.shape[1:])
    index = _resolve_index(query.target, scores, inputs, labels, subject, "target")
    foil = None
    if query.foil is not None:
        foil = _resolve_index(query.foil, scores, inputs, labels, subject, "foil", index[:, :-1].tolist())
        if bool((foil == index).all(1).any()):
            raise UsageError(f"target and foil are the same output ({shape[-1]} outputs); name a different foil")
    return Target(query.of, output, index, foil, labels)


def captured_for(query: Decision) -> tuple[str, ...]:
    """The layer that must be captured to answer, if any."""
    return _layer_of(query.of)


def part_of(query: Decision, rows: slice, batch: int) -> Decision:
    """The same question about some of ``batch`` examples, whose targets and foils may be lists."""
    if isinstance(query.target, Target):
        return dataclasses.replace(query, target=query.target.rows(rows))
    if isinstance(query.of, Unit):
        return query
    target = _entries(query.target, batch, "target")[rows]
    foil = None if query.foil is None else _entries(query.foil, batch, "foil")[rows]
    return dataclasses.replace(query, target=target, foil=foil)


def joined(parts: Sequence[Target]) -> Target:
    """One question about the examples of several."""
    index, foil = (
        None if getattr(parts[0], name) is None else torch.cat([getattr(part, name) for part in parts])
        for name in ("index", "foil")
    )
    return dataclasses.replace(parts[0], index=index, foil=foil)


def again(query: Decision, inputs: Inputs, target: Target) -> Decision:
    """The same question about other inputs, such as perturbed ones, whose ``target`` (and foil) is known already."""
    return dataclasses.replace(query, inputs=inputs, target=None if isinstance(query.of, Unit) else target)


def at_position(scores: Tensor, target: Target) -> Tensor:
    """The scores ``[batch, outputs]`` at the position that was asked about, where outputs have positions."""
    if target.index is None:
        return scores
    return scores[(torch.arange(len(scores)), *target.index[:, :-1].unbind(1))]


def probabilities(output: OutputKind, scores: Tensor) -> Tensor | None:
    """What scores ``[batch, outputs]`` say as probabilities; None where they are values."""
    match output:
        case "logits":
            return scores.sigmoid() if scores.shape[-1] == 1 else scores.softmax(-1)
        case "probabilities":
            return scores
    return None


def class_index(word: str, labels: Sequence[str]) -> int:
    """The index of a class named in full, by one of its comma-separated names, or by its number as text.

    Raises ``UsageError`` with the nearest labels where none fits, or with the candidates where several do.
    """
    folded = word.strip().casefold()
    for fits in (
        lambda label: label == word,  # Of characters, "e" is not "E", and a space is not nothing.
        lambda label: label.casefold() == folded,
        lambda label: folded in [part.strip().casefold() for part in label.split(",")],
    ):
        found = [number for number, label in enumerate(labels) if fits(label)]
        if len(found) == 1:
            return found[0]
        if found:
            candidates = ", ".join(f"{number} ({labels[number]})" for number in found[:6])
            raise UsageError(f"the label {word!r} is ambiguous: {candidates}; use the number")
    if folded.lstrip("-").isdigit():
        return int(folded)
    raise UsageError(f"there is no class {word!r}; {nearest(word, labels)}")


def _layer_of(of: str | Unit) -> tuple[str, ...]:
    return (of.layer,) if isinstance(of, Unit) and of.layer is not None else ()


def _check_quantity(subject: Subject, of: str) -> None:
    output = subject.task.output
    if output == "value" and of not in ("score",):
        raise NotAnswerable(f"{subject.name} answers with a value, which has no {of}; ask of='score'")
    if output == "probabilities" and of == "logit":
        raise NotAnswerable(f"{subject.name} answers with probabilities; ask of='log-probability' or of='score'")


def _resolve_index(
    wanted: Any,
    scores: Tensor,
    inputs: Inputs,
    labels: Sequence[str],
    subject: Subject,
    what: str,
    places: list[list[int]] | None = None,
) -> Tensor:
    """Indices ``[batch, k]``; where no position is named it is that of ``places``, or else the last real one."""
    shape, entries = tuple(scores.shape[1:]), _entries(wanted, len(scores), what)
    if places is None:
        places = [_last_position(inputs, row, scores[row], entry) for row, entry in enumerate(entries)]
    found = [
        _one(entry, scores[row], place, labels, subject, what)
        for row, (entry, place) in enumerate(zip(entries, places, strict=True))
    ]
    for index in found:
        if any(not -size <= number < size for number, size in zip(index, shape, strict=True)):
            raise UsageError(f"{what} {tuple(index)} is outside the outputs {shape} of {subject.name}")
    return torch.tensor([[n % size for n, size in zip(row, shape, strict=True)] for row in found], dtype=torch.long)


def _entries(wanted: Any, batch: int, what: str) -> list[Any]:
    if isinstance(wanted, Tensor):
        rows = torch.atleast_1d(wanted).tolist()
        wanted = [tuple(row) if isinstance(row, list) else row for row in rows] if wanted.ndim else rows[0]
    entries = wanted if isinstance(wanted, list) else [wanted] * batch
    if len(entries) != batch:
        raise UsageError(f"{len(entries)} {what}s for {batch} examples; give one for all or one per example")
    return entries


def _one(
    wanted: Any, scores: Tensor, place: list[int], labels: Sequence[str], subject: Subject, what: str
) -> list[int]:
    if isinstance(wanted, tuple):
        if len(wanted) != scores.ndim:
            raise UsageError(f"{what} {wanted!r} has {len(wanted)} parts; {subject.name} has {scores.ndim} output axes")
        *position, wanted = wanted
        place = [_number(part, what) for part in position]
    if isinstance(wanted, str):
        return [*place, class_index(wanted, labels)]
    if wanted is not None:
        return [*place, _number(wanted, what)]
    if subject.task.output == "value" and scores.shape[-1] > 1:
        named = f" ({', '.join(labels[:8])})" if labels else ""
        raise UsageError(f"{subject.name} answers with {scores.shape[-1]} values{named}; name one as target")
    return [*place, int(scores[tuple(place)].argmax())]


def _number(wanted: Any, what: str) -> int:
    try:
        return operator.index(wanted)
    except TypeError as error:
        raise UsageError(f"{what} {wanted!r} is neither a label nor the number of a class") from error


def _last_position(inputs: Inputs, row: int, scores: Tensor, wanted: Any) -> list[int]:
    """The position that is meant where none is named: the last real one. Empty for plain classes."""
    if scores.ndim == 1 or isinstance(wanted, tuple):
        return []
    if scores.ndim > 2:
        raise UsageError(f"outputs have positions {tuple(scores.shape[:-1])}: name a target (position…, class)")
    if inputs.mask is None or inputs.mask.shape[1] != scores.shape[0]:
        return [scores.shape[0] - 1]
    real = inputs.mask[row].nonzero()
    if not len(real):
        raise BadInput("an example has no real position; give it some input")
    return [int(real[-1])]


def _checked_unit(subject: Subject, unit: Unit) -> Unit:
    if unit.layer is None:
        raise UsageError("a unit as `of` needs a layer: Unit(layer='block.3', index=0)")
    if unit.index is None:
        raise UsageError(f"a unit as `of` needs an index: Unit(layer={unit.layer!r}, index=0)")
    return unit


def _unit(activation: Tensor, unit: Unit) -> Tensor:
    index = unit.index if isinstance(unit.index, tuple) else (unit.index,)
    try:
        chosen = activation[(slice(None), *index)]
    except IndexError as error:
        raise UsageError(f"unit {unit.index} is outside layer {unit.layer} {tuple(activation.shape[1:])}") from error
    return chosen.flatten(1).mean(1) if chosen.ndim > 1 else chosen
