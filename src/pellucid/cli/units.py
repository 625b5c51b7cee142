"""``pellucid units``: an atlas, a page for each of many units of a network."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from pellucid.cli.inputs import distinct, given, spaced, subject_named
from pellucid.core.errors import UsageError

if TYPE_CHECKING:
    from pellucid.core.subject import Subject

OUT = Path("pellucid-units")

Data = Annotated[
    list[str] | None,
    Parameter(
        help="a folder of pictures, a text file with a text per line, a .csv file, .npy arrays; repeat it for several; "
        "without it samples at hand",
        negative=(),
    ),
]
More = Annotated[str, Parameter(help="more data, as --data takes it")]
Limit = Annotated[int | None, Parameter(help="this many inputs at most, evenly spaced")]
Starts = Annotated[int, Parameter(help="how many pictures are made for each unit, from as many random starts")]
Steps = Annotated[int, Parameter(help="how many steps each picture is improved for")]
Size = Annotated[
    int | None, Parameter(help="the side of the pictures in pixels; by default the network's own, at most 128")
]
Examples = Annotated[int, Parameter(help="how many of the strongest examples are shown")]
Signal = Annotated[
    Literal["deconvnet", "gradient", "guided"],
    Parameter(help="what happens at rectifiers to what is sent back to the examples"),
]
Facets = Annotated[
    bool,
    Parameter(help="tell apart the kinds of examples that excite a unit, with a pass over the data for each unit"),
]
Out = Annotated[Path, Parameter(help="the folder for the pages; what it holds already is kept")]
Option = Annotated[list[str] | None, Parameter(help="name=value for loading the model", negative=())]
Seed = Annotated[int, Parameter(help="where the random starts begin")]
Json = Annotated[bool, Parameter(help="one JSON document on standard output", negative=())]


def units(
    subject: Annotated[str, Parameter(help="a model by name, or hf:…, onnx:…, module:factory")],
    /,
    *inputs: More,
    layers: Annotated[
        list[str],
        Parameter(
            help="a layer by name; * stands for anything between two dots, ** for anything; repeat it for several",
            negative=(),
        ),
    ],
    data: Data = None,
    channels: Annotated[
        str | None, Parameter(help="of each layer these channels, such as 0-7,12; without it all of them")
    ] = None,
    most: Annotated[int | None, Parameter(help="of each layer this many units at most, evenly spaced")] = None,
    limit: Limit = None,
    starts: Starts = 9,
    steps: Steps = 64,
    size: Size = None,
    examples: Examples = 9,
    signal: Signal = "deconvnet",
    facets: Facets = False,
    out: Out = OUT,
    seed: Seed = 0,
    option: Option = None,
    json: Json = False,
) -> int:
    """Make a page for each unit of some layers: pictures made for it, its strongest examples, what it does over the data.

    A run that was stopped goes on where it was; one with further layers or channels adds their pages. The index is
    searched in a browser.
    """
    from pellucid.cli import progress
    from pellucid.cli.output import document, say
    from pellucid.reports.atlas import PAGE
    from pellucid.reports.atlas import units as written

    loaded = subject_named(subject, option or ())
    chosen = None if channels is None else _numbers(channels)
    with progress.shown():
        made = written(
            loaded,
            layers,
            out=out,
            channels=chosen,
            most=most,
            starts=starts,
            steps=steps,
            size=size,
            examples=examples,
            signal=signal,
            facets=facets,
            seed=seed,
            **looked_in(loaded, (*(data or ()), *inputs), limit),
        )
    if json:
        document({**made, "index": str(out / PAGE)})
    else:
        say(*_told(made), "", f"The index: {out / PAGE}")
    return 0


def looked_in(subject: "Subject", words: Sequence[str], limit: int | None) -> dict[str, Any]:
    """The data that words name, and what each is called; nothing where none is named."""
    if not words:
        return {}
    found = spaced(given(subject, words, lines=True), limit)
    return {"data": [entry.raw for entry in found], "names": distinct([entry.name for entry in found])}


def left_out(failed: dict[str, str]) -> list[str]:
    """What could not be read, by name."""
    if not failed:
        return []
    return [f"{len(failed)} of the data could not be read.", *(f"  {name}: {why}" for name, why in failed.items())]


def _numbers(text: str) -> list[int]:
    """``0-7,12`` as numbers."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if match is None:
            raise UsageError(f"--channels {text!r}: write numbers and ranges, such as 0-7,12")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    if not found:
        raise UsageError(f"--channels {text!r}: a range goes from the smaller number to the larger one")
    return found


def _told(made: dict[str, Any]) -> list[str]:
    pages = made["units"]
    silent = [unit["unit"] for unit in pages if unit["constant"]]
    said = [f"{len(pages)} pages of units of {made['subject']}, over {len(made['examples'])} examples."]
    if silent:
        said.append(
            f"{len(silent)} are the same for all of the data: {', '.join(silent[:8])}{', …' if len(silent) > 8 else ''}."
        )
    return said + left_out(made["failed"])
