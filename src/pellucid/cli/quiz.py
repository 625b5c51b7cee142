"""``pellucid quiz``: can you predict the model? In the terminal, or as a page to give to others."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pellucid.cli.inputs import DEFAULT_SUBJECT, given, subject_named
from pellucid.core.errors import NotAnswerable, UsageError, nearest
from pellucid.core.spec import Modality

if TYPE_CHECKING:
    from pellucid.core.subject import Subject
    from pellucid.engine.lessons import Material
    from pellucid.metrics.forward_simulation import ForwardSimulation

ANSWERS = Path("answers.json")
_STOP = "q"


def quiz(
    *inputs: Annotated[
        str, Parameter(help="the inputs that the result explains; some are studied, others asked about")
    ],
    result: Annotated[Path, Parameter(help="a saved explanation of all of them: pellucid run lrp INPUTS --out FILE")],
    subject: Annotated[
        str, Parameter(help="a model by name, or hf:…, onnx:…, http://…, module:factory")
    ] = DEFAULT_SUBJECT,
    option: Annotated[list[str] | None, Parameter(help="name=value for loading the model", negative=())] = None,
    studied: Annotated[int, Parameter(help="examples that are shown with the model's answers")] = 8,
    questions: Annotated[int, Parameter(help="questions at most, asked twice")] = 12,
    edited: Annotated[float, Parameter(help="share of the questions in which half of the features are hidden")] = 0.5,
    seed: Annotated[int, Parameter(help="of which examples are shown and asked")] = 0,
    answers: Annotated[
        Path, Parameter(help="where answers are kept; a quiz that was stopped goes on from it")
    ] = ANSWERS,
    name: Annotated[str, Parameter(help="who answers, as the file will say")] = "",
    page: Annotated[Path | None, Parameter(help="write the quiz as a page to this .html file instead")] = None,
    limit: Annotated[int | None, Parameter(help="of a folder, this many pictures, evenly spaced")] = None,
) -> int:
    """Study examples, predict the model; study them with explanations, predict again; and see what they changed."""
    from pellucid.cli.output import check_file_writable, say
    from pellucid.cli.run import judged_results
    from pellucid.core.files import write_bytes
    from pellucid.metrics.forward_simulation import ForwardSimulation

    check_file_writable(answers if page is None else page)
    if page is not None and page.suffix != ".html":
        raise UsageError(f"{page} should end in .html")
    loaded = subject_named(subject, option or ())
    raws = [entry.raw for entry in given(loaded, inputs, limit=limit)]
    asked = judged_results(loaded, raws[0] if len(raws) == 1 else raws, {"result": [result]})
    method = ForwardSimulation(studied=studied, questions=questions, edited=edited, seed=seed, reader="none")
    shown = method.material(loaded, asked)
    if page is not None:
        from pellucid.reports.quiz import quiz_page

        write_bytes(page, quiz_page(loaded, shown).encode())
        say(
            f"saved {page}: open it in a browser; then pellucid run forward-simulation … --answers FILE{_settings(method)}"
        )
        return 0
    if _taken(loaded, shown, answers, name):
        import dataclasses

        say(dataclasses.replace(method, answers=str(answers))(loaded, asked).summary(), f"saved {answers}")
    else:
        say(f"stopped; {answers} keeps what was answered, the same command goes on")
    return 0


def _settings(method: "ForwardSimulation") -> str:
    """The options with which the same quiz is made again."""
    named = {"studied": method.studied, "questions": method.questions, "edited": method.edited, "seed": method.seed}
    return "".join(f" --{key} {value}" for key, value in named.items())


def _taken(subject: "Subject", shown: "Material", path: Path, name: str) -> bool:
    """Ask what is not answered yet, and keep every answer at once; whether all are answered now."""
    from pellucid.cli.output import say
    from pellucid.engine.quiz_answers import read_answers
    from pellucid.metrics.forward_simulation import CONTROL
    from pellucid.reports.exhibits import check_one_method

    if subject.task.modality is Modality.IMAGE:
        raise NotAnswerable("a terminal cannot show pictures; write the quiz as a page: --page quiz.html")
    check_one_method(shown.quiz, len(shown.arms))
    record: dict[str, Any] = {"quiz": shown.quiz.identity, "reader": name, "answers": {}}
    if path.exists():
        record = dict(read_answers(path, shown.quiz))
    for arm in (CONTROL, *shown.arms):
        kept = record["answers"].setdefault(arm, {})
        open_questions = [number for number in range(len(shown.quiz.asked)) if str(number) not in kept]
        if not open_questions:
            continue
        say("", _studied(subject, shown, None if arm == CONTROL else arm))
        for number in open_questions:
            choice = _answered(subject, shown, number)
            if choice is None:
                return False
            kept[str(number)] = choice
            _keep(path, record)
    return True


def _keep(path: Path, record: dict[str, Any]) -> None:
    from pellucid.core.files import write_bytes

    write_bytes(path, (json.dumps(record, ensure_ascii=False, indent=1) + "\n").encode())


def _studied(subject: "Subject", shown: "Material", arm: str | None) -> str:
    from pellucid.reports.exhibits import strongest_scores, studied_exhibit

    lines = ["Examples and the model's answers:" if arm is None else f"The same examples, explained by {arm}:"]
    for example, learned in zip(shown.quiz.studied.tolist(), shown.quiz.learned.tolist(), strict=True):
        lines += ["", f"  {_written(studied_exhibit(subject, shown, example))}"]
        lines.append(f"  the model answers: {shown.quiz.choices[learned]}")
        if arm is not None:
            answer = shown.arms[arm]
            told = ", ".join(f"{feature} {score:+.3g}" for feature, score in strongest_scores(answer, example))
            lines.append(f"  what speaks for (+) and against (−) {answer.question(example)}: {told}")
    return "\n".join(lines)


def _answered(subject: "Subject", shown: "Material", number: int) -> str | None:
    """The choice that is read for a question; None where the answers end, or ``q`` is given."""
    from pellucid.cli.output import say
    from pellucid.reports.exhibits import asked_exhibit

    choices = shown.quiz.choices
    listed = "  ".join(f"{place} {choice}" for place, choice in enumerate(choices, 1))
    say("", f"Question {number + 1} of {len(shown.quiz.asked)}: {_written(asked_exhibit(subject, shown, number))}")
    while True:
        say(f"What does the model answer? {listed}  ({_STOP} stops)")
        line = sys.stdin.readline()
        word = line.strip()
        if not line or word == _STOP:
            return None
        if word.isdigit() and 1 <= int(word) <= len(choices):
            return choices[int(word) - 1]
        named = [choice for choice in choices if choice.casefold() == word.casefold()]
        if named:
            return named[0]
        say(f"there is no answer {word!r}; {nearest(word, choices)}")


def _written(exhibit: Any) -> str:
    if isinstance(exhibit, dict):
        return ", ".join(f"{name} {value}" for name, value in exhibit.items())
    return str(exhibit)
