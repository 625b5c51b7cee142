"""``pellucid explain``: one input, or many, in; a readable report out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pellucid.cli.inputs import DEFAULT_SUBJECT, Given, given, method_described, subject_named, target_named
from pellucid.core.errors import BadInput, UsageError
from pellucid.core.spec import Modality

if TYPE_CHECKING:
    from pellucid.core.subject import Subject

OUT = Path("pellucid-report")


def explain(
    *inputs: Annotated[
        str, Parameter(help="a picture, a folder, a text, a row or .csv file, an .npy array; - is standard input")
    ],
    subject: Annotated[
        str, Parameter(help="a model by name, or hf:…, onnx:…, http://…, module:factory")
    ] = DEFAULT_SUBJECT,
    option: Annotated[
        list[str] | None, Parameter(help="name=value for loading the model: crop=true", negative=())
    ] = None,
    target: Annotated[str | None, Parameter(help="the class to explain; without it the predicted one")] = None,
    foil: Annotated[str | None, Parameter(help="the class to contrast it with; without it the runner-up")] = None,
    method: Annotated[
        list[str] | None,
        Parameter(help="a method by id or as JSON; repeat it for a panel of your own", negative=()),
    ] = None,
    out: Annotated[Path, Parameter(help="the folder for the report")] = OUT,
    budget: Annotated[int | None, Parameter(help="forward passes for scoring the maps")] = None,
    seed: Annotated[int, Parameter(help="for methods that draw at random")] = 0,
    keep_inputs: Annotated[bool, Parameter(help="store the inputs in the result files", negative=())] = False,
    row: Annotated[int | None, Parameter(help="of a table, this row only, counted from 0")] = None,
    limit: Annotated[int | None, Parameter(help="of a folder, this many pictures, evenly spaced")] = None,
    json: Annotated[bool, Parameter(help="one JSON document on standard output", negative=())] = False,
) -> int:
    """Explain what a model answers, and write the report."""
    from pellucid.cli import progress
    from pellucid.cli.output import check_file_writable, document, say
    from pellucid.reports.writing import PAGE

    if budget is not None and budget < 1:
        raise UsageError(f"--budget {budget}: at least one forward pass")
    check_file_writable(out / PAGE)
    loaded = subject_named(subject, option or ())
    asked = {
        "methods": None if method is None else [method_described(word) for word in method],
        "target": target_named(target),
        "foil": target_named(foil),
        "budget": budget,
        "seed": seed,
    }
    pictures = loaded.task.modality is Modality.IMAGE
    with progress.shown():
        if pictures and (len(inputs) > 1 or any(Path(word).is_dir() for word in inputs)):
            found = _many_pictures(loaded, inputs, out, limit, keep_inputs, asked)
            said = _about_many(found, out)
        else:
            found, said = _each(loaded, given(loaded, inputs, row), out, keep_inputs, asked)
    if json:
        document(found)
    else:
        say(*said)
    return 0


def _each(
    subject: "Subject", inputs: Sequence[Given], out: Path, keep_inputs: bool, asked: dict[str, Any]
) -> tuple[Any, list[str]]:
    """A report each: in the folder itself for one input, in a folder of its own inside it for each of several."""
    from pellucid.reports.explaining import explain as explained
    from pellucid.reports.writing import write

    documents, said = [], []
    for entry in inputs:
        report = explained(subject, entry.raw, **asked)
        page = write(report, out if len(inputs) == 1 else out / entry.name, keep_inputs)
        documents.append({**report.as_json(), "input": entry.name, "report": str(page)})
        said += [report.summary(), "", f"The report: {page}", ""]
    return documents[0] if len(documents) == 1 else documents, said[:-1]


def _many_pictures(
    subject: "Subject", words: Sequence[str], out: Path, limit: int | None, keep_inputs: bool, asked: dict[str, Any]
) -> dict[str, Any]:
    from pellucid.reports.folder import explain_folder, pictures_in, truths_of

    paths: list[Path] = []
    truths: dict[str, int] = {}
    for word in words:
        if Path(word).is_dir():
            paths += pictures_in(Path(word), limit)
            truths |= truths_of(Path(word))
        else:
            paths.append(Path(word))
    found = explain_folder(subject, paths, out, keep_inputs=keep_inputs, truths=truths, **asked)
    if not found["explained"]:
        name, reason = next(iter(found["failed"].items()))
        raise BadInput(f"none of {len(paths)} pictures could be explained; {name}: {reason}")
    return found


def _about_many(found: dict[str, Any], out: Path) -> list[str]:
    explained, failed, again = found["explained"], found["failed"], found["reused"]
    kept = f", {again} of them in an earlier run" if again else ""
    said = [f"{len(explained)} pictures explained{kept}; {len(failed)} could not be."]
    said += [f"  {name}: {reason}" for name, reason in failed.items()]
    agreement = found.get("agreement")
    if agreement:
        said.append(
            f"The prediction is the known class for {agreement['right']} of {agreement['of']}: "
            f"{agreement['share']:.1%} (95 % interval {agreement['low']:.1%} to {agreement['high']:.1%})."
        )
    return [*said, "", f"The index: {out / 'index.html'}"]
