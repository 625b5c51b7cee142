"""Examples and explanations of a quiz in a form that people can read: texts, rows and pictures, with what is hidden left out."""

from typing import Any

from PIL import Image as Picture
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.subject import Origin, Subject
from pellucid.engine.lessons import Material
from pellucid.engine.quiz import Quiz
from pellucid.results.attribution import Attribution
from pellucid.tasks.image import Image

HIDDEN = "▁▁▁"
_MOST_NUMBERS, _STRONGEST, _SMALLEST = 40, 8, 160

Exhibit = str | dict[str, Any] | Picture.Image


def studied_exhibit(subject: Subject, shown: Material, example: int) -> Exhibit:
    """An example that is studied, as it is."""
    return _exhibit(subject, shown, example, shown.inputs.value[example], ())


def asked_exhibit(subject: Subject, shown: Material, question: int) -> Exhibit:
    """The example of a question, without what is hidden in it."""
    quiz = shown.quiz
    return _exhibit(subject, shown, int(quiz.asked[question]), quiz.points.value[question], quiz.hidden[question])


def origin_of(exhibit: Exhibit) -> Origin:
    """What a figure needs of an exhibit: itself, and where the network looked in a picture."""
    return Origin(exhibit, box=(0, 0, *exhibit.size) if isinstance(exhibit, Picture.Image) else None)


def strongest_scores(answer: Attribution, example: int) -> list[tuple[str, float]]:
    """The features of one example with the strongest scores, in words and numbers."""
    scores = answer.by_feature()[example]
    order = scores.abs().argsort(descending=True, stable=True)[:_STRONGEST].tolist()
    return [(answer.label(example, number), float(scores[number])) for number in order]


def check_one_method(quiz: Quiz, arms: int) -> None:
    """Raise ``NotAnswerable`` where people cannot take the quiz."""
    if arms != 1:
        raise NotAnswerable(f"people compare explanations of one method with none, not of {arms}; name one result")
    if len(quiz.choices) < 2:
        raise NotAnswerable("the model answers the same everywhere: there is nothing to choose from; name other inputs")


def _exhibit(subject: Subject, shown: Material, example: int, point: Tensor, hidden: tuple[int, ...]) -> Exhibit:
    task, features = subject.task, shown.quiz.features
    if isinstance(task, Image):
        return _large(task.picture(point))
    raw = shown.inputs.origins[example].raw if shown.inputs.origins else None
    if isinstance(raw, str) and features.spans is not None:
        return _without(raw, [features.spans[example][feature] for feature in hidden])
    names = features.labels[example] if features.labels is not None else None
    if isinstance(raw, dict) and names is not None:
        gone = {names[feature] for feature in hidden}
        return {name: HIDDEN if name in gone else f"{value:.6g}" for name, value in raw.items()}
    if point.numel() <= _MOST_NUMBERS:
        values = point.flatten().tolist()
        gone = {f"element {feature}" for feature in hidden}
        named = {f"element {number}": f"{value:.4g}" for number, value in enumerate(values)}
        return {name: HIDDEN if name in gone else value for name, value in named.items()}
    raise NotAnswerable(
        f"inputs of {subject.name} have no form that people can read; simulated readers can take the quiz"
    )


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + HIDDEN + text[end:]
    return text


def _large(picture: Picture.Image) -> Picture.Image:
    """Small pictures enlarged by whole pixels, so that people see them."""
    scale = max(1, _SMALLEST // max(picture.size))
    size = (picture.width * scale, picture.height * scale)
    return picture.convert("RGB").resize(size, Picture.Resampling.NEAREST)
