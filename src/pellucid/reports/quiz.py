"""A quiz as one page that needs nothing else: study, predict, study again with explanations, predict again, and the score."""

import base64
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from PIL import Image as Picture

from pellucid.core.subject import Subject
from pellucid.engine.lessons import Material
from pellucid.metrics.forward_simulation import CONTROL
from pellucid.render.charts import legend
from pellucid.render.fragments import STYLE, figure, heading_of, table_beside
from pellucid.render.heatmap import data_uri, png
from pellucid.reports.exhibits import HIDDEN, Exhibit, asked_exhibit, check_one_method, origin_of, studied_exhibit
from pellucid.results.attribution import Attribution

_MORE_STYLE = """
.pellucid fieldset{border:1px solid #ccc;border-radius:6px;margin:0 0 1rem;padding:.6rem 1rem}.pellucid legend{font-weight:bold}
.pellucid fieldset label{margin-right:1.1rem;display:inline-block;padding:.2rem 0}.pellucid fieldset.open{border-color:#d55e00}
.pellucid button{font:inherit;padding:.45rem .9rem;border:1px solid #666;border-radius:5px;background:#0072b2;color:#fff;cursor:pointer}
.pellucid button:focus-visible,.pellucid input:focus-visible{outline:3px solid #e69f00;outline-offset:2px}.pellucid [hidden]{display:none}
.pellucid .given{font-weight:bold;color:#0072b2}.pellucid .said{color:#a03c00}.pellucid .exhibit img{image-rendering:pixelated;max-width:15rem}
.pellucid .small-cards{grid-template-columns:repeat(auto-fill,minmax(14rem,1fr))}.pellucid .questions{display:grid;grid-template-columns:repeat(auto-fill,minmax(21rem,1fr));gap:0 1rem;align-items:start}
"""


def quiz_page(subject: Subject, shown: Material) -> str:
    """The whole quiz as HTML with its script inside.

    The model's answers are in the page, encoded so that nobody reads them by chance. It scores itself, keeps what was
    answered in the browser, and hands the answers out as the file that ``forward-simulation`` reads.
    """
    check_one_method(shown.quiz, len(shown.arms))
    ((name, answer),) = shown.arms.items()
    quiz = shown.quiz
    truth = base64.b64encode(json.dumps(quiz.truth.tolist()).encode()).decode()
    data = {
        "quiz": quiz.identity,
        "arms": [CONTROL, name],
        "choices": quiz.choices,
        "truth": truth,
        "asked": len(quiz.asked),
    }
    script = (files("pellucid.reports") / "quiz.js").read_text(encoding="utf-8")
    parts = [
        f"<p class='small'>Pellucid · {escape(subject.name)}</p><h1>Can you tell what the model will answer?</h1>",
        _welcome(shown),
        "<noscript><p class='caveat'>This page needs scripts to keep and score your answers; it loads nothing.</p></noscript>",
        _part(subject, shown, 0, None),
        _part(subject, shown, 1, answer),
        _end(),
    ]
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        "content='width=device-width,initial-scale=1'><title>Can you tell what the model will answer?</title>"
        f"<style>body{{margin:0}}{STYLE}{_MORE_STYLE}</style></head><body><main class='pellucid'>{''.join(parts)}</main>"
        f"<script type='application/json' id='quiz'>{_inside(data)}</script><script>{script}</script></body></html>\n"
    )


def _inside(data: object) -> str:
    """JSON that no text in it can end early."""
    return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")


def _welcome(shown: Material) -> str:
    quiz = shown.quiz
    edited = sum(map(bool, quiz.hidden))
    hidden = f" In {edited} of them some parts are hidden." if edited else ""
    return (
        f"<div class='brief'><p>A model has answered. You see {len(quiz.studied)} examples with its answers, and then guess what it "
        f"answers to {len(quiz.asked)} others.{hidden} It is the model that you predict, not the truth: it may be wrong.</p>"
        "<p>Then you see the same examples with an explanation of each answer, and are asked the same questions again. This "
        "shows whether the explanations help. You hear how you did only at the end.</p></div>"
    )


