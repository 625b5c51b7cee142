"""A weight attribution as bars: the scores of the top units, and what was truly lost without each."""

from html import escape

from PIL import Image, ImageDraw, ImageFont

from pellucid.core.result import page, plot
from pellucid.render.charts import signed_bar
from pellucid.render.colours import OKABE_ITO, signed_hex
from pellucid.render.fragments import STYLE, caveat_of, heading_of, items
from pellucid.results.weight_scores import WeightScores

_LEFT, _WIDE, _LINE, _TOP = 290, 380, 26, 76


@plot.register
def _(result: WeightScores, example: int = 0) -> Image.Image:
    """A bar for the score of each top unit, and a dot where the measured effect lies."""
    rows = [row for row in result.table() if row["example"] == example]
    picture = Image.new("RGB", (_LEFT + _WIDE + 200, _TOP + _LINE * len(rows) + 16), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    title = f"{result.question(example)} (value {float(result.value[example]):.4g}): the weights it hangs on"
    draw.text((12, 8), title, fill="black", font=ImageFont.load_default(16))
    draw.text(
        (12, 34),
        "bar: gradient times weight; dot: what the value truly loses without the unit",
        fill="#444444",
        font=font,
    )
    draw.text((_LEFT + _WIDE + 12, 54), "score      effect", fill="#444444", font=font)
    largest = max([max(abs(row["score"]), abs(row["effect"])) for row in rows], default=1.0) or 1.0
    middle = _LEFT + _WIDE / 2
    for number, row in enumerate(rows):
        y = _TOP + _LINE * number
        end, effect = (middle + row[name] / largest * _WIDE / 2 for name in ("score", "effect"))
        draw.text((_LEFT - 8, y + 9), _short(row["unit"]), fill="black", anchor="rm", font=font)
        box = (min(middle, end), y + 2, max(middle, end), y + 16)
        draw.rectangle(box, fill=signed_hex(1 if row["score"] >= 0 else -1))
        draw.ellipse((effect - 5, y + 4, effect + 5, y + 14), outline="black", width=2, fill=OKABE_ITO[6])
        told = f"{row['score']:+.3g}", f"{row['effect']:+.3g}"
        for place, text in enumerate(told):
            draw.text((_LEFT + _WIDE + 12 + 70 * place, y + 9), text, fill="black", anchor="lm", font=font)
    draw.line((middle, _TOP - 4, middle, picture.height - 12), fill="black")
    return picture


def _short(unit: str) -> str:
    return unit if len(unit) <= 38 else f"…{unit[-37:]}"


@page.register
def _(result: WeightScores) -> str:
    cards = "".join(_card(result, example) for example in range(len(result)))
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}</h2>"
        f"<div class='cards'>{cards}</div>{items(result.notes) if result.notes else ''}{caveat_of(result)}</div>"
    )


def _card(result: WeightScores, example: int) -> str:
    rows = [row for row in result.table() if row["example"] == example]
    largest = max([max(abs(row["score"]), abs(row["effect"])) for row in rows], default=1.0) or 1.0
    lines = "".join(
        f"<tr><th scope='row'>{escape(row['unit'])}</th><td>{escape(row['kind'])}</td>"
        + "".join(
            f"<td class='n'>{row[name]:+.3g}</td><td>{signed_bar(row[name] / largest)}</td>"
            for name in ("score", "effect")
        )
        + "</tr>"
        for row in rows
    )
    return (
        f"<section class='card'><h3>{escape(result.question(example))}, value {float(result.value[example]):.4g}</h3>"
        "<table><thead><tr><th>unit</th><th>kind</th><th class='n'>gradient × weight</th><th></th><th class='n'>lost without "
        f"it</th><th></th></tr></thead><tbody>{lines}</tbody></table><p class='small'>{escape(result.evidence(example))}</p></section>"
    )
