"""Simulated readers of explanations: programs that predict a model from what they were shown, and that say how.

They stand for no person. Each reads the same examples twice, without explanations and with them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Lesson:
    """What a reader is shown, and what it is asked.

    ``seen`` ``[studied, parts]`` and ``asked`` ``[questions, parts]`` are the examples as numbers: how often each word
    occurs (``words``), or the elements of the input. ``answers`` ``[studied]`` are the model's, as places among ``choices``.

    With explanations, ``scores`` ``[studied, parts]`` are the shown scores and ``values`` ``[studied]`` what they explain:
    how much the model is for the choice ``explained`` rather than ``against`` (``[studied]``, -1 where that is no choice).
    ``threshold`` is the value above which the model gives the explained answer, where that is known.
    """

    seen: Tensor
    asked: Tensor
    answers: Tensor
    choices: int
    words: bool
    scores: Tensor | None = None
    values: Tensor | None = None
    explained: Tensor | None = None
    against: Tensor | None = None
    threshold: float | None = None


def majority(lesson: Lesson) -> Tensor:
    """The answer that was shown most often, whatever is asked."""
    return torch.full((len(lesson.asked),), int(_counts(lesson).argmax()))


def nearest_example(lesson: Lesson) -> Tensor:
    """The answer to the most similar example that was shown.

    Without explanations similar means: most of the same words, or the smallest distance between the elements. With
    explanations every word or element counts by the size of its shown score.
    """
    weights = torch.ones_like(lesson.seen) if lesson.scores is None else lesson.scores.abs()
    weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-30)
    if lesson.words:
        return lesson.answers[_overlaps(lesson, weights).argmax(1)]
    # Σ w (x − s)², written out so that no tensor [questions, studied, parts] is needed.
    apart = (
        lesson.asked**2 @ weights.T - 2 * lesson.asked @ (weights * lesson.seen).T + (weights * lesson.seen**2).sum(1)
    )
    return lesson.answers[apart.argmin(1)]


def linear(lesson: Lesson) -> Tensor:
    """The answer by a sum over words or elements.

    With explanations each part adds what its shown scores say: a word their mean; an element their mean, a multiple of its
    value, or the straight line over its values, whichever foretells the shown values of examples that are left out best.
    What the scores leave of the shown values is added as it is in the mean. What explanations are not about is answered as
    without them: there the sums are fitted to the shown answers (ridge regression).
    """
    plain = _ridge(lesson)
    if lesson.scores is None:
        return plain.argmax(1)
    assert lesson.explained is not None
    kinds = lesson.explained.unique().tolist()
    if len(kinds) == 1:
        everything = torch.ones_like(lesson.explained, dtype=torch.bool)
        return _above(lesson, _sums(lesson, everything), plain)
    sums = torch.full((len(lesson.asked), lesson.choices), -torch.inf, dtype=torch.float64)
    for kind in kinds:
        if kind >= 0:
            sums[:, kind] = _sums(lesson, lesson.explained == kind)
    return sums.argmax(1)


READERS: Mapping[str, Callable[[Lesson], Tensor]] = {"majority": majority, "nearest": nearest_example, "linear": linear}


def about(reader: str) -> str:
    """What a simulated reader does, in a sentence."""
    return " ".join((READERS[reader].__doc__ or "").split())


def _counts(lesson: Lesson) -> Tensor:
    return torch.bincount(lesson.answers, minlength=lesson.choices)


def _overlaps(lesson: Lesson, weights: Tensor) -> Tensor:
    """How much of each shown text occurs in the asked one, ``[questions, studied]``; without scores the cosine of their
    counts."""
    if lesson.scores is not None:
        return (lesson.asked > 0).double() @ (weights * (lesson.seen > 0)).T
    asked, seen = (part / part.norm(dim=1, keepdim=True).clamp(min=1e-30) for part in (lesson.asked, lesson.seen))
    return asked @ seen.T


def _sums(lesson: Lesson, rows: Tensor) -> Tensor:
    """The explained quantity of each question as the scores of some examples tell it."""
    assert lesson.scores is not None
    assert lesson.values is not None
    seen, scores, values = lesson.seen[rows], lesson.scores[rows], lesson.values[rows]
    forms = (_by_word,) if lesson.words else (_proportion, _line, _level)
    errors = [_left_out(form, seen, scores, values) for form in forms]
    best = forms[errors.index(min(errors))]
    return _told(best, seen, scores, values, lesson.asked)


# What each part adds: a constant over all parts together, and a factor for each.
Form = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _by_word(seen: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    return scores.new_zeros(()), scores.sum(0) / seen.sum(0).clamp(min=1)


def _level(seen: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    return scores.mean(0).sum(), torch.zeros_like(scores[0])


def _proportion(seen: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    return scores.new_zeros(()), (seen * scores).sum(0) / (seen**2).sum(0).clamp(min=1e-30)


def _line(seen: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    middle, level = seen.mean(0), scores.mean(0)
    spread = ((seen - middle) ** 2).sum(0)
    known = spread > 1e-12 * (seen**2).sum(0).clamp(min=1e-30)
    slope = torch.where(known, ((seen - middle) * (scores - level)).sum(0) / spread.clamp(min=1e-30), 0.0)
    return (level - slope * middle).sum(), slope


def _told(form: Form, seen: Tensor, scores: Tensor, values: Tensor, asked: Tensor) -> Tensor:
    constant, factors = form(seen, scores)
    return (values - scores.sum(1)).mean() + constant + asked @ factors


def _left_out(form: Form, seen: Tensor, scores: Tensor, values: Tensor) -> float:
    """How far the shown values are from what all other examples tell of them, squared and summed."""
    total = 0.0
    for row in range(len(seen) if len(seen) > 1 else 0):
        rest = torch.arange(len(seen)) != row
        told = _told(form, seen[rest], scores[rest], values[rest], seen[row : row + 1])
        total += float((told - values[row]) ** 2)
    return total


def _above(lesson: Lesson, sums: Tensor, plain: Tensor) -> Tensor:
    """The explained answer where the sum is above the threshold, else the other one; ``plain`` ``[questions, choices]`` is
    how much speaks for each choice without explanations."""
    assert lesson.explained is not None
    assert lesson.against is not None
    own, other = int(lesson.explained[0]), int(lesson.against[0])
    if own < 0:
        return plain.argmax(1)
    above = sums > (_split(lesson, own) if lesson.threshold is None else lesson.threshold)
    if other >= 0:
        first = plain.argmax(1)
        between = (first == own) | (first == other)
        return torch.where(between, torch.where(above, own, other), first)
    others = plain.clone()
    others[:, own] = -torch.inf
    return torch.where(above, own, others.argmax(1))


def _split(lesson: Lesson, own: int) -> float:
    """The threshold that tells the shown examples with the explained answer from the others best."""
    assert lesson.values is not None
    values, order = lesson.values.double().sort()
    mine = (lesson.answers[order] == own).long()
    none = mine.new_zeros(1)
    right = torch.cat([none, (1 - mine).cumsum(0)]) + torch.cat([mine.flip(0).cumsum(0).flip(0), none])
    edges = torch.cat([values[:1] - torch.inf, (values[1:] + values[:-1]) / 2, values[-1:] + torch.inf])
    best = (right == right.max()).nonzero().flatten()
    return float(edges[best[len(best) // 2]])


def _ridge(lesson: Lesson) -> Tensor:
    """The fitted score of each choice for each question, ``[questions, choices]``."""
    middle = lesson.seen.mean(0)
    seen, asked = lesson.seen - middle, lesson.asked - middle
    kernel = seen @ seen.T
    penalty = 0.1 * kernel.diagonal().mean().clamp(min=1e-30) * torch.eye(len(seen), dtype=kernel.dtype)
    wanted = torch.nn.functional.one_hot(lesson.answers, lesson.choices).double()
    level = wanted.mean(0)
    return level + asked @ seen.T @ torch.linalg.solve(kernel + penalty, wanted - level)
