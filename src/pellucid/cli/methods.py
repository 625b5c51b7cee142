"""``pellucid methods``: what can be asked."""

from typing import Annotated, Any

from cyclopts import Parameter

from pellucid.core.catalogue import catalogue


def methods(
    *,
    subject: Annotated[str | None, Parameter(help="say for each method whether it applies to this model")] = None,
    option: Annotated[list[str] | None, Parameter(help="name=value for loading the model", negative=())] = None,
    json: Annotated[bool, Parameter(help="one JSON document on standard output", negative=())] = False,
) -> None:
    """Print every method of the catalogue with its question, cost and caveat."""
    from pellucid.cli.output import document, grid, say

    records = catalogue()
    reasons = None if subject is None else _reasons(records, subject, option or [])
    if json:
        document([{**record, **_verdict(record, reasons)} for record in records])
        return
    width = max((len(record["id"]) for record in records), default=0)
    for record in records:
        lines = [
            (record["id"], record["question"]),
            ("", f"Misleads: {record['caveat']}"),
            ("", f"Costs {record['cost']}."),
        ]
        if reasons is not None:
            reason = reasons[record["id"]]
            lines.append(("", f"Applies to {subject}." if reason is None else f"Does not apply: {reason}."))
        say(grid(lines, width), "")
    say(f"{len(records)} methods. Costs are per example: F is a forward pass, B a forward and a backward pass.")
    say("More about one: pellucid show METHOD. What serves a need: pellucid map --need WORDS")


def _reasons(records: Any, subject: str, options: list[str]) -> dict[str, str | None]:
    from pellucid.cli.inputs import subject_named
    from pellucid.guide.map import reasons

    return reasons(records, subject_named(subject, options))


def _verdict(record: Any, reasons: dict[str, str | None] | None) -> dict[str, Any]:
    if reasons is None:
        return {}
    return {"applies": reasons[record["id"]] is None, "reason": reasons[record["id"]]}
