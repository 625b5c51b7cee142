"""Weights as pictures: filters in the colours they read, slices of filters, weight maps, and rows of a table as points."""

from html import escape
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pellucid.core.result import page, plot
from pellucid.render.charts import bars_picture
from pellucid.render.colours import OKABE_ITO, signed
from pellucid.render.fragments import STYLE, caveat_of, heading_of, items
from pellucid.render.heatmap import data_uri, limit, png
from pellucid.results.weight_maps import WeightMaps

_TILE, _GAP, _TEXT, _WIDE = 72, 8, 18, 960
_FILTERS, _BARS, _ROWS = 64, 24, 60
_DOT, _MARK, _GREY = "#9aa5ad", OKABE_ITO[0], 127.5


@plot.register
def _(result: WeightMaps) -> Image.Image:
    """Tiles of filters, a map of weights, the strongest weights of one unit, or points in a plane."""
    match result.form:
        case "matrix":
            return _map(result) if len(result.maps) > 1 else _strongest(result)
        case "points":
            return _points(result)
    return _filters(result)


@page.register
def _(result: WeightMaps) -> str:
    picture = data_uri(png(result.plot(), 1400))
    alternative = f"{_title(result)}: {result.summary().splitlines()[0]}"
    heads = "".join(f"<th class='n'>{escape(name)}</th>" for name in result.measures)
    rows = "".join(
        f"<tr><th scope='row'>{escape(str(row['name']))}</th>"
        + "".join(f"<td class='n'>{row[name]:.4g}</td>" for name in result.measures)
        + f"<td>{_remark(row)}</td></tr>"
        for row in result.table()[:_ROWS]
    )
    more = f"<p class='small'>{_ROWS} of {len(result.shown)} units</p>" if len(result.shown) > _ROWS else ""
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}: {escape(result.layer)}</h2>"
        f"{items(result.summary().splitlines())}<figure><img alt='{escape(alternative, quote=True)}' src='{picture}'>"
        f"<figcaption>{escape(_key(result))}</figcaption></figure><table><thead><tr><th>unit</th>{heads}<th></th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{more}{caveat_of(result)}</div>"
    )


def _remark(row: dict[str, Any]) -> str:
    return "dead" if row["dead"] else "" if row["like"] is None else f"like {row['like']}"


def _title(result: WeightMaps) -> str:
    if result.near is not None or len(result.shown) == 1:
        around = "" if result.near is None else f" and the {len(result.near)} rows nearest to it"
        return f"{result.layer}: {result.name(int(result.shown[0]))}{around}"
    return f"{result.layer}: all {result.units} {'rows' if result.form == 'points' else 'units'}"


def _key(result: WeightMaps) -> str:
    """How the picture is to be read."""
    match result.form:
        case "colour":
            return "Grey is 0; each filter has its own scale, its norm stands below. Dead filters are on the largest scale."
        case "slices":
            read = " Of each, its inputs, strongest first." if result.maps.shape[1] > 1 else ""
            return f"Red is positive, blue negative; each unit has its own scale, its norm stands below.{read}"
        case "matrix":
            return "Red is positive, blue negative. Rows are units, columns their inputs, each ordered by likeness."
    return "Rows of the table on their two principal axes."


def _filters(result: WeightMaps) -> Image.Image:
    dead, norms = set(result.dead.tolist()), result.measures["norm"]
    chosen = range(min(len(result.shown), _FILTERS if len(result.shown) > 1 else 1))
    largest = float(result.maps.abs().max()) or 1.0
    tiles = []
    for place in chosen:
        unit = int(result.shown[place])
        scale = largest if unit in dead else float(result.maps[place].abs().max()) or 1.0
        told = f"{result.name(unit)}: {'dead' if unit in dead else f'{float(norms[unit]):.3g}'}"
        tiles.append((_tile(result, place, scale), told))
    title = _title(result) + (f", of which the first {_FILTERS}" if len(result.shown) > _FILTERS else "")
    return _sheet(tiles, title, _key(result))


