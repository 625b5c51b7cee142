"""A comparison as a picture and a page: a square for every pair, and all measures with their intervals and chance."""

from html import escape

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pellucid.core.result import page, plot
from pellucid.render.colours import signed
from pellucid.render.fragments import STYLE, caveat_of, heading_of, items
from pellucid.render.heatmap import data_uri, png
from pellucid.results.comparison import Comparison

_LEFT, _TOP, _CELL = 220, 60, 76


@plot.register
def _(result: Comparison, measure: str | None = None) -> Image.Image:
    """``measure`` (the first by default) of every two explanations; of differences the row's minus the column's."""
    measure = result.measures[0] if measure is None else measure
    number = len(result.names)
    sheet = Image.new("RGB", (_LEFT + _CELL * number + 20, _TOP + _CELL * number + 60), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    draw.text((12, 14), measure, fill="black", font=ImageFont.load_default(16))
    for row, name in enumerate(result.names):
        y = _TOP + _CELL * row
        draw.text((_LEFT - 10, y + _CELL // 2), name[:28], fill="black", anchor="rm", font=font)
        draw.text((_LEFT + _CELL * row + _CELL // 2, _TOP + _CELL * number + 12), name[:10], "black", font, "ma")
        for column, other in enumerate(result.names):
            place = (_LEFT + _CELL * column, y, _LEFT + _CELL * (column + 1) - 3, y + _CELL - 3)
            if row == column or not _compared(result, row, column):
                draw.rectangle(place, fill="#eeeeee")
                continue
            value = result.of(measure, name, other)
            draw.rectangle(place, fill=tuple(signed(np.array(value)).tolist()))
            middle = ((place[0] + place[2]) // 2, (place[1] + place[3]) // 2)
            draw.text(middle, f"{value:.2f}", fill="white" if abs(value) > 0.6 else "black", anchor="mm", font=font)
    return sheet


@page.register
def _(result: Comparison) -> str:
    lines = list(result.notes)
    if result.context is not None:
        lines.insert(0, f"In the context: {result.context}")
    told = "; ".join(f"{row['one']}, {row['other']}: {row['measure']} {row['value']:.2f}" for row in result.table())
    brief = f"<div class='brief'>{items(lines)}</div>" if lines else ""
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}</h2>{brief}"
        f"<figure><img alt='{escape(told, quote=True)}' src='{data_uri(png(plot(result), 900))}'>"
        f"<figcaption>{escape(result.measures[0])}</figcaption></figure>{_table(result)}"
        f"<p class='small'>{escape(result.protocol)}</p>{caveat_of(result)}</div>"
    )


def _compared(result: Comparison, row: int, column: int) -> bool:
    return sorted((row, column)) in [sorted(pair) for pair in result.pairs.tolist()]


def _table(result: Comparison) -> str:
    lines = []
    for row in result.table():
        beyond = result.beyond_chance(row["measure"], row["one"], row["other"])
        lines.append(
            f"<tr><th scope='row'>{escape(row['one'])}, {escape(row['other'])}</th><td>{escape(row['measure'])}</td>"
            f"<td class='n'>{row['value']:.3f}</td><td class='n'>{row['low']:.3f} … {row['high']:.3f}</td>"
            f"<td class='n'>{row['from']:.3f} … {row['to']:.3f}</td><td>{'beyond chance' if beyond else 'as by chance'}</td></tr>"
        )
    return (
        "<table><thead><tr><th>explanations</th><th>measure</th><th class='n'>value</th><th class='n'>95 % interval</th>"
        f"<th class='n'>by chance</th><th></th></tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )
