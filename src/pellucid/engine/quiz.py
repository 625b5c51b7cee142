"""A quiz about a model: examples to study, and questions what the model answers on others and on edited ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.errors import NotAnswerable
from pellucid.core.query import Unit
from pellucid.core.spec import Modality
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.batching import in_batches
from pellucid.engine.coalitions import draws_of, hidden_point, players
from pellucid.engine.perturb import blended
from pellucid.engine.targets import Target, at_position

_CELLS = 16


@dataclass(frozen=True)
class Quiz:
    """Which examples are ``studied`` and ``asked`` (their numbers), and what the model answers on both.

    ``points`` are the inputs of the questions; ``hidden`` are the numbers of the ``features`` of each that are hidden in
    it, none where it is asked as it is. ``learned`` ``[studied]`` and ``truth`` ``[asked]`` are the model's answers, as
    places in ``choices``. ``outputs`` ``[choices]`` are the outputs of the model that the choices stand for. Where there is
    one output the first choice is that it does not hold, -1; of a model that answers with a value the choices are up to
    ``middle``, the median of the studied examples, and above it.
    """

    studied: Tensor
    asked: Tensor
    points: Inputs
    features: Features
    hidden: tuple[tuple[int, ...], ...]
    choices: tuple[str, ...]
    outputs: Tensor
    learned: Tensor
    truth: Tensor
    middle: float | None
    identity: str

    def described(self, question: int) -> str:
        """A question in words: the number of its example, and what of it is hidden."""
        example, hidden = int(self.asked[question]), self.hidden[question]
        if not hidden:
            return f"example {example}"
        labels = self.features.labels
        if labels is None:
            return f"example {example}, {len(hidden)} of {self.features.counts()[example]} {self.features.kind}s hidden"
        return f"example {example} without " + ", ".join(labels[example][feature] for feature in hidden)

    def choice_of(self, output: int) -> int:
        """The choice that stands for an output; -1 where none does."""
        places = (self.outputs == output).nonzero().flatten()
        return int(places[0]) if len(places) else -1


def made_quiz(
    subject: Subject,
    inputs: Inputs,
    target: Target,
    studied: int,
    questions: int | None,
    edited: float,
    seed: int,
    name: str,
) -> Quiz:
    """A quiz about the model's decisions on ``inputs``.

    Each example draws its place by its own content and ``seed``; the first are studied, as evenly over the model's
    answers as there are, and the next are asked, ``edited`` as a share of them with a random half of their features hidden.
    Equal examples count once. Raises ``NotAnswerable`` where there are too few examples, or no decision.
    """
    if isinstance(target.of, Unit):
        raise NotAnswerable("a unit decides nothing that could be predicted; explain a decision of the model")
    draws = [draws_of(inputs, row, seed, name) for row in range(len(inputs))]
    order = _order(inputs, [float(torch.rand((), generator=draw)) for draw in draws])
    if len(order) <= studied:
        raise NotAnswerable(
            f"{studied} examples are to be studied and there are {len(order)} different ones; at least one more must be "
            "left to ask about; about fewer ask region-perturbation or what-if"
        )
    scores = in_batches(len(inputs), subject.batch_size(inputs), lambda part: subject.run(inputs.rows(part)).scores)
    known = decided(subject, target, scores)
    first = _evenly(order, known if subject.task.output != "value" else torch.zeros_like(known), studied)
    rest = [row for row in order if row not in set(first)][:questions]
    points, features, hidden = _questions(subject, inputs, rest, draws, edited)
    index = torch.tensor(rest)
    found = in_batches(len(rest), subject.batch_size(inputs), lambda part: subject.run(points.rows(part)).scores)
    learned, truth = known[first], decided(subject, target.rows(index), found)
    middle = float(learned.median()) if subject.task.output == "value" else None
    choices, outputs, (learned, truth) = _choices(target, learned, truth, scores.shape[-1], middle)
    marks = [digest(value) for value in (*inputs.value[first], *points.value)]
    return Quiz(
        studied=torch.tensor(first),
        asked=index,
        points=points,
        features=features,
        hidden=hidden,
        choices=choices,
        outputs=outputs,
        learned=learned,
        truth=truth,
        middle=middle,
        identity=digest([subject.fingerprint, marks, choices]),
    )


def _order(inputs: Inputs, places: Sequence[float]) -> list[int]:
    """The examples by their places, of equal ones the first only."""
    found: dict[str, int] = {}
    for row in sorted(range(len(inputs)), key=lambda row: places[row]):
        value = inputs.value[row]
        found.setdefault(digest(value if inputs.mask is None else value[inputs.mask[row]]), row)
    return list(found.values())


def _evenly(order: Sequence[int], known: Tensor, number: int) -> list[int]:
    """The first of each answer, then the second of each, until there are ``number``."""
    by_answer: dict[int, list[int]] = {}
    for row in order:
        by_answer.setdefault(int(known[row]), []).append(row)
    ranks = {row: rank for rows in by_answer.values() for rank, row in enumerate(rows)}
    return sorted(order, key=ranks.__getitem__)[:number]  # Sorting keeps the order of equals.


def decided(subject: Subject, target: Target, scores: Tensor) -> Tensor:
    """The output that the model decides for, ``[batch]``; its value where it answers with one, 1 or 0 where a single
    output is a class."""
    placed = at_position(scores, target)
    if subject.task.output == "value":
        assert target.index is not None
        return placed[torch.arange(len(placed)), target.index[:, -1]].double()
    if placed.shape[1] == 1:
        return (placed[:, 0] > (0.5 if subject.task.output == "probabilities" else 0.0)).long()
    return placed.argmax(1)


def _choices(
    target: Target, learned: Tensor, truth: Tensor, outputs: int, middle: float | None
) -> tuple[tuple[str, ...], Tensor, tuple[Tensor, Tensor]]:
    """The choices, the outputs that they stand for, and the answers as places among them."""
    labels = target.labels or tuple(f"output {output}" for output in range(outputs))
    if middle is not None:
        assert target.index is not None
        asked = torch.tensor([-1, int(target.index[0, -1])])
        return (
            (f"up to {middle:.4g}", f"above {middle:.4g}"),
            asked,
            ((learned > middle).long(), (truth > middle).long()),
        )
    if outputs == 1:
        return (f"not {labels[0]}", labels[0]), torch.tensor([-1, 0]), (learned, truth)
    present = torch.cat([learned, truth]).unique()
    places = tuple((part[:, None] == present).long().argmax(1) for part in (learned, truth))
    return tuple(labels[output] for output in present.tolist()), present, (places[0], places[1])


def _questions(
    subject: Subject, inputs: Inputs, rows: Sequence[int], draws: Sequence[torch.Generator], edited: float
) -> tuple[Inputs, Features, tuple[tuple[int, ...], ...]]:
    """The points that are asked about, what can be hidden, and what is. Where nothing can be, an example is asked as it
    is."""
    features = quiz_features(subject, inputs)
    values, hidden = [], []
    for place, row in enumerate(rows):
        due = int((place + 1) * edited) > int(place * edited)  # Spread evenly over the questions.
        one = slice(row, row + 1)
        value, gone = _halved(subject, inputs.rows(one), features.rows(one), draws[row]) if due else (None, ())
        values.append(inputs.value[row] if value is None else value)
        hidden.append(gone)
    return inputs.rows(torch.tensor(rows)).at(torch.stack(values)), features, tuple(hidden)


def _halved(
    subject: Subject, one: Inputs, features: Features, draws: torch.Generator
) -> tuple[Tensor | None, tuple[int, ...]]:
    """One example's point with a random half of its features hidden, and which these are."""
    (count,) = features.counts()
    if count < 2:
        return None, ()
    try:
        hiding = hidden_point(subject, one, features, None)[0]
    except NotAnswerable:  # Every feature looks the same hidden as shown.
        return None, ()
    gone = tuple(sorted(torch.randperm(count, generator=draws)[: count // 2].tolist()))
    keep = torch.ones(1, count, dtype=torch.bool)
    keep[0, list(gone)] = False
    return blended(one.value[0], hiding, features.segments[0], keep)[0], gone


def quiz_features(subject: Subject, inputs: Inputs) -> Features:
    """What can be hidden in a question: squares of a picture, words, columns, positions or elements."""
    if subject.task.modality is Modality.IMAGE:
        return players(subject, inputs, "grid", _CELLS)
    finest = next((name for name in ("words", "columns", "positions") if name in subject.task.groupings()), "elements")
    return players(subject, inputs, finest)
