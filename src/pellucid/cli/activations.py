"""``pellucid activations``: what layers answer to a data set, kept on disk."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from pellucid.cli.inputs import distinct, given, spaced, subject_named
from pellucid.core.errors import UsageError

if TYPE_CHECKING:
    from pellucid.engine.dataset import DataSet
    from pellucid.store.activations import Activations

OUT = Path("pellucid-activations")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def activations(
    subject: Annotated[str, Parameter(help="a model by name, or hf:…, onnx:…, module:factory")],
    /,
    *data: Annotated[
        str,
        Parameter(help="a folder of pictures, a text file with a text per line, a .csv file, .npy arrays"),
    ],
    layers: Annotated[
        list[str],
        Parameter(
            help="a layer by name; * stands for anything between two dots, ** for anything; repeat it for several",
            negative=(),
        ),
    ],
    keep: Annotated[
        Literal["all", "max", "mean", "sample"],
        Parameter(
            help="of a channel with many places: all of them, the strongest with its place, the mean, or a sample"
        ),
    ] = "all",
    sample: Annotated[int, Parameter(help="with --keep sample, so many places of each example")] = 16,
    out: Annotated[Path, Parameter(help="the folder they are kept in")] = OUT,
    budget: Annotated[
        str, Parameter(help="bytes that the folder may take (500MB, 20GB); what was not used for longest makes room")
    ] = "10GB",
    precision: Annotated[Literal["float32", "float16"], Parameter(help="how values are kept")] = "float32",
    limit: Annotated[int | None, Parameter(help="this many inputs at most, evenly spaced")] = None,
    seed: Annotated[int, Parameter(help="for the sample of places")] = 0,
    option: Annotated[list[str] | None, Parameter(help="name=value for loading the model", negative=())] = None,
    json: Annotated[bool, Parameter(help="one JSON document on standard output", negative=())] = False,
) -> int:
    """Run a data set through a model once and keep what layers answer, in memory-mapped files.

    What is kept already is not computed again, a run that was killed goes on, and one with further layers computes only
    these. Files are named by the content of weights, layer, data and preparation.
    """
    from pellucid.cli import progress
    from pellucid.cli.output import document, say, table
    from pellucid.core.meter import metered
    from pellucid.engine.dataset import DataSet
    from pellucid.engine.recording import record
    from pellucid.store.activations import ActivationStore

    store = ActivationStore(out, _bytes(budget))
    loaded = subject_named(subject, option or ())
    found = spaced(given(loaded, data, lines=True), limit)
    with progress.shown():
        examples = DataSet(loaded, [entry.raw for entry in found], distinct([entry.name for entry in found]))
        with metered() as meter:
            kept = record(loaded, examples, layers, store, keep=keep, sample=sample, precision=precision, seed=seed)
    rows = [_row(entry) for entry in kept.values()]
    if json:
        document({**_facts(examples), "subject": loaded.name, "passes": meter.forward, "layers": rows})
    else:
        say(table([{name: row[name] for name in ("layer", "channels", "places", "rows", "size")} for row in rows]))
        say(*_told(examples, meter.forward, out))
    return 0


def _bytes(text: str) -> int:
    """``1500``, ``500MB`` or ``1.5 GB`` as a number."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if found is None:
        raise UsageError(f"--budget {text!r}: write a number of bytes such as 500MB or 20GB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def _row(entry: "Activations") -> dict[str, Any]:
    from pellucid.store.activations import in_bytes

    return {
        "layer": entry.layer,
        "channels": entry.channels,
        "places": " × ".join(map(str, entry.extent)) or "1",
        "rows": len(entry),
        "size": in_bytes(entry.size),
        "bytes": entry.size,
        "folder": str(entry.folder),
    }


def _facts(examples: "DataSet") -> dict[str, Any]:
    return {"examples": examples.names, "failed": examples.failed, "data": examples.digest}


def _told(examples: "DataSet", passes: int, out: Path) -> list[str]:
    number, failed = len(examples), examples.failed
    asked = f"{passes} forward passes" if passes else "no forward pass, because all of it was there"
    return [
        f"{number} example{'' if number == 1 else 's'}, {asked}; {len(failed)} could not be read.",
        *(f"  {name}: {reason}" for name, reason in failed.items()),
        "",
        f"The activations: {out}",
    ]
