"""``pellucid map``, and ``pellucid`` alone: from what must be understood to the methods that serve it."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pellucid.cli.inputs import DEFAULT_SUBJECT, subject_named
from pellucid.cli.output import Console, document, grid, say
from pellucid.core.catalogue import catalogue
from pellucid.core.errors import UsageError
from pellucid.core.spec import Asker, Dimension, Modality, Scope
from pellucid.guide.drawing import LINES, drawing
from pellucid.guide.glossary import term
from pellucid.guide.map import NEEDS, Answer, Need, answers, asker_named, facets, placed, reasons, understood

if TYPE_CHECKING:
    from pellucid.guide.gaps import Cell

_WIDEST = 110
_MARK = "●"


def map(
    *,
    need: Annotated[str | None, Parameter(help="what must be understood: words, scope, dimension or number")] = None,
    asker: Annotated[str | None, Parameter(help="developer, domain expert, affected person or auditor")] = None,
    subject: Annotated[str | None, Parameter(help="of which model: say what does not apply to it, and why")] = None,
    option: Annotated[list[str] | None, Parameter(help="name=value for loading the model", negative=())] = None,
    gaps: Annotated[bool, Parameter(help="what nobody serves yet, and why", negative=())] = False,
    json: Annotated[bool, Parameter(help="one JSON document on standard output", negative=())] = False,
) -> None:
    """Draw the map; with a need, an asker or a subject, answer which methods serve and why the others do not."""
    records = catalogue()
    if gaps:
        _gaps(records, json)
        return
    wanted = None if need is None else understood(need)
    by = None if asker is None else asker_named(asker)
    inapplicable = None if subject is None else reasons(records, subject_named(subject, option or []))
    found = answers(records, wanted, by, inapplicable)
    if json:
        document(_as_json(wanted, by, subject, found))
        return
    if wanted is None and by is None and subject is None:
        say(_drawn(records), "", *_legend(), "", *_how_to_ask())
        return
    serving = frozenset(answer.record["id"] for answer in found if answer.serves)
    say(_drawn(records, serving), f"{_MARK} serves", "")
    _say_answer(found, wanted, by, subject)


def walk(ask: Callable[[str], str] = input) -> int:
    """Draw the map, ask what must be understood and by whom, answer, and explain an input where one is named.

    Where standard input is no terminal nobody can be asked: then the map says how to ask it.
    """
    records = catalogue()
    say(_drawn(records), "", *_legend(), "")
    if not sys.stdin.isatty():
        say(*_how_to_ask())
        return 0
    try:
        return _asked_in_turn(records, ask)
    except EOFError:
        say("")
        return 0


def _asked_in_turn(records: Sequence[Mapping[str, Any]], ask: Callable[[str], str]) -> int:
    wanted = _chosen(ask, "What must be understood?", [need.words for need in NEEDS], understood)
    by = _chosen(ask, "By whom?", [asker.value for asker in Asker], asker_named)
    found = answers(records, wanted, by)
    say("")
    _say_answer(found, wanted, by, None)
    decisions = [answer.record["id"] for answer in found if answer.serves and answer.record["query"] == "Decision"]
    if not decisions:
        return 0
    word = ask(f"An input to ask {DEFAULT_SUBJECT} about (a picture's path; Enter for none): ").strip()
    if not word:
        return 0
    from pellucid.cli.explain import explain

    return explain(word, method=decisions)


def _chosen(ask: Callable[[str], str], question: str, options: Sequence[str], read: Callable[[str], Any]) -> Any:
    say(question, grid([(f"{number:>3}", text) for number, text in enumerate(options, 1)]))
    while True:
        answer = ask("A number or words (Enter for any): ").strip()
        if not answer:
            return None
        try:
            return read(answer)
        except UsageError as error:
            say(str(error))


def _drawn(records: Sequence[Mapping[str, Any]], marked: frozenset[str] = frozenset()) -> str:
    regions = {
        scopes: [f"{_MARK} {name}" if name in marked else name for name in names]
        for scopes, names in placed(records).items()
    }
    return drawing(regions, max(80, min(Console().width, _WIDEST)))


def _legend() -> list[Any]:
    return [grid([(f"{LINES[scope].horizontal * 3} {scope}", term(scope.value).meaning) for scope in Scope], 19)]


def _how_to_ask() -> list[Any]:
    askers = ", ".join(asker.value for asker in Asker)
    known = ", ".join(need.id for need in facets())
    return [
        "Ask it: pellucid map --need WORDS --asker WHO --subject MODEL. Needs, by number or words:",
        grid([(f"{number:>3}", need.words) for number, need in enumerate(NEEDS, 1)]),
        f"Also a scope or dimension: {known}. Askers: {askers}.",
        "What a word means: pellucid show WORD. What is missing: pellucid map --gaps",
    ]


def _say_answer(found: Sequence[Answer], need: Need | None, asker: Asker | None, subject: str | None) -> None:
    about = "" if need is None else f" for {need.words.rstrip('?')}"
    whom = "" if asker is None else f", for the {asker}"
    of = "" if subject is None else f", on {subject}"
    serving = [answer.record for answer in found if answer.serves]
    if serving:
        say(f"{len(serving)} of {len(found)} methods serve{about}{whom}{of}:")
        for record in serving:
            facts = (f"Misleads: {record['caveat']}", f"Costs {record['cost']}.", _command(record, subject))
            say(grid([(record["id"], record["question"]), *(("", fact) for fact in facts)], 22))
    else:
        say(f"No method serves{about}{whom}{of}. This is a gap: pellucid map --gaps")
    others = _by_reason([answer for answer in found if not answer.serves])
    if others:
        say("", "Not these:", grid([(", ".join(names), reason) for reason, names in others.items()], 22))


def _command(record: Mapping[str, Any], subject: str | None) -> str:
    model = "" if subject is None else f" --subject {subject}"
    result = " --result SAVED.pellucid" if record["query"] == "Judgement" else ""
    return f"pellucid run {record['id']}{model}{result} INPUT"


def _by_reason(others: Sequence[Answer]) -> dict[str, list[str]]:
    together: dict[str, list[str]] = {}
    for answer in others:
        together.setdefault(str(answer.reason), []).append(answer.record["id"])
    return together


def _as_json(need: Need | None, asker: Asker | None, subject: str | None, found: Sequence[Answer]) -> dict[str, Any]:
    keys = ("id", "title", "question", "scopes", "dimensions", "view", "askers", "modalities", "cost", "caveat")
    return {
        "need": None if need is None else {"id": need.id, "words": need.words},
        "asker": asker,
        "subject": subject,
        "serve": [{key: answer.record[key] for key in keys} for answer in found if answer.serves],
        "do_not_serve": [{"id": answer.record["id"], "reason": answer.reason} for answer in found if not answer.serves],
    }


def _gaps(records: Sequence[Mapping[str, Any]], json: bool) -> None:
    import dataclasses

    from pellucid.guide.gaps import gaps, matrix

    cells = matrix(records)
    if json:
        document([dataclasses.asdict(cell) for cell in cells])
        return
    say("How many methods serve, by kind of answer (down), input (across) and asker; · where none does.", "")
    for asker in Asker:
        say(_matrix(asker, [cell for cell in cells if cell.asker is asker]))
    empty = sum(cell.reason is not None for cell in cells)
    say(f"{empty} of {len(cells)} cells (dimension × input × network × asker) are empty, because:")
    for gap in gaps(cells):
        where = (_unless_all(gap.modalities, Modality), _unless_all(gap.networks), _unless_all(gap.askers, Asker))
        named = "; ".join(part for part in where if part)
        say(grid([(gap.dimension.value, f"{gap.reason}{f' ({named})' if named else ''}.")], 24))


def _matrix(asker: Asker, cells: "Sequence[Cell]") -> Any:
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, title=f"for the {asker}", title_justify="left", pad_edge=False)
    made.add_column("")
    for modality in Modality:
        made.add_column(modality.value, justify="right")
    for dimension in Dimension:
        row = []
        for modality in Modality:
            here = [cell for cell in cells if cell.dimension is dimension and cell.modality is modality]
            number = len({name for cell in here for name in cell.methods})
            row.append(str(number) if number else "·")
        made.add_row(dimension.value, *row)
    return made


def _unless_all(values: Sequence[Any], kind: Any = None) -> str:
    from pellucid.guide.gaps import Network

    return "" if len(values) == len(kind or Network) else ", ".join(str(value) for value in values)
