"""Counterfactuals as they are read: sentences and tables for rows, before, after and difference for pictures, and cells."""

from html import escape
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pellucid.core.result import page, plot
from pellucid.render.colours import OKABE_ITO, signed
from pellucid.render.fragments import STYLE, background, caveat_of, heading_of
from pellucid.render.heatmap import data_uri, jpeg, png
from pellucid.results.counterfactual import Counterfactuals, RegionSwaps
from pellucid.tasks.pictures import open_picture

_SIDE, _GAP, _TEXT = 224, 10, 22
_LINE, _WIDTH = 26, 720
_FRAME = OKABE_ITO[5]


@plot.register
def _(result: Counterfactuals, example: int = 0, number: int = 0, distractor: Any = None) -> Image.Image:
    """Before, after and difference of a picture; the framed cells of a swap, beside those of ``distractor`` if it is given;
    else the changed values as lines."""
    if result.swaps is not None:
        return _row(_swap_tiles(result, result.swaps, example, distractor), result.sentence(example))
    if _is_picture(result):
        return _row(_tiles(result, example, number), result.sentence(example, number))
    return _lines(result, example, number)


@page.register
def _(result: Counterfactuals) -> str:
    cards = "".join(_card(result, example) for example in range(len(result)))
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}</h2>{cards}{_facts(result)}"
        f"{caveat_of(result)}</div>"
    )


def pixels(result: Counterfactuals, points: Tensor) -> np.ndarray:
    """One point ``[channels, height, width]`` as sRGB bytes ``[height, width, 3]``."""
    own = result.own(points).double().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    return np.repeat(own, 3, 2) if own.shape[2] == 1 else own


def difference(result: Counterfactuals, example: int, number: int) -> np.ndarray:
    """How much lighter (red) or darker (blue) each pixel is, the largest change having full colour: sRGB bytes."""
    base = result.inputs[example] if result.absent is None else result.absent[example]
    moved = (result.own(result.points[example, number]) - result.own(base)).double().mean(0).numpy()
    return signed(moved / max(float(np.abs(moved).max()), 1e-30))


def _is_picture(result: Counterfactuals) -> bool:
    return result.factor is not None and result.inputs.ndim == 4 and result.inputs.shape[1] in (1, 3)


def _tiles(result: Counterfactuals, example: int, number: int) -> list[tuple[Image.Image, str]]:
    suffices = result.kind == "pertinent-positive"
    middle = "suffices" if suffices else "instead" if bool(result.found[example, number]) else "closest attempt"
    return [
        (_enlarged(pixels(result, result.inputs[example])), result.answered(example)),
        (_enlarged(pixels(result, result.points[example, number])), f"{middle}: {result.answered(example, number)}"),
        (_enlarged(difference(result, example, number)), "what is there" if suffices else "lighter red, darker blue"),
    ]


def _swap_tiles(
    result: Counterfactuals, swaps: RegionSwaps, example: int, distractor: Any = None
) -> list[tuple[Image.Image, str]]:
    """The example and the other pictures with the cells that were swapped, numbered in their order."""
    cells = swaps.cells[example].tolist()
    tiles = [
        (_framed(background(result, example), swaps.grid, [cell for cell, _, _ in cells]), result.answered(example)),
    ]
    given = distractor if isinstance(distractor, list | tuple) else [distractor]
    for picture in range(max([len(given) - 1, *(picture for _, picture, _ in cells)]) + 1):
        source = given[picture] if picture < len(given) else None
        shown = None if source is None or isinstance(source, Tensor) else open_picture(source)[0]
        taken = [(order, other) for order, (_, number, other) in enumerate(cells) if number == picture]
        orders, others = [order for order, _ in taken], [other for _, other in taken]
        tiles.append((_framed(shown, swaps.grid, others, orders), f"instead: {result.answered(example, 0)}"))
    return tiles


def _framed(
    picture: Image.Image | None, grid: tuple[int, int], cells: list[int], orders: list[int] | None = None
) -> Image.Image:
    """A picture (grey where it is not known) with its cells outlined and numbered."""
    if picture is None:
        shown = Image.new("RGB", (_SIDE, _SIDE), "#e8e8e8")
    else:
        way = Image.Resampling.NEAREST if max(picture.size) * 3 <= _SIDE else Image.Resampling.LANCZOS
        shown = picture.convert("RGB").resize((_SIDE, _SIDE), way)
    draw, font = ImageDraw.Draw(shown), ImageFont.load_default(13)
    height, width = _SIDE / grid[0], _SIDE / grid[1]
    for place, cell in enumerate(cells):
        row, column = divmod(cell, grid[1])
        box = (column * width, row * height, (column + 1) * width - 1, (row + 1) * height - 1)
        draw.rectangle(box, outline=_FRAME, width=3)
        number = str((orders[place] if orders is not None else place) + 1)
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        draw.text(middle, number, fill="white", anchor="mm", font=font, stroke_width=2, stroke_fill="black")
    return shown


def _enlarged(colours: np.ndarray) -> Image.Image:
    picture = Image.fromarray(colours)
    way = Image.Resampling.NEAREST if max(picture.size) * 3 <= _SIDE else Image.Resampling.LANCZOS
    scale = _SIDE / max(picture.size)
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), way)


