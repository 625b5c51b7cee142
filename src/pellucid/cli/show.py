"""``pellucid show``: what is known of a method, a saved result, a subject, or a word of the field."""

import dataclasses
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pellucid.cli.output import document, grid, result_document, say, show_result
from pellucid.core.catalogue import catalogue
from pellucid.core.errors import BadInput, UsageError, nearest
from pellucid.guide.glossary import GLOSSARY, Term, term

if TYPE_CHECKING:
    from pellucid.core.result import Result

_SUFFIX = ".pellucid"


def show(
    name: Annotated[str, Parameter(help="a method, a .pellucid file, a subject, or a word such as transparency")],
    /,
    *,
    page: Annotated[Path | None, Parameter(help="of a saved result, write its page to this .html file")] = None,
    json: Annotated[bool, Parameter(help="one JSON document on standard output", negative=())] = False,
) -> None:
    """Print the page of one thing; of a method that is a word of the field too, what the word means as well."""
    methods = {record["id"]: record for record in catalogue()}
    words = {entry.word for entry in GLOSSARY}
    if name.endswith(_SUFFIX) or os.path.isfile(name):
        _result(Path(name), json, page)
    elif page is not None:
        raise UsageError(f"--page is for saved results ({_SUFFIX}), and {name!r} is none")
    elif name in methods:
        document(methods[name]) if json else _method(methods[name])
        if not json and name in words:
            say("")
            _term(term(name))
    elif name.casefold() in words:
        found = term(name)
        document(dataclasses.asdict(found)) if json else _term(found)
    else:
        _subject(name, json, [*methods, *words])


def _method(record: Mapping[str, Any]) -> None:
    from pellucid.cli.run import described

    say(f"{record['id']}: {record['title']}", "", record["question"], "", record["summary"], "")
    say(f"How it misleads: {record['caveat']}", "")
    say(
        grid(
            [
                ("answers", f"a {record['query']} with a {record['result']}"),
                ("scopes", ", ".join(record["scopes"])),
                ("dimensions", ", ".join(record["dimensions"])),
                ("view", record["view"]),
                ("made for", ", ".join(record["askers"])),
                ("needs", ", ".join(record["needs"])),
                ("asked at", ", ".join(record["points"])),
                ("inputs", ", ".join(record["modalities"])),
                ("properties", ", ".join(record["properties"]) or "none claimed"),
                ("costs", f"{record['cost']} per example (F forward, B forward and backward pass)"),
                ("ask instead", ", ".join(record["alternatives"]) or "-"),
                ("references", ", ".join(record["references"])),
                ("serves rows", ", ".join(record["serves"])),
                ("in Python", f"from {record['module']} import {record['class']}"),
                ("here", f"pellucid run {record['id']} INPUT"),
            ],
            12,
        )
    )
    if record["fields"]:
        say("", "Fields:", grid([(f"--{f['name'].replace('_', '-')}", described(f)) for f in record["fields"]], 20))


def _term(entry: Term) -> None:
    say(f"{entry.word}: {entry.meaning}", "", f"So used by {entry.after}.")
    if entry.elsewhere:
        say(f"Elsewhere: {entry.elsewhere}")


def _result(path: Path, json: bool, page: Path | None) -> None:
    if not path.exists():
        raise BadInput(f"there is no result file {path}")
    if path.suffix != _SUFFIX:
        raise BadInput(f"{path} is not a result file ({_SUFFIX}); to explain it: pellucid explain {path}")
    from pellucid.core.files import write_bytes
    from pellucid.core.result import Result

    result = Result.load(path)
    if page is not None:
        write_bytes(page, _document(result).encode())
    if json:
        document(result_document(result))
        return
    show_result(result)
    if result.provenance is not None:
        facts = dataclasses.asdict(result.provenance)
        say(
            "Where it comes from:", grid([(name.replace("_", " "), _written(fact)) for name, fact in facts.items()], 20)
        )
    if page is not None:
        say("", f"The page: {page}")


def _document(result: "Result") -> str:
    """A result's page as a document of its own."""
    shown = result._repr_html_()
    if shown.startswith("<!doctype"):
        return shown
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        f"content='width=device-width,initial-scale=1'><title>{type(result).__name__}</title></head><body>{shown}</body></html>\n"
    )


def _subject(name: str, json: bool, others: list[str]) -> None:
    from pellucid.subjects.zoo import ZOO

    if name not in ZOO and ":" not in name:
        raise UsageError(f"nothing is called {name!r}; {nearest(name, [*others, *ZOO])}")
    if name in ZOO:
        options = [parameter.name for parameter in inspect.signature(ZOO[name]).parameters.values()]
        page = {"name": name, "about": (inspect.getdoc(ZOO[name]) or "").replace("``", ""), "options": options}
    else:
        page = _loaded(name)
    if json:
        document(page)
        return
    say(grid([(key, _written(value)) for key, value in page.items()], 12))
    say("", f"Measured: pellucid check {name}. What can be asked of it: pellucid methods --subject {name}")


def _loaded(name: str) -> dict[str, Any]:
    from pellucid.cli.inputs import subject_named

    subject = subject_named(name)
    task = {key: value for key, value in subject.task.describe().items() if key != "labels"}
    return {
        "name": subject.name,
        "task": task,
        "labels": len(subject.task.labels or ()),
        "offers": sorted(subject.offers),
        "structure": sorted(subject.structure),
        "fingerprint": subject.fingerprint,
    }


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_written(entry)}" for name, entry in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
