"""Several classes in one map: hue says which class a place speaks for most, intensity how strongly."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pellucid.core.catalogue import entry
from pellucid.core.result import page, plot
from pellucid.core.subject import Origin
from pellucid.render.charts import bar
from pellucid.render.colours import distinct, mixed
from pellucid.render.fragments import STYLE, background, caveat_of, figure, heading_of, raw_of, table_beside
from pellucid.render.heatmap import data_uri, is_picture, jpeg, limit, on_picture, plane, smoothed
from pellucid.results.class_response import ClassResponse

_BARS = 15


@plot.register
def _(result: ClassResponse, example: int = 0, picture: Any = None) -> Image.Image:
    """The map over ``picture`` (by default the one that was asked about) or bars of the strongest features, with a legend
    of the classes."""
    if is_picture(result.of_class(0)):
        drawn = class_map(result, example, background(result, example, picture))
    else:
        drawn = _bars(result, example)
    return _above_legend(drawn, _legend(result, example))


@page.register
def _(result: ClassResponse) -> str:
    parts = [_card(result, example) for example in range(len(result))]
    return f"<div class='pellucid'><style>{STYLE}</style>{''.join(parts)}{caveat_of(result)}</div>"


def class_map(
    result: ClassResponse,
    example: int,
    picture: Image.Image | None,
    box: tuple[int, int, int, int] | None = None,
    largest: float | None = None,
) -> Image.Image:
    """Dominant class as hue and dominant response as intensity, over a pale grey picture; white where nothing speaks for
    any of the classes. What is drawn is smoothed like a heat map, class by class; ``largest`` is what has full colour."""
    drawn = planes(result, example)
    strength = np.clip(drawn.max(0), 0, None)
    colours = distinct(len(drawn))[drawn.argmax(0)]
    return on_picture(mixed(colours, strength / (limit(strength) if largest is None else largest)), picture, box)


def planes(result: ClassResponse, example: int) -> np.ndarray:
    """The map of each class as it is drawn, ``[classes, height, width]``."""
    found = [result.of_class(number) for number in range(result.classes.shape[1])]
    return np.stack([smoothed(one, plane(one, example))[0] for one in found])


def _card(result: ClassResponse, example: int) -> str:
    raw = raw_of(result, example)
    title = f"<h3>{escape(heading_of(result))}: {escape(', '.join(name for name, _ in _legend(result, example)))}</h3>"
    shown = _text(result, example, raw)
    first = result.of_class(0)
    if is_picture(first):
        picture = background(result, example, None)
        strongest = max(result.table(), key=lambda row: row["dominates"] if row["example"] == example else -1.0)
        alternative = f"Map of {result.classes.shape[1]} classes; {strongest['class']} dominates most of it."
        content = jpeg(class_map(result, example, picture))
        raw = picture
        shown = (
            f"<figure><img alt='{escape(alternative, quote=True)}' src='{data_uri(content)}'><figcaption>Hue: the class "
            "that a place speaks for most. Intensity: how strongly.</figcaption></figure>"
        )
    origin = Origin(raw)
    largest = limit(planes(result, example)) if is_picture(first) else None
    cards = "".join(
        f"<section class='card'><h4>{swatch(colour)} {escape(name)}</h4>"
        f"{figure(one := result.of_class(number), example, origin, largest)}{table_beside(one, example, origin)}</section>"
        for number, (name, colour) in enumerate(_legend(result, example))
    )
    return (
        f"<section class='card'>{title}<div class='row'>{shown}{_table(result, example)}</div></section>"
        f"<h3>What {escape(_inner_title(result))} says of each class</h3><div class='cards'>{cards}</div>"
    )


def _table(result: ClassResponse, example: int) -> str:
    rows = [row for row in result.table() if row["example"] == example]
    lines = [
        f"<tr><td>{swatch(colour)}</td><th scope='row'>{escape(name)}</th><td class='n'>{row['value']:.4g}</td>"
        f"<td class='n'>{row['dominates']:.0%}</td><td>{bar(row['dominates'], colour)}</td></tr>"
        for row, (name, colour) in zip(rows, _legend(result, example), strict=True)
    ]
    return (
        "<table><thead><tr><td></td><th>class</th><th class='n'>value</th><th class='n' colspan='2'>of all that speaks for "
        f"any class</th></tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def _text(result: ClassResponse, example: int, raw: Any) -> str:
    """The running text, each word on the colour of the class that it speaks for most."""
    spans = result.features.spans
    if spans is None or not isinstance(raw, str):
        return ""
    sums = result.by_feature()[example].double().numpy()
    strength = np.clip(sums.max(0), 0, None)
    colours = mixed(distinct(len(sums))[sums.argmax(0)], strength / max(float(strength.max()), 1e-30))
    parts, done = [], 0
    for (start, end), colour in sorted(zip(spans[example], colours.tolist(), strict=True)):
        parts.append(escape(raw[done:start]))
        parts.append(f"<span class='token' style='background:rgb{tuple(colour)}'>{escape(raw[start:end])}</span>")
        done = end
    return f"<p class='running'>{''.join([*parts, escape(raw[done:])])}</p>"


def _legend(result: ClassResponse, example: int) -> list[tuple[str, str]]:
    """Name and colour of each class."""
    colours = distinct(result.classes.shape[1])
    return [
        (result.name(example, number), "#" + "".join(f"{channel:02x}" for channel in colour))
        for number, colour in enumerate(colours)
    ]


def swatch(colour: str) -> str:
    """A small square of a colour."""
    return f"<svg aria-hidden='true' width='14' height='14'><rect width='14' height='14' rx='2' fill='{colour}'/></svg>"


def _above_legend(picture: Image.Image, legend: Sequence[tuple[str, str]]) -> Image.Image:
    font, step = ImageFont.load_default(14), 22
    width = max(picture.width, max(int(font.getlength(name)) for name, _ in legend) + 40)
    whole = Image.new("RGB", (width, picture.height + step * len(legend) + 12), "white")
    whole.paste(picture, (0, 0))
    draw = ImageDraw.Draw(whole)
    for number, (name, colour) in enumerate(legend):
        y = picture.height + 8 + step * number
        draw.rectangle((6, y, 20, y + 14), fill=colour)
        draw.text((28, y + 7), name, fill="black", anchor="lm", font=font)
    return whole


def _bars(result: ClassResponse, example: int) -> Image.Image:
    sums = result.by_feature()[example].double().numpy()
    strength, colours = sums.max(0), distinct(len(sums))[sums.argmax(0)]
    order = np.argsort(-strength, kind="stable")[:_BARS].tolist()
    font, left, width = ImageFont.load_default(14), 220, 360
    picture = Image.new("RGB", (left + width + 90, 24 * len(order) + 20), "white")
    draw = ImageDraw.Draw(picture)
    largest = max(float(strength.max()), 1e-30)
    named = result.of_class(0)
    for number, feature in enumerate(order):
        y = 8 + 24 * number
        length = max(float(strength[feature]), 0.0) / largest * width
        draw.text((left - 8, y + 9), named.label(example, feature)[:28], fill="black", anchor="rm", font=font)
        draw.rectangle((left, y, left + length, y + 16), fill=tuple(colours[feature].tolist()))
        draw.text((left + width + 8, y + 9), f"{strength[feature]:+.3g}", fill="black", anchor="lm", font=font)
    return picture


def _inner_title(result: ClassResponse) -> str:
    inner = {} if result.provenance is None else result.provenance.fields.get("inner", {})
    return str(entry(inner["method"])["title"]) if "method" in inner else "the method"
