"""Prototypes on one sheet: a row of examples for each group, those that are criticised behind them."""

from html import escape

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pellucid.core.result import page, plot
from pellucid.render.data_pictures import picture_of, raw_of
from pellucid.render.fragments import STYLE, caveat_of, heading_of, items
from pellucid.render.heatmap import data_uri, jpeg
from pellucid.render.picture_rows import Row, picture_rows
from pellucid.results.prototypes import PrototypeSet

_LINE, _WIDE, _NAME = 22, 110, 18


@plot.register
def _(result: PrototypeSet) -> Image.Image:
    """Rows of pictures with the confidence below; lines of text or values where the data are no pictures."""
    title = f"Prototypes by {result.choice} at {result.layer}; criticisms are what they do not explain"
    pictures = {number: picture_of(result.query, result.names[number]) for number in _numbers(result)}
    if all(picture is None for picture in pictures.values()):
        return _lines(result, title)
    rows = []
    for place, name in enumerate(result.groups):
        chosen, others = result.prototypes[place].tolist(), result.criticisms[place].tolist()
        captions = [_caption(result, number) for number in chosen] + [
            f"{_caption(result, n)} criticism" for n in others
        ]
        rows.append(Row(_broken(name), [pictures[number] for number in (*chosen, *others)], captions))
    return picture_rows(title, rows)


@page.register
def _(result: PrototypeSet) -> str:
    cards = "".join(_card(result, place) for place in range(len(result.groups)))
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}</h2>"
        f"{items(result.summary().splitlines())}<div class='cards'>{cards}</div>{caveat_of(result)}</div>"
    )


def _numbers(result: PrototypeSet) -> list[int]:
    return [number for chosen in (*result.prototypes, *result.criticisms) for number in chosen.tolist()]


def _caption(result: PrototypeSet, number: int) -> str:
    """The example's name, cut to the width of a picture, and below it the confidence."""
    name = result.called(number)
    return f"{name if len(name) <= _NAME else f'{name[: _NAME - 1]}…'}\n{float(result.confidence[number]):.2f}"


def _broken(name: str) -> str:
    words, lines = name.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 15 and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines[:4])


def _said(result: PrototypeSet, number: int) -> str:
    """An example that is no picture, in a line."""
    raw = raw_of(result.query, result.names[number])
    if isinstance(raw, dict):
        return ", ".join(f"{key} {value}" for key, value in raw.items())
    return "" if raw is None or isinstance(raw, Tensor) else str(raw)


def _lines(result: PrototypeSet, title: str) -> Image.Image:
    font, strong = ImageFont.load_default(13), ImageFont.load_default(16)
    lines = [(title, strong)]
    for place, name in enumerate(result.groups):
        lines.append((f"{name}: {result.size(place)} examples", strong))
        for word, chosen in (("", result.prototypes[place]), ("criticism ", result.criticisms[place])):
            lines += [
                (f"   {word}{result.called(n)} ({float(result.confidence[n]):.2f})  {_said(result, n)[:_WIDE]}", font)
                for n in chosen.tolist()
            ]
    picture = Image.new("RGB", (940, _LINE * len(lines) + 16), "white")
    draw = ImageDraw.Draw(picture)
    for number, (text, kind) in enumerate(lines):
        draw.text((10, 8 + _LINE * number), text, fill="black", font=kind)
    return picture


def _card(result: PrototypeSet, place: int) -> str:
    parts = [
        f"<h4>{word}</h4><div class='row'>{''.join(_figure(result, number) for number in chosen.tolist())}</div>"
        for word, chosen in (("prototypes", result.prototypes[place]), ("criticisms", result.criticisms[place]))
        if len(chosen)
    ]
    return (
        f"<section class='card'><h3>{escape(result.groups[place])}</h3>{''.join(parts)}"
        f"<p class='small'>{escape(result.coverage(place))}</p></section>"
    )


def _figure(result: PrototypeSet, number: int) -> str:
    picture = picture_of(result.query, result.names[number])
    told = f"{number}: confidence {float(result.confidence[number]):.2f}"
    if picture is None:
        return f"<p>{escape(_said(result, number))} <span class='small'>{told}</span></p>"
    return f"<figure><img alt='Example {number}' width='112' src='{data_uri(jpeg(picture, 224))}'><figcaption>{told}</figcaption></figure>"
