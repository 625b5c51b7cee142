"""A unit by the examples it is strongest on: a sheet of pictures with what speaks through it, and the other order beside."""

from html import escape

import numpy as np
from PIL import Image, ImageDraw

from pellucid.core.result import page, plot
from pellucid.core.subject import Origin
from pellucid.render.charts import bars_picture
from pellucid.render.fragments import (
    STYLE,
    background,
    caveat_of,
    figure,
    heading_of,
    raw_of,
    shown_input,
    table_beside,
)
from pellucid.render.heatmap import data_uri, is_picture, jpeg, overlay, plane, smoothed
from pellucid.render.patches import beside, framed, patch, projection
from pellucid.render.sheet import sheet
from pellucid.results.attribution import Attribution
from pellucid.results.unit_report import UnitReport

_TILE, _LARGE, _COLUMNS = 200, 336, 4
_FRAME = "#1a1a1a"


@plot.register
def _(result: UnitReport) -> Image.Image:
    """A sheet of the examples with their maps and regions, or cut to these; bars where they are no pictures."""
    if _has_patches(result):
        patches = [beside(*_patches(result, rank), side=_TILE) for rank in range(len(result.examples))]
        return sheet([(tile, caption(result, rank)) for rank, tile in enumerate(patches)], result.unit, 3)
    if result.maps is not None and is_picture(result.maps):
        tiles = [(_tile(result, rank), caption(result, rank)) for rank in range(len(result.examples))]
        return sheet(tiles, result.unit, _COLUMNS, _TILE)
    first = next(iter(result.measures))
    rows = [(f"example {row['example']}", row[first]) for row in result.table()]
    return bars_picture(rows, f"{first}: {result.unit}")


@page.register
def _(result: UnitReport) -> str:
    cards = "".join(_card(result, rank) for rank in range(len(result.examples)))
    said = "".join(f"<li>{escape(line)}</li>" for line in result.summary().split("\n"))
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}: {escape(result.unit)}</h2>"
        f"<ul class='facts'>{said}</ul><div class='cards'>{cards}</div>{_others(result)}{caveat_of(result)}</div>"
    )


def caption(result: UnitReport, rank: int) -> str:
    """Rank, first measure and class of one example."""
    row = result.table()[rank]
    first = next(iter(result.measures))
    asked = f", {row['explains']}" if "explains" in row else f", {row['name']}" if "name" in row else ""
    return f"{rank + 1}: {first} {row[first]:.3g}{asked}"


def _card(result: UnitReport, rank: int) -> str:
    row, maps = result.table()[rank], result.maps
    told = "".join(f"<li>{escape(name)} {row[name]:.4g}</li>" for name in result.measures)
    told += "".join(f"<li>{row[name]:.0%} {escape(name.replace('_', ' '))}</li>" for name in result.shares)
    name = f", {escape(row['name'])}" if "name" in row else ""
    shown = ""
    if _has_patches(result):
        alternative = f"{row['name']}: the region that {result.unit} sees, framed and cut out."
        tiles = beside(*_patches(result, rank, whole=True), side=_TILE)
        shown = f"<img alt='{escape(alternative, quote=True)}' src='{data_uri(jpeg(tiles, tiles.width))}'>"
    elif maps is not None and is_picture(maps):
        alternative = f"Example {row['example']}: what of it speaks through {result.unit}, its region framed."
        shown = f"<img alt='{escape(alternative, quote=True)}' src='{data_uri(jpeg(_tile(result, rank, _LARGE)))}'>"
    elif maps is not None:
        origin = _origin(result, rank)
        shown = figure(maps, rank, origin) + table_beside(maps, rank, origin)
    elif result.shown is not None:
        shown = shown_input(_origin(result, rank))
    return (
        f"<section class='card'><h3>{escape(caption(result, rank))}</h3>{shown}<ul class='facts'>"
        f"<li>example {row['example']} of the data{name}</li>{told}</ul></section>"
    )


def _origin(result: UnitReport, rank: int) -> Origin:
    if result.shown is not None and result.shown.origins:
        return result.shown.origins[rank]
    return Origin(raw_of(result, int(result.examples[rank])))


def _has_patches(result: UnitReport) -> bool:
    return result.shown is not None and result.shown.value.ndim == 4


def _patches(result: UnitReport, rank: int, whole: bool = False) -> list[Image.Image]:
    """What the unit sees of an example; before it what excites it there, where that was projected back, and the ``whole``."""
    assert result.shown is not None
    region = None if result.regions is None else result.regions[rank]
    seen = patch(result.shown, rank, region, _TILE)
    pictures = [framed(result.shown, rank, region, _TILE)] if whole else []
    projected = [] if result.maps is None else [projection(result.maps.scores[rank], region).resize(seen.size)]
    return [*pictures, *projected, seen]


def _others(result: UnitReport) -> str:
    """The examples in the orders of the other measures, as they were given."""
    parts = []
    for name in list(result.measures)[1:]:
        numbers = result.strongest(name).tolist()
        cells = "".join(
            f"<figure>{_thumbnail(result, number)}<figcaption>{number}: {float(result.measures[name][number]):.3g}"
            "</figcaption></figure>"
            for number in numbers
        )
        parts.append(f"<h3>Beside it: the examples of largest {escape(name)}</h3><div class='row'>{cells}</div>")
    return "".join(parts)


def _thumbnail(result: UnitReport, number: int) -> str:
    picture = background(result, number)
    if picture is None:
        return f"example {number}"
    return f"<img alt='Example {number}' src='{data_uri(jpeg(picture, _TILE // 2))}'>"


def _tile(result: UnitReport, rank: int, side: int = _TILE) -> Image.Image:
    """One example with its map and the frame of its region, no side longer than ``side``."""
    maps = result.maps
    assert maps is not None
    drawn, _ = smoothed(maps, plane(maps, rank))
    box = _box(maps, rank)
    tile = overlay(drawn, background(maps, rank), box)
    left, top, right, bottom = box or (0, 0, *tile.size)
    whole, scale = tile.size, min(1.0, side / max(tile.size))
    tile = tile.resize((max(1, round(whole[0] * scale)), max(1, round(whole[1] * scale))), Image.Resampling.LANCZOS)
    if result.regions is not None:
        rows, columns = maps.scores.shape[2:]
        frame = result.regions[rank].double().numpy() / np.array([rows, columns, rows, columns])
        y0, x0, y1, x1 = frame
        spot = [left + x0 * (right - left), top + y0 * (bottom - top)]
        spot += [left + x1 * (right - left) - 1, top + y1 * (bottom - top) - 1]
        ImageDraw.Draw(tile).rectangle([place * scale for place in spot], outline=_FRAME, width=2)
    return tile


def _box(maps: Attribution, rank: int) -> tuple[int, int, int, int] | None:
    """The part of the example's picture that the network saw."""
    origins = getattr(getattr(maps.query, "inputs", None), "origins", ())
    return origins[rank].box if origins else None
