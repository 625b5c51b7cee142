"""``pellucid evaluate``: which explanation to believe, over many inputs, by many metrics."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pellucid.cli.inputs import (
    DEFAULT_SUBJECT,
    Given,
    distinct,
    given,
    method_described,
    spaced,
    subject_named,
    target_named,
)
from pellucid.cli.run import Quantity
from pellucid.core.errors import BadInput, UsageError, nearest
from pellucid.core.spec import Modality

if TYPE_CHECKING:
    from pellucid.core.subject import Subject
    from pellucid.results.ranking import Ranking

OUT = Path("pellucid-evaluation")


def evaluate(
    *inputs: Annotated[str, Parameter(help="more data, as --data takes it")],
    data: Annotated[
        list[str] | None,
        Parameter(
            help="a folder of pictures, a text file with a text per line, a .csv file, .npy arrays; repeat it for several",
            negative=(),
        ),
    ] = None,
    subject: Annotated[
        str, Parameter(help="a model by name, or hf:…, onnx:…, http://…, module:factory")
    ] = DEFAULT_SUBJECT,
    option: Annotated[list[str] | None, Parameter(help="name=value for loading the model", negative=())] = None,
    method: Annotated[
        list[str] | None, Parameter(help="an explanation's method by id or as JSON; repeat it for several", negative=())
    ] = None,
    metric: Annotated[
        list[str] | None, Parameter(help="a metric by id or as JSON; repeat it for several", negative=())
    ] = None,
    target: Annotated[str | None, Parameter(help="the class to explain; without it each input's predicted one")] = None,
    of: Annotated[Quantity, Parameter(help="what of the target to explain and to judge by")] = "score",
    masks: Annotated[
        Path | None,
        Parameter(
            help="a folder of masks, named as the pictures, for metrics that ask whether relevance lies on an object"
        ),
    ] = None,
    out: Annotated[Path, Parameter(help="the folder for the report, and for what is measured on the way")] = OUT,
    limit: Annotated[int | None, Parameter(help="this many inputs at most, evenly spaced")] = None,
    seed: Annotated[int, Parameter(help="for methods and metrics that draw at random")] = 0,
    json: Annotated[bool, Parameter(help="one JSON document on standard output", negative=())] = False,
) -> int:
    """Explain every input by every method, judge all by every metric beside controls, and rank what can be told apart.

    A run that was stopped goes on where it was; one with further methods or metrics measures only these.
    """
    from pellucid.cli import progress
    from pellucid.cli.output import document, result_document, say
    from pellucid.reports.evaluating import evaluate as evaluated
    from pellucid.reports.writing import check_writable, write_ranking

    check_writable(out)
    loaded = subject_named(subject, option or ())
    found = spaced(given(loaded, (*(data or ()), *inputs), lines=True), limit)
    names = distinct([entry.name for entry in found])
    with progress.shown():
        ranking = evaluated(
            loaded,
            [entry.raw for entry in found],
            None if method is None else [method_described(word) for word in method],
            None if metric is None else [method_described(word) for word in metric],
            target=target_named(target),
            of=of,
            masks=None if masks is None else _masks(loaded, masks, found),
            names=names,
            kept=out / "measured",
            seed=seed,
        )
        page = write_ranking(ranking, out)
    if json:
        document({**result_document(ranking), "report": str(page)})
    else:
        say(*_told(ranking), f"The report: {page}")
    return 0


def _masks(subject: "Subject", folder: Path, found: Sequence[Given]) -> list[Path]:
    if subject.task.modality is not Modality.IMAGE:
        raise UsageError("--masks are pictures of the object; this model reads other inputs: give masks from Python")
    if not folder.is_dir():
        raise BadInput(f"there is no folder {folder} of masks")
    known = {path.stem: path for path in sorted(folder.iterdir()) if path.is_file()}
    for entry in found:
        if entry.name not in known:
            raise BadInput(f"there is no mask for {entry.name} in {folder}; {nearest(entry.name, known)}")
    return [known[entry.name] for entry in found]


def _told(ranking: "Ranking") -> list[str]:
    said = [f"{len(ranking.examples)} inputs, {len(ranking.methods)} methods, {len(ranking.metrics)} metrics.", ""]
    said += ranking.statements()
    said += [
        "",
        *(f"not judged: {name}: {reason}" for name, reason in (*ranking.refused.items(), *ranking.failed.items())),
    ]
    return [*said, ""]
