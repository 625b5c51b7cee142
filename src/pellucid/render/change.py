"""A change as a picture and a page: before and after side by side, both answers, and what each edit did."""

import difflib
import re
from html import escape
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pellucid.core.result import page, plot
from pellucid.core.subject import Origin
from pellucid.render.charts import signed_bar
from pellucid.render.colours import OKABE_ITO, signed_hex
from pellucid.render.fragments import STYLE, caveat_of, figure, heading_of, items, table_beside
from pellucid.render.heatmap import data_uri, jpeg
from pellucid.results.change import Change

BEFORE, AFTER = "#8a8a8a", OKABE_ITO[0]
_CLASSES, _EDITS, _SIDE, _WIDTH, _LINE = 5, 12, 280, 760, 26
_MORE_STYLE = """
.pellucid del{background:#f6d5d5;text-decoration:line-through}.pellucid ins{background:#d3ead9;text-decoration:none;font-weight:bold}
.pellucid .pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:1rem}.pellucid .pair h4{margin:.2rem 0}
.pellucid tr.changed td,.pellucid tr.changed th{background:#fff3d6}.pellucid .bars svg{vertical-align:middle}
"""


@plot.register
def _(result: Change, example: int = 0) -> Image.Image:
    """Both inputs where they are pictures, bars of both answers, and bars of what each edit did."""
    rows, edits = result.top(example, _CLASSES), _strongest(result, example)
    pictures = [_fitted(picture) for picture in _pictures(result, example)]
    top = max(picture.height for picture in pictures) + 56 if pictures else 8
    height = top + 56 + 2 * _LINE * len(rows) + 54 + _LINE * len(edits)
    sheet = Image.new("RGB", (_WIDTH, height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, picture in enumerate(pictures):
        left = 20 + number * (_WIDTH // 2)
        draw.text((left, 10), ("before", "after")[number], fill="black", font=_font(16))
        sheet.paste(picture, (left, 36))
    y = _answers(draw, top, result, rows)
    _credits(draw, y + 12, result, example, edits)
    return sheet


@page.register
def _(result: Change) -> str:
    cards = "".join(_card(result, example) for example in range(len(result)))
    return f"<div class='pellucid'><style>{STYLE}{_MORE_STYLE}</style>{cards}{caveat_of(result)}</div>"


def _card(result: Change, example: int) -> str:
    edits = items(list(result.edits[example]))
    return (
        f"<section class='card'><h3>{escape(heading_of(result))}</h3><div class='brief'>{items(result.statements(example))}</div>"
        f"<p>What was changed:</p>{edits}{_inputs(result, example)}<h4>What the model answers</h4>{_answer_table(result, example)}"
        f"{_credit_table(result, example)}{_explained(result, example)}</section>"
    )


def _inputs(result: Change, example: int) -> str:
    if example >= len(result.shown):
        return "<p class='small'>The inputs were not kept with this result.</p>"
    before, after = (origin.raw for origin in result.shown[example])
    if isinstance(before, str):
        return f"<p class='running'>{marked(before, after)}</p>"
    if isinstance(before, dict):
        return _rows(before, after)
    if hasattr(before, "convert"):
        figures = "".join(
            f"<figure><h4>{moment}</h4><img alt='The picture {moment} the edit' src='{data_uri(jpeg(picture))}'></figure>"
            for moment, picture in (("before", before), ("after", after))
        )
        return f"<div class='pair'>{figures}</div>"
    return ""


def marked(before: str, after: str) -> str:
    """Both texts in one, as HTML: what is gone is struck out, what is new is inserted."""
    old, new = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (before, after))
    parts = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, given = escape("".join(old[a:b])), escape("".join(new[c:d]))
        if kind == "equal":
            parts.append(gone)
            continue
        parts.append(" ".join([f"<del>{gone}</del>"] * bool(gone) + [f"<ins>{given}</ins>"] * bool(given)))
    return "".join(parts)


def _rows(before: dict[str, Any], after: dict[str, Any]) -> str:
    lines = [
        f"<tr{' class=changed' if before[name] != after[name] else ''}><th scope='row'>{escape(name)}</th>"
        f"<td class='n'>{before[name]:.6g}</td><td class='n'>{after[name]:.6g}</td></tr>"
        for name in before
    ]
    return (
        "<table><thead><tr><th>column</th><th class='n'>before</th><th class='n'>after</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _answer_table(result: Change, example: int) -> str:
    chances = result.chances_before is not None
    lines = []
    for row in result.top(example, _CLASSES):
        shares = (
            f"<td class='n'>{row['probability before']:.1%}</td><td class='n'>{row['probability after']:.1%}</td>"
            f"<td class='bars'>{_pair(row['probability before'], row['probability after'])}</td>"
            if chances
            else ""
        )
        scores = f"<td class='n'>{row['before']:.4g}</td><td class='n'>{row['after']:.4g}</td>"
        lines.append(f"<tr><th scope='row'>{escape(row['output'])}</th>{shares}{scores}</tr>")
    head = "<th class='n'>before</th><th class='n'>after</th>"
    grouped = (
        "<tr><td></td><th colspan='3' scope='colgroup'>probability</th><th colspan='2' scope='colgroup'>score</th></tr>"
        if chances
        else ""
    )
    return (
        f"<table><thead>{grouped}<tr><th>answer</th>{head + '<th>grey: before, blue: after</th>' if chances else ''}{head}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _pair(before: float, after: float) -> str:
    return (
        "<svg aria-hidden='true' width='160' height='18'><rect width='160' height='18' fill='#eee'/>"
        f"<rect width='{160 * before:.1f}' height='8' fill='{BEFORE}'/><rect y='10' width='{160 * after:.1f}' height='8' fill='{AFTER}'/></svg>"
    )


def _credit_table(result: Change, example: int) -> str:
    rows = [row for row in result.table() if row["example"] == example]
    if len(rows) < 2:
        return ""
    largest = max(max(abs(row["share"] or 0), abs(row["alone"])) for row in rows) or 1.0
    lines = []
    for row in sorted(rows, key=lambda row: -abs(row["share"] if row["share"] is not None else row["alone"])):
        share = (
            ""
            if row["share"] is None
            else f"<td class='n'>{row['share']:+.3g}</td><td>{signed_bar(row['share'] / largest)}</td>"
        )
        lines.append(
            f"<tr><th scope='row'>{escape(row['edit'])}</th>{share}<td class='n'>{row['alone']:+.3g}</td>"
            f"<td class='n'>{row['last']:+.3g}</td></tr>"
        )
    shared = "" if result.shares is None else "<th class='n'>its share</th><th>lowers · raises</th>"
    total = float(result.difference[example])
    words = (
        f"<p>Together the edits change {escape(result.question(example))} by {total:+.3g}. "
        + ("The shares (Shapley values) add up to that." if result.shares is not None else "")
        + "</p>"
    )
    return (
        f"<h4>What each edit did</h4>{words}<table><thead><tr><th>edit</th>{shared}<th class='n'>made alone</th>"
        f"<th class='n'>made last</th></tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def _explained(result: Change, example: int) -> str:
    if len(result.explained) != 2:
        return ""
    cards = []
    for moment, answer in zip(("before", "after"), result.explained, strict=True):
        kept = result.shown[example][moment == "after"] if example < len(result.shown) else None
        raw = Origin(
            None if kept is None or isinstance(kept.raw, Tensor) else kept.raw, box=None if kept is None else kept.box
        )
        cards.append(f"<div><h4>{moment}</h4>{figure(answer, example, raw)}{table_beside(answer, example, raw)}</div>")
    title = escape(heading_of(result.explained[0]))
    return f"<h4>Why, by {title}</h4><div class='pair'>{''.join(cards)}</div>"


def _pictures(result: Change, example: int) -> list[Image.Image]:
    if example >= len(result.shown):
        return []
    return [origin.raw for origin in result.shown[example] if hasattr(origin.raw, "convert")]


def _fitted(picture: Image.Image) -> Image.Image:
    """The picture within a square, small ones enlarged by whole pixels."""
    scale = _SIDE / max(picture.size)
    resampling = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.convert("RGB").resize(size, resampling)


def _strongest(result: Change, example: int) -> list[tuple[str, float]]:
    values = (result.alone if result.shares is None else result.shares)[example]
    order = values.abs().argsort(descending=True, stable=True)[:_EDITS].tolist()
    return [(result.edits[example][number], float(values[number])) for number in order]


def _answers(draw: ImageDraw.ImageDraw, y: int, result: Change, rows: list[dict[str, Any]]) -> int:
    chances = result.chances_before is not None
    names = ("probability before", "probability after") if chances else ("before", "after")
    what = "probability" if chances else "answer"
    draw.text((20, y), f"{what} before", fill=BEFORE, font=_font(16))
    draw.text((200, y), f"{what} after", fill=AFTER, font=_font(16))
    largest = 1.0 if chances else max(max(abs(row[name]) for name in names) for row in rows) or 1.0
    y += 32
    for row in rows:
        draw.text((210, y + 18), _cut(row["output"], 190), fill="black", anchor="rm", font=_font(14))
        for number, (name, colour) in enumerate(zip(names, (BEFORE, AFTER), strict=True)):
            length = max(1, round(abs(row[name]) / largest * 420))
            draw.rectangle((220, y + 19 * number, 220 + length, y + 19 * number + 15), fill=colour)
            told = f"{row[name]:.1%}" if chances else f"{row[name]:.4g}"
            draw.text((220 + length + 6, y + 19 * number + 8), told, fill="black", anchor="lm", font=_font(14))
        y += 2 * _LINE
    return y


def _credits(draw: ImageDraw.ImageDraw, y: int, result: Change, example: int, edits: list[tuple[str, float]]) -> None:
    kind = "share" if result.shares is not None else "change alone"
    title = f"change of {result.question(example)}: {float(result.difference[example]):+.3g}; {kind} of each edit"
    draw.text((20, y), _cut(title, _WIDTH - 40, 16), fill="black", font=_font(16))
    largest = max((abs(value) for _, value in edits), default=1.0) or 1.0
    y, middle = y + 32, 530
    for text, value in edits:
        end = middle + value / largest * 140
        draw.text((370, y + 9), _cut(text, 350), fill="black", anchor="rm", font=_font(14))
        draw.rectangle((min(middle, end), y, max(middle, end), y + 16), fill=signed_hex(1 if value >= 0 else -1))
        draw.text((_WIDTH - 70, y + 9), f"{value:+.3g}", fill="black", anchor="lm", font=_font(14))
        y += _LINE
    draw.line((middle, y - _LINE * len(edits) - 4, middle, y), fill="black")


def _cut(text: str, width: int, size: int = 14) -> str:
    """As much of a text as is not wider than ``width`` pixels."""
    if _font(size).getlength(text) <= width:
        return text
    fitting = next((end for end in range(len(text), 0, -1) if _font(size).getlength(text[:end] + "…") <= width), 1)
    return text[:fitting] + "…"


def _font(size: int) -> Any:
    return ImageFont.load_default(size)
