"""The answers of people to a quiz, as files: ``{"quiz": identity, "reader": name, "answers": {arm: {question: choice}}}``."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from pellucid.core.errors import BadInput
from pellucid.engine.readers import READERS


class Asked(Protocol):
    """What answers are read for: numbered questions with the same choices."""

    @property
    def identity(self) -> str: ...
    @property
    def asked(self) -> Tensor: ...
    @property
    def choices(self) -> Sequence[str]: ...


def people(path: Path, quiz: Asked, arms: Sequence[str]) -> list[tuple[str, Tensor]]:
    """The people whose answers a file or folder holds, by name, with their predictions in each arm.

    Raises ``BadInput`` for what is no file of answers, or one of answers to another quiz.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise BadInput(f"there is no .json file of answers in {path}")
    found: dict[str, Tensor] = {}
    for file in files:
        record = read_answers(file, quiz)
        name = str(record.get("reader") or file.stem)
        name = name if name not in found and name not in READERS else f"{name} ({file.stem})"
        given: Mapping[str, Any] = record["answers"]
        found[name] = torch.stack([_predictions(file, given.get(arm, {}), quiz) for arm in arms])
    return list(found.items())


def read_answers(path: Path, quiz: Asked) -> Mapping[str, Any]:
    """A file of answers: ``{"quiz": identity, "reader": name, "answers": {arm: {question: choice}}}``."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"cannot read the answers in {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise BadInput(f"{path} holds no answers in JSON ({error})") from error
    if not isinstance(record, dict) or not isinstance(record.get("answers"), dict):
        raise BadInput(f"{path} holds no answers of a quiz")
    if record.get("quiz") != quiz.identity:
        raise BadInput(
            f"{path} holds answers to another quiz; ask with the same results, inputs, subject and settings as it was made"
        )
    return record


def _predictions(path: Path, given: Any, quiz: Asked) -> Tensor:
    predicted = torch.full((len(quiz.asked),), -1)
    for number, choice in given.items() if isinstance(given, dict) else ():
        if not str(number).isdigit() or int(number) >= len(predicted) or choice not in quiz.choices:
            raise BadInput(f"{path} answers question {number!r} with {choice!r}, which the quiz does not know")
        predicted[int(number)] = quiz.choices.index(choice)
    return predicted
