"""``pellucid check``: a model at first sight."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pellucid.cli.inputs import given, subject_named
from pellucid.core.errors import SubjectFailed

if TYPE_CHECKING:
    from pellucid.guide.checking import Check


def check(
    subject: Annotated[str, Parameter(help="a model by name, or hf:…, onnx:…, http://…, module:factory")],
    /,
    *,
    data: Annotated[
        list[str] | None, Parameter(help="try it on this input; repeat it for several", negative=())
    ] = None,
    option: Annotated[list[str] | None, Parameter(help="name=value for loading the model", negative=())] = None,
    json: Annotated[bool, Parameter(help="one JSON document on standard output", negative=())] = False,
) -> int:
    """Load a model, try it, and report; exit code 7 where it cannot be used as it is."""
    from pellucid.cli.output import document
    from pellucid.guide.checking import check as checked

    loaded = subject_named(subject, option or ())
    raws = None if data is None else [entry.raw for entry in given(loaded, data)]
    found = checked(loaded, raws)
    if json:
        document({**dataclasses.asdict(found), "failed": found.failed})
    else:
        _say(found)
    return SubjectFailed.exit_code if found.failed else 0


def _say(found: "Check") -> None:
    from pellucid.cli.output import grid, say, table

    say(grid(_facts(found), 12))
    if found.preparations:
        say("", "Preparation, tried on the samples:", table([_preparation(entry) for entry in found.preparations]))
    if found.task.get("modality") == "image":
        say("", f"Preparation: {found.preparation_judged}.")
    if found.shown:
        changed = sum(shown.whole != shown.cropped for shown in found.shown)
        rows = [
            {
                "sample": shown.name,
                "whole picture": f"{shown.whole} {shown.whole_probability:.0%}",
                "cropped (crop=true)": f"{shown.cropped} {shown.cropped_probability:.0%}",
            }
            for shown in found.shown
        ]
        say("", f"Whole or cropped, the prediction changes for {changed} of {len(found.shown)}:", table(rows))
    say("", "Problems:" if found.problems else "No problem was found.")
    say(grid([(problem.severity, problem.text) for problem in found.problems], 14))


def _facts(found: "Check") -> list[tuple[str, str]]:
    task = found.task
    labels = f"{len(found.labels)}: {'; '.join(map(_written, found.labels[:3]))}{' …' if len(found.labels) > 3 else ''}"
    facts = [
        ("name", found.name),
        ("kind", found.kind),
        ("task", ", ".join(f"{name} {_written(value)}" for name, value in task.items() if value not in (None, {}, ()))),
        ("labels", labels if found.labels else "none"),
        ("offers", ", ".join(found.offers)),
        ("structure", ", ".join(found.structure) or "nothing known"),
        ("inputs", ", ".join(f"{name} {_shape(shape)}" for name, shape in found.inputs.items()) or "unknown"),
        ("outputs", "unknown" if found.outputs is None else _shape(found.outputs)),
        ("runs on", f"{found.device}, {found.dtype}"),
        ("fingerprint", found.fingerprint),
    ]
    if found.parameters is not None:
        layers = "" if found.layers is None else f" in {found.layers} layers that can be asked"
        facts.insert(2, ("size", f"{found.parameters:,} parameters{layers}"))
    if found.speed is not None:
        backward = "" if found.speed.backward is None else f", B {found.speed.backward:.3g} ms"
        facts.append(
            ("speed", f"F {found.speed.forward:.3g} ms{backward} per example, in batches of {found.speed.batch}")
        )
    return facts


def _preparation(entry: Any) -> dict[str, Any]:
    return {
        "preparation": entry.name,
        "divergence": entry.divergence,
        "confidence": entry.confidence,
        "entropy": entry.entropy,
        "right classes": None if entry.known is None else entry.known,
    }


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "one number"


def _written(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_written, value[:4]))}{', …' if len(value) > 4 else ''})"
    if isinstance(value, str):
        return value if value.strip() and value.isprintable() else repr(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
