"""Interactions as a matrix of the features that do most, and as a table of the strongest pairs."""

from html import escape

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pellucid.core.result import page, plot
from pellucid.render.charts import legend
from pellucid.render.colours import signed_hex
from pellucid.render.fragments import STYLE, caveat_of, heading_of
from pellucid.render.heatmap import data_uri, png
from pellucid.results.interactions import Interactions

_FEATURES, _PAIRS = 16, 12
_CELL, _NAMES = 34, 170


@plot.register
def _(result: Interactions, example: int = 0) -> Image.Image:
    """The matrix of the features that do most: each on its own on the diagonal, pairs beside it."""
    found, chosen = result.of(example), _strongest(result.of(example))
    font, largest = ImageFont.load_default(13), max(float(found.abs().max()), 1e-30)
    side = _CELL * len(chosen)
    picture = Image.new("RGB", (_NAMES + side + 12, _NAMES + side + 12), "white")
    draw = ImageDraw.Draw(picture)
    for row, one in enumerate(chosen):
        name = result.label(example, one)[:22]
        top = _NAMES + _CELL * row
        draw.text((_NAMES - 8, top + _CELL // 2), name, fill="black", anchor="rm", font=font)
        for column, other in enumerate(chosen):
            left = _NAMES + _CELL * column
            box = (left, top, left + _CELL - 2, top + _CELL - 2)
            outline = "black" if one == other else None
            draw.rectangle(box, fill=signed_hex(float(found[one, other]) / largest), outline=outline)
    picture.paste(_upright([result.label(example, one)[:22] for one in chosen]), (_NAMES, 0))
    return picture


@page.register
def _(result: Interactions) -> str:
    cards = "".join(_card(result, example) for example in range(len(result)))
    return f"<div class='pellucid'><style>{STYLE}</style>{cards}{caveat_of(result)}</div>"


def _card(result: Interactions, example: int) -> str:
    title = f"{heading_of(result)}: {result.question(example)}"
    rows = [row for row in result.table() if row["example"] == example and row["with"]][:_PAIRS]
    lines = "".join(
        f"<tr><th scope='row'>{escape(row['feature'])}</th><td>{escape(row['with'])}</td><td class='n'>{row['score']:+.3g}"
        f"</td><td class='n'>{row['low']:+.3g} … {row['high']:+.3g}</td></tr>"
        for row in rows
    )
    alternative = f"Matrix of interactions: {result.summary().splitlines()[example]}"
    notes = "".join(f"<li>{escape(note)}</li>" for note in result.notes)
    return (
        f"<section class='card'><h3>{escape(title)}</h3><div class='row'><figure><img alt='{escape(alternative, quote=True)}' "
        f"src='{data_uri(png(result.plot(example=example)))}'><figcaption>Framed: a feature on its own. Beside it: "
        f"what two do together beyond that ({escape(result.index)}).</figcaption>{legend()}</figure><table><thead><tr>"
        "<th>feature</th><th>with</th><th class='n'>together</th><th class='n'>95 %</th></tr></thead><tbody>"
        f"{lines}</tbody></table></div><ul class='facts'><li>explained quantity {result.value[example]:.4g}, everything "
        f"hidden {result.baseline[example]:.4g}, unaccounted {result.residual[example]:.2g}</li>{notes}</ul></section>"
    )


def _strongest(found: Tensor) -> list[int]:
    """The features with the largest entries, in their own order."""
    order = found.abs().amax(1).argsort(descending=True, stable=True)
    return sorted(order[:_FEATURES].tolist())


def _upright(names: list[str]) -> Image.Image:
    """Names from bottom to top, one per column of the matrix."""
    lying = Image.new("RGB", (_NAMES, _CELL * len(names)), "white")
    draw, font = ImageDraw.Draw(lying), ImageFont.load_default(13)
    for number, name in enumerate(names):
        draw.text((8, _CELL * number + _CELL // 2), name, fill="black", anchor="lm", font=font)
    return lying.transpose(Image.Transpose.ROTATE_90)
