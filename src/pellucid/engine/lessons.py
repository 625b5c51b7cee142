"""What readers of explanations are shown: examples in parts, the model's answers, and the scores of the parts."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.seeds import generator
from pellucid.core.spec import Modality
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.quiz import Quiz
from pellucid.engine.readers import Lesson
from pellucid.engine.targets import Target
from pellucid.results.attribution import Attribution


@dataclass(frozen=True)
class Material:
    """Inputs and question of the explanations, the quiz about them, and the explanations by the names of their arms."""

    inputs: Inputs
    target: Target
    quiz: Quiz
    arms: Mapping[str, Attribution]


def lessons(subject: Subject, shown: Material) -> list[Lesson]:
    """What a simulated reader is shown in each arm."""
    quiz, target = shown.quiz, shown.target
    seen, asked, words, scores_of = _parts(subject, shown)
    plain = Lesson(seen, asked, quiz.learned, len(quiz.choices), words)
    sign = -1.0 if target.of == "loss" else 1.0
    explained, against = (_as_choices(quiz, index, place) for index, place in ((target.index, 1), (target.foil, 0)))
    threshold = quiz.middle if target.foil is None else None if quiz.middle is not None else 0.0
    return [
        plain,
        *(
            dataclasses.replace(
                plain,
                scores=sign * scores_of(answer),
                values=sign * answer.value[quiz.studied].double(),
                explained=explained,
                against=against,
                threshold=threshold,
            )
            for answer in shown.arms.values()
        ),
    ]


def shuffled(lesson: Lesson, seed: int) -> Lesson:
    """The same lesson with the scores of each example dealt out anew among its own parts: an explanation that has the same
    strengths and sum, and says nothing."""
    if lesson.scores is None:
        return lesson
    scores = torch.zeros_like(lesson.scores)
    for row, own in enumerate(lesson.scores):
        places = lesson.seen[row].nonzero().flatten() if lesson.words else torch.arange(len(own))
        order = torch.randperm(len(places), generator=generator(seed, "shuffled", lesson.seen[row]))
        scores[row, places] = own[places[order]]
    return dataclasses.replace(lesson, scores=scores)


def _as_choices(quiz: Quiz, index: Tensor | None, place: int) -> Tensor:
    """What the explanations of the studied examples are about (or its foil), as places among the choices; ``place`` of two
    choices that stand for one output."""
    if int(quiz.outputs[0]) < 0:
        return torch.full((len(quiz.studied),), place)
    if index is None:
        return torch.full((len(quiz.studied),), -1)
    return torch.tensor([quiz.choice_of(output) for output in index[quiz.studied, -1].tolist()])


def _parts(subject: Subject, shown: Material) -> tuple[Tensor, Tensor, bool, Callable[[Attribution], Tensor]]:
    """The studied and the asked examples in parts ``[examples, parts]``, whether these are words, and the scores of the
    parts of the studied ones as an explanation has them."""
    quiz, inputs = shown.quiz, shown.inputs
    if quiz.features.kind == "word" and quiz.features.labels is not None:
        return _word_parts(quiz, quiz.features.labels)
    seen, asked = (_elements(part) for part in (inputs.rows(quiz.studied), quiz.points))
    scale = torch.ones(seen.shape[1], dtype=torch.float64)
    if subject.task.modality is Modality.TABULAR and len(seen) > 1:
        spread = seen.std(0)
        scale = torch.where(spread > 0, spread, 1.0)
    return seen / scale, asked / scale, False, lambda answer: answer.scores[quiz.studied].flatten(1).double()


def _elements(inputs: Inputs) -> Tensor:
    value = inputs.value.double()
    if inputs.mask is not None:
        value = value * inputs.mask.view(*inputs.mask.shape, *[1] * (value.ndim - inputs.mask.ndim))
    return value.flatten(1)


def _word_parts(
    quiz: Quiz, labels: Sequence[Sequence[str]]
) -> tuple[Tensor, Tensor, bool, Callable[[Attribution], Tensor]]:
    """How often each word of the studied examples and the questions occurs, capitals aside."""
    rows = [*quiz.studied.tolist(), *quiz.asked.tolist()]
    vocabulary = sorted({word.casefold() for row in rows for word in labels[row]})
    place = {word: number for number, word in enumerate(vocabulary)}

    def counted(row: int, amounts: Tensor) -> Tensor:
        index = torch.tensor([place[word.casefold()] for word in labels[row]], dtype=torch.long)
        return torch.zeros(len(vocabulary), dtype=torch.float64).index_add_(0, index, amounts.double())

    def left(row: int, hidden: Sequence[int]) -> Tensor:
        amounts = torch.ones(len(labels[row]), dtype=torch.float64)
        amounts[list(hidden)] = 0
        return amounts

    def scores_of(answer: Attribution) -> Tensor:
        sums = quiz.features.sums(answer.scores)
        return torch.stack([counted(row, sums[row]) for row in quiz.studied.tolist()])

    seen = torch.stack([counted(row, left(row, ())) for row in quiz.studied.tolist()])
    questions = zip(quiz.asked.tolist(), quiz.hidden, strict=True)
    asked = torch.stack([counted(row, left(row, hidden)) for row, hidden in questions])
    return seen, asked, True, scores_of