def _tile(result: WeightMaps, place: int, scale: float) -> Image.Image:
    """One filter: in colour, or its slices side by side."""
    filters = result.maps[place] / scale
    if result.form == "colour":
        return _grown((filters.permute(1, 2, 0).numpy() + 1) * _GREY)
    parts = [_grown(signed(part.numpy()).astype(float)) for part in filters]
    columns = min(len(parts), 4 if len(result.shown) > 1 else 8)
    rows, (width, height) = -(-len(parts) // columns), parts[0].size
    whole = Image.new("RGB", (columns * (width + 2) - 2, rows * (height + 2) - 2), "#333333")
    for number, part in enumerate(parts):
        whole.paste(part, (number % columns * (width + 2), number // columns * (height + 2)))
    return whole


def _grown(pixels: np.ndarray) -> Image.Image:
    factor = max(1, _TILE // max(pixels.shape[:2]))
    picture = Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _sheet(tiles: list[tuple[Image.Image, str]], title: str, key: str) -> Image.Image:
    font, strong = ImageFont.load_default(12), ImageFont.load_default(16)
    width = max(max(tile.width for tile, _ in tiles), max(int(font.getlength(text)) + 1 for _, text in tiles)) + _GAP
    height = max(tile.height for tile, _ in tiles) + _TEXT + _GAP
    columns = max(1, min(len(tiles), _WIDE // width))
    top = 58
    size = (max(columns * width, int(strong.getlength(title)), int(font.getlength(key))) + 2 * _GAP, 0)
    whole = Image.new("RGB", (size[0], top + -(-len(tiles) // columns) * height + _GAP), "white")
    draw = ImageDraw.Draw(whole)
    draw.text((_GAP, 8), title, fill="black", font=strong)
    draw.text((_GAP, 32), key, fill="#444444", font=font)
    for number, (tile, text) in enumerate(tiles):
        x, y = _GAP + number % columns * width, top + number // columns * height
        whole.paste(tile, (x, y))
        draw.text((x, y + tile.height + 2), text, fill="black", font=font)
    return whole


def _map(result: WeightMaps) -> Image.Image:
    values = result.maps.numpy()
    full = limit(values)
    picture = Image.fromarray(signed(values / full))
    named = len(result.shown) <= 40
    rows = max(1, 560 // len(values)) if not named else max(14, min(40, 560 // len(values)))
    columns = max(1, 900 // values.shape[1])
    body = picture.resize(
        (min(columns * values.shape[1], 1100), min(rows * len(values), 900)), _resampling(columns, rows)
    )
    font, strong = ImageFont.load_default(12), ImageFont.load_default(16)
    left = 12 + (int(max(font.getlength(result.name(unit)[:24]) for unit in result.shown.tolist())) + 6 if named else 0)
    title, key = _title(result), f"{_key(result)} Full colour: {full:.3g}."
    wide = max(left + body.width, int(strong.getlength(title)), int(font.getlength(key))) + 24
    whole = Image.new("RGB", (wide, body.height + 74), "white")
    draw = ImageDraw.Draw(whole)
    draw.text((_GAP, 8), title, fill="black", font=strong)
    draw.text((_GAP, 32), key, fill="#444444", font=font)
    whole.paste(body, (left, 58))
    for place, unit in enumerate(result.shown.tolist() if named else []):
        y = 58 + (place + 0.5) * body.height / len(values)
        draw.text((left - 6, y), result.name(unit)[:24], fill="black", anchor="rm", font=font)
    return whole


def _resampling(columns: int, rows: int) -> Image.Resampling:
    return Image.Resampling.NEAREST if min(columns, rows) > 1 else Image.Resampling.BOX


def _strongest(result: WeightMaps) -> Image.Image:
    assert result.inputs is not None
    pairs = zip(result.inputs.tolist(), result.maps[0].tolist(), strict=True)
    rows = [(f"input {column}", value) for column, value in pairs][:_BARS]
    return bars_picture(rows, f"{_title(result)}, strongest of {len(result.inputs)} weights")


def _points(result: WeightMaps) -> Image.Image:
    places = result.maps.numpy()
    low, high = places.min(0), places.max(0)
    side, edge = 640, 70
    spots = edge + (places - low) / np.where(high > low, high - low, 1) * side
    spots[:, 1] = side + 2 * edge - spots[:, 1]
    whole = Image.new("RGB", (side + 3 * edge, side + 2 * edge), "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(13)
    draw.text((_GAP, 8), _title(result), fill="black", font=ImageFont.load_default(16))
    assert result.axes is not None
    shares = [f"{float(share):.0%}" for share in result.axes]
    draw.text(
        (_GAP, 32), f"{_key(result)} They show {' and '.join(shares)} of the variance.", fill="#444444", font=font
    )
    for x, y in spots:
        draw.ellipse((x - 1, y - 1, x + 1, y + 1), fill=_DOT)
    if not result.names and result.near is None:
        return whole
    for place in reversed(range(len(spots))) if result.near is not None else _spread(result, spots):
        x, y = spots[place]
        own = result.near is not None and place == 0
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=OKABE_ITO[5] if own else _MARK)
        draw.text((x + 6, y), result.name(int(result.shown[place])), fill="black", anchor="lm", font=font)
    return whole


def _spread(result: WeightMaps, spots: np.ndarray) -> list[int]:
    """Rows with readable names, one in each of the cells of a grid that hold any: the one nearest to its middle."""
    readable = [
        place
        for place, unit in enumerate(result.shown.tolist())
        if result.name(unit).isalpha() and result.name(unit).isascii()
    ]
    cells: dict[tuple[int, int], tuple[float, int]] = {}
    for place in readable:
        cell = tuple(int(value) for value in spots[place] // [100, 40])
        apart = float(np.abs(spots[place] - (np.array(cell) + 0.5) * [100, 40]).sum())
        if cell not in cells or apart < cells[cell][0]:  # type: ignore[index]
            cells[cell] = (apart, place)  # type: ignore[index]
    return sorted(place for _, place in cells.values())