def _part(subject: Subject, shown: Material, arm: int, answer: Attribution | None) -> str:
    quiz = shown.quiz
    cards = "".join(
        _example(subject, shown, int(example), quiz.choices[int(learned)], answer)
        for example, learned in zip(quiz.studied, quiz.learned, strict=True)
    )
    questions = "".join(_question(subject, shown, arm, number) for number in range(len(quiz.asked)))
    pictures = isinstance(studied_exhibit(subject, shown, int(quiz.studied[0])), Picture.Image)
    title = ("Part 1: examples and answers", "Part 2: the same examples, explained")[arm]
    words = "" if answer is None else _words(answer)
    button = ("Go on to part 2", "Show how I did")[arm]
    return (
        f"<section id='part{arm}'{' hidden' if arm else ''}><h2>{title}</h2>{words}<div class='cards{' small-cards' if pictures else ''}'>{cards}</div>"
        f"<h2>What does the model answer here?</h2><div class='questions'>{questions}</div>"
        f"<p><button type='button' data-next='{arm}'>{button}</button> <span class='said' id='said{arm}' role='status'></span></p></section>"
    )


def _words(answer: Attribution) -> str:
    return f"<p>The explanations are by {escape(heading_of(answer))}. Red speaks for the answer that is named, blue against it.</p>{legend()}"


def _example(subject: Subject, shown: Material, example: int, given: str, answer: Attribution | None) -> str:
    exhibit = studied_exhibit(subject, shown, example)
    said = f"<p class='given'>The model answers: {escape(given)}</p>"
    if answer is None:
        return f"<section class='card exhibit'>{said}{_drawn(exhibit)}</section>"
    origin = origin_of(exhibit)
    table = "" if isinstance(exhibit, Picture.Image) else table_beside(answer, example, origin_of(""))
    plain = "" if isinstance(exhibit, str) else _drawn(exhibit)
    about = f"<p class='small'>explained: {escape(answer.question(example))}</p>"
    return f"<section class='card exhibit'>{said}{about}{figure(answer, example, origin)}{table}{plain}</section>"


def _question(subject: Subject, shown: Material, arm: int, number: int) -> str:
    name = f"a{arm}q{number}"
    return (
        f"<fieldset id='{name}'><legend>Question {number + 1}</legend><div class='exhibit'>"
        f"{_drawn(asked_exhibit(subject, shown, number))}</div>{_options(name, shown.quiz.choices)}</fieldset>"
    )


def _options(name: str, choices: Sequence[str]) -> str:
    return "".join(
        f"<label><input type='radio' name='{name}' value='{place}'> {escape(choice)}</label>"
        for place, choice in enumerate(choices)
    )


def _drawn(exhibit: Exhibit) -> str:
    if isinstance(exhibit, str):
        return f"<p class='running'>{escape(exhibit)}</p>"
    if isinstance(exhibit, dict):
        rows = "".join(
            f"<tr><th scope='row'>{escape(name)}</th><td class='n'>{'hidden' if value == HIDDEN else escape(str(value))}</td></tr>"
            for name, value in exhibit.items()
        )
        return f"<table><tbody>{rows}</tbody></table>"
    return f"<img alt='the picture that is asked about' src='{data_uri(png(exhibit))}'>"


def _end() -> str:
    return (
        "<section id='end' hidden><h2>How you did</h2><div id='score' role='status'></div>"
        "<p><label>Your name, or any word (it is written into the file): <input id='name' autocomplete='off'></label></p>"
        "<p><button type='button' id='download'>Download the answers</button> They stay on this machine until you send them.</p>"
        "<p class='small'>Then: <code>pellucid run forward-simulation INPUTS --result RESULT --answers FILE</code></p></section>"
    )
