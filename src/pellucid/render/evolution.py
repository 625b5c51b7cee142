"""An evolution as a strip: the strongest example of each checkpoint, cut to what the unit sees, and how much has stayed."""

from html import escape

from PIL import Image, ImageDraw, ImageFont

from pellucid.core.result import page, plot
from pellucid.render.charts import bars_picture
from pellucid.render.fragments import STYLE, caveat_of, heading_of, items
from pellucid.render.heatmap import data_uri, png
from pellucid.render.patches import beside, patch
from pellucid.results.evolution import Evolution

_TILE, _GAP, _TEXT, _COLUMNS = 150, 10, 16, 6
_JUMP, _SAME = "#d55e00", "#bbbbbb"


@plot.register
def _(result: Evolution) -> Image.Image:
    """A tile per checkpoint, framed where the strongest example is a new one; bars where examples are no pictures."""
    rows = result.table()
    if result.shown is None or result.shown.value.ndim != 4:
        return bars_picture([(row["checkpoint"], row["activation"]) for row in rows], f"activation: {result.unit}")
    columns, font = min(_COLUMNS, len(rows)), ImageFont.load_default(12)
    cell = (_TILE + _GAP, _TILE + 3 * _TEXT + _GAP)
    whole = Image.new("RGB", (columns * cell[0] + _GAP, -(-len(rows) // columns) * cell[1] + 34), "white")
    draw = ImageDraw.Draw(whole)
    draw.text((_GAP, 8), f"{result.unit}: the strongest example", fill="black", font=ImageFont.load_default(16))
    for number, row in enumerate(rows):
        x, y = _GAP + number % columns * cell[0], 34 + number // columns * cell[1]
        region = None if result.regions is None else result.regions[number]
        whole.paste(beside(patch(result.shown, number, region, _TILE), side=_TILE), (x, y))
        draw.rectangle((x - 3, y - 3, x + _TILE + 2, y + _TILE + 2), outline=_JUMP if row["jump"] else _SAME, width=3)
        told = (
            f"{row['checkpoint']}: {row['activation']:.3g}",
            row["strongest"],
            f"{row['overlap']:.0%} as at the end",
        )
        for line, text in enumerate(told):
            draw.text((x, y + _TILE + 4 + line * _TEXT), text[:24], fill="black", font=font)
    return whole


@page.register
def _(result: Evolution) -> str:
    cells = "".join(
        f"<tr><th scope='row'>{escape(row['checkpoint'])}</th><td>{escape(row['strongest'])}</td>"
        f"<td class='n'>{row['activation']:.4g}</td><td class='n'>{row['overlap']:.0%}</td>"
        f"<td>{'another example' if row['jump'] else ''}</td></tr>"
        for row in result.table()
    )
    picture = plot(result)
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}: {escape(result.unit)}</h2>"
        f"<div class='brief'>{items(result.summary().split(chr(10)))}</div><figure><img alt='The strongest example of each "
        f"checkpoint' src='{data_uri(png(picture, max(picture.size)))}'><figcaption>framed in orange: another example than before"
        "</figcaption></figure><table><thead><tr><th>checkpoint</th><th>strongest example</th><th class='n'>activation</th>"
        f"<th class='n'>as at the end</th><th></th></tr></thead><tbody>{cells}</tbody></table>{caveat_of(result)}</div>"
    )