def _row(tiles: list[tuple[Image.Image, str]], title: str) -> Image.Image:
    width = len(tiles) * (_SIDE + _GAP) + _GAP
    lines = _wrapped(title, width - 2 * _GAP, ImageFont.load_default(14))
    top = _GAP + 18 * len(lines) + _GAP
    whole = Image.new("RGB", (width, top + _SIDE + _TEXT + _GAP), "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(13)
    for number, line in enumerate(lines):
        draw.text((_GAP, _GAP + 18 * number), line, fill="black", font=ImageFont.load_default(14))
    for number, (tile, text) in enumerate(tiles):
        x = _GAP + number * (_SIDE + _GAP)
        whole.paste(tile, (x, top))
        draw.rectangle((x - 1, top - 1, x + tile.width, top + tile.height), outline="#bbbbbb")
        draw.text((x, top + _SIDE + 4), _cut(text, _SIDE, font), fill="black", font=font)
    return whole


def _lines(result: Counterfactuals, example: int, number: int) -> Image.Image:
    """The changed values of a row, one line each."""
    rows = [row for row in result.table() if (row["example"], row["number"]) == (example, number)]
    font, title = ImageFont.load_default(15), ImageFont.load_default(16)
    heading = _wrapped(result.sentence(example, number), _WIDTH - 2 * _GAP, title)
    shown = [row for row in rows if row["feature"]][:12]
    height = 2 * _GAP + 21 * len(heading) + _LINE * (len(shown) + 1) + _GAP
    whole = Image.new("RGB", (_WIDTH, height), "white")
    draw = ImageDraw.Draw(whole)
    for place, line in enumerate(heading):
        draw.text((_GAP, _GAP + 21 * place), line, fill="black", font=title)
    y = 2 * _GAP + 21 * len(heading)
    for x, text in ((_GAP, result.features.kind), (300, "is"), (480, "instead")):
        draw.text((x, y), text, fill="#666666", font=font)
    for row in shown:
        y += _LINE
        draw.line((_GAP, y - 4, _WIDTH - _GAP, y - 4), fill="#dddddd")
        for x, key, room in ((_GAP, "feature", 280), (300, "is", 170), (480, "instead", 220)):
            colour = OKABE_ITO[0] if key == "instead" else "black"
            draw.text((x, y), _cut(str(row[key]), room, font), fill=colour, font=font)
    return whole


def _card(result: Counterfactuals, example: int) -> str:
    parts = [
        f"<section class='card'><h3>{escape(result.question(example)[:1].upper() + result.question(example)[1:])}?</h3>"
    ]
    parts.append(f"<p>The answer is {escape(result.answered(example))}.</p>")
    shown = range(result.number) if bool(result.found[example].any()) else (0,)
    for number in shown:
        if bool(result.found[example].any()) and not bool(result.found[example, number]):
            continue
        parts.append(
            f"<p class='brief'>{escape(result.sentence(example, number))}</p>{_shown(result, example, number)}"
        )
    if result.reason[example]:
        parts.append(f"<p class='small'>{escape(result.reason[example][:1].upper() + result.reason[example][1:])}.</p>")
    return "".join([*parts, "</section>"])


def _shown(result: Counterfactuals, example: int, number: int) -> str:
    if result.swaps is not None:
        tiles = _swap_tiles(result, result.swaps, example)[:1]
        return _figures(tiles, "The regions that are replaced, numbered in their order") + _table(
            result, example, number
        )
    if _is_picture(result):
        return _figures(_tiles(result, example, number), result.sentence(example, number))
    return _table(result, example, number)


def _figures(tiles: list[tuple[Image.Image, str]], alternative: str) -> str:
    cells = "".join(
        f"<figure><img alt='{escape(f'{alternative}: {text}', quote=True)}' src='{data_uri(_encoded(tile))}'>"
        f"<figcaption>{escape(text)}</figcaption></figure>"
        for tile, text in tiles
    )
    return f"<div class='row'>{cells}</div>"


def _encoded(tile: Image.Image) -> bytes:
    return png(tile) if len(tile.getcolors(256) or ()) else jpeg(tile)


def _table(result: Counterfactuals, example: int, number: int) -> str:
    rows = [row for row in result.table() if (row["example"], row["number"]) == (example, number)]
    lines = "".join(
        f"<tr><th scope='row'>{escape(str(row['feature']))}</th><td class='n'>{escape(str(row['is']))}</td>"
        f"<td class='n'><b>{escape(str(row['instead']))}</b></td></tr>"
        for row in rows[:20]
        if row["feature"]
    )
    more = f"<p class='small'>and {len(rows) - 20} more</p>" if len(rows) > 20 else ""
    head = f"<tr><th>{escape(result.features.kind)}</th><th class='n'>is</th><th class='n'>instead</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{lines}</tbody></table>{more}" if lines else ""


def _facts(result: Counterfactuals) -> str:
    said = [f"Distance: {result.measure}.", "Everything that is shown as found was asked of the model again."]
    if result.constraints:
        said.append(f"Constraints that are kept: {'; '.join(result.constraints)}.")
    cost = " and ".join(f"{number} {unit}" for unit, number in result.evaluations.items() if number)
    said += [f"Cost: {cost} (F: forward pass, B: forward and backward pass)."] if cost else []
    return "<ul class='facts'>" + "".join(f"<li>{escape(fact)}</li>" for fact in [*said, *result.notes]) + "</ul>"


def _wrapped(text: str, width: int, font: Any) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _cut(text: str, width: int, font: Any) -> str:
    if font.getlength(text) <= width:
        return text
    fitting = next((cut for cut in range(len(text), 0, -1) if font.getlength(text[:cut] + "…") <= width), 1)
    return text[:fitting] + "…"
