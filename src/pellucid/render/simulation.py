"""A simulation as a picture and a page: what each reader predicted without and with explanations, with intervals."""

from html import escape

from PIL import Image, ImageDraw, ImageFont

from pellucid.core.result import page, plot
from pellucid.render.colours import OKABE_ITO
from pellucid.render.fragments import STYLE, caveat_of, heading_of, items
from pellucid.render.heatmap import data_uri, png
from pellucid.results.simulation import Simulation

_CONTROL = "#666666"
_LEFT, _WIDE, _LINE = 300, 360, 26


@plot.register
def _(result: Simulation) -> Image.Image:
    """The share predicted by each reader in each arm, with its 95 % interval; a square is the control."""
    rows = result.table()
    sheet = Image.new("RGB", (_LEFT + _WIDE + 90, 70 + _LINE * len(rows) + 8 * len(result.readers)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    draw.text(
        (12, 10),
        f"{result.heading.lower()}: share of the questions, 95 % intervals",
        fill="black",
        font=ImageFont.load_default(16),
    )
    bottom = sheet.height - 30
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _LEFT + share * _WIDE
        draw.line((x, 40, x, bottom), fill="#dddddd")
        draw.text((x, bottom + 4), f"{share:.0%}", fill="black", anchor="ma", font=font)
    for number, row in enumerate(rows):
        y = 54 + _LINE * number + 8 * (number // len(result.arms))
        control = row["shown"] == result.arms[0]
        colour = _CONTROL if control else OKABE_ITO[0]
        low, middle, high = (_LEFT + row[name] * _WIDE for name in ("low", "accuracy", "high"))
        draw.text((_LEFT - 12, y), f"{row['reader']}, {row['shown']}"[:40], fill="black", anchor="rm", font=font)
        draw.line((low, y, high, y), fill=colour, width=2)
        if control:
            draw.rectangle((middle - 4, y - 4, middle + 4, y + 4), fill="white", outline=colour)
        else:
            draw.ellipse((middle - 5, y - 5, middle + 5, y + 5), fill=colour)
        draw.text((_LEFT + _WIDE + 12, y), f"{row['accuracy']:.0%}", fill="black", anchor="lm", font=font)
    return sheet


@page.register
def _(result: Simulation) -> str:
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}</h2>"
        f"<div class='brief'>{items([*result.statements(), *result.notes])}</div>{_shares(result)}{_differences(result)}"
        f"{_readers(result)}<p class='small'>{escape(result.protocol)}</p>{_questions(result)}{caveat_of(result)}</div>"
    )


def _shares(result: Simulation) -> str:
    told = "; ".join(f"{row['reader']}, {row['shown']}: {row['accuracy']:.0%}" for row in result.table())
    return (
        f"<h3>{result.heading}</h3><figure><img alt='{escape(told, quote=True)}' src='{data_uri(png(plot(result)))}'>"
        "<figcaption>squares: without explanations, dots: with them</figcaption></figure>"
    )


def _differences(result: Simulation) -> str:
    rows = [row for row in result.table() if row["difference"] is not None]
    lines = "".join(
        f"<tr><th scope='row'>{escape(row['reader'])}</th><td>{escape(row['shown'])}</td>"
        f"<td class='n'>{100 * row['difference']:+.0f}</td><td class='n'>{100 * row['from']:+.0f} to {100 * row['to']:+.0f}</td>"
        f"<td>{_verdict(result.helps(row['reader'], row['shown']))}</td></tr>"
        for row in rows
    )
    return (
        "<h3>What explanations change</h3><table><thead><tr><th>reader</th><th>shown</th><th class='n'>points more</th>"
        f"<th class='n'>95 % interval</th><th></th></tr></thead><tbody>{lines}</tbody></table>"
    )


def _verdict(helps: bool | None) -> str:
    return {None: "no difference shown", True: "helps this reader", False: "misleads this reader"}[helps]


def _readers(result: Simulation) -> str:
    lines = [f"{name}: {told}" for name, told in zip(result.readers, result.about, strict=True)]
    return f"<h3>Who read</h3>{items(lines)}"


def _questions(result: Simulation) -> str:
    rows = result.by_question()
    if not rows:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    lines = "".join(
        "<tr>"
        + "".join(
            f"<td>{_marked(name, str(value), row[result.answerer], result.answerer)}</td>"
            for name, value in row.items()
        )
        + "</tr>"
        for row in rows
    )
    return (
        f"<details><summary>All {len(rows)} questions</summary><div style='overflow-x:auto'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{lines}</tbody></table></div></details>"
    )


def _marked(column: str, value: str, truth: str, answerer: str) -> str:
    if column in ("question", answerer) or not value:
        return escape(value)
    return f"{'✓' if value == truth else '✗'} {escape(value)}"
