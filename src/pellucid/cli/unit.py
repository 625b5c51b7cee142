"""``pellucid unit``: the page of one unit."""

from typing import Annotated

from cyclopts import Parameter

from pellucid.cli.inputs import subject_named, target_named
from pellucid.cli.units import (
    OUT,
    Data,
    Examples,
    Facets,
    Json,
    Limit,
    More,
    Option,
    Out,
    Seed,
    Signal,
    Size,
    Starts,
    Steps,
    left_out,
    looked_in,
)
from pellucid.core.errors import UsageError


def unit(
    subject: Annotated[str, Parameter(help="a model by name, or hf:…, onnx:…, module:factory")],
    name: Annotated[
        str | None, Parameter(help="the unit as layer/channel, such as blocks.3/17; left out with --target")
    ] = None,
    /,
    *inputs: More,
    target: Annotated[str | None, Parameter(help="instead of a unit a class: its unit of the output layer")] = None,
    data: Data = None,
    limit: Limit = None,
    starts: Starts = 9,
    steps: Steps = 64,
    size: Size = None,
    examples: Examples = 9,
    signal: Signal = "deconvnet",
    facets: Facets = True,
    out: Out = OUT,
    seed: Seed = 0,
    option: Option = None,
    json: Json = False,
) -> int:
    """Make the page of one unit: pictures made for it, its strongest examples, what it does over the data.

    Its folder is an atlas of which more pages can be made later, by this verb or by units.
    """
    from pellucid.cli import progress
    from pellucid.cli.output import document, result_document, say
    from pellucid.reports.atlas import class_unit, units
    from pellucid.results.unit_page import UnitPage

    if (name is None) == (target is None):
        raise UsageError("name a unit, such as blocks.3/17, or a class with --target")
    loaded = subject_named(subject, option or ())
    looked = looked_in(loaded, (*(data or ()), *inputs), limit)
    with progress.shown():
        named = class_unit(loaded, looked.get("data"), target_named(target)) if name is None else name
        layer, channel = _split(named)
        made = units(
            loaded,
            [layer],
            out=out,
            channels=[channel],
            starts=starts,
            steps=steps,
            size=size,
            examples=examples,
            signal=signal,
            facets=facets,
            seed=seed,
            **looked,
        )
    found = next(entry for entry in made["units"] if (entry["layer"], entry["channel"]) == (layer, channel))
    path = out / found["page"]
    result = UnitPage.load(path.with_suffix(".pellucid"))
    if json:
        document({**result_document(result), "failed": made["failed"], "page": str(path)})
    else:
        say(result.summary(), *left_out(made["failed"]), "", f"The page: {path}")
    return 0


def _split(name: str) -> tuple[str, int]:
    layer, slash, channel = name.rpartition("/")
    if not slash or not channel.isdecimal():
        raise UsageError(
            f"{name!r} is no unit; name a layer and a channel of it, such as {channel if not slash else layer}/17"
        )
    return layer, int(channel)
