"""A ranking as a picture and a page: who leads by which metric, how surely, at which cost, and whether metrics agree."""

from html import escape

from PIL import Image, ImageDraw, ImageFont

from pellucid.core.catalogue import catalogue
from pellucid.core.result import page, plot
from pellucid.render.charts import intervals
from pellucid.render.colours import OKABE_ITO, signed_hex, text_on
from pellucid.render.fragments import STYLE, items
from pellucid.results.ranking import Ranking

_CONTROL = "#666666"
_LEFT, _WIDE, _LINE = 300, 420, 26
_LEADS, _STANDS, _FAILS = "#d9ecd9", "#ffffff", "#f6e3d5"


@plot.register
def _(result: Ranking) -> Image.Image:
    """The mean rank of every row with its 95 % interval; squares are controls."""
    rows = [row for row in result.by_rank() if bool(result.ranks[row, 0].isfinite())]
    sheet = Image.new("RGB", (_LEFT + _WIDE + 70, 90 + _LINE * len(rows)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    title = (
        f"mean rank over {len(result.metrics)} metrics, {len(result.examples)} inputs, 95 % intervals (left is better)"
    )
    draw.text((12, 10), title, fill="black", font=ImageFont.load_default(16))
    last, bottom = len(result.rows), sheet.height - 30

    def x(rank: float) -> float:
        return _LEFT + (rank - 1) / max(last - 1, 1) * _WIDE

    for tick in range(1, last + 1, max(1, last // 8)):
        draw.line((x(tick), 40, x(tick), bottom), fill="#dddddd")
        draw.text((x(tick), bottom + 4), str(tick), fill="black", anchor="ma", font=font)
    for number, row in enumerate(rows):
        y, control = 54 + _LINE * number, row >= len(result.methods)
        colour = _CONTROL if control else OKABE_ITO[0]
        middle, low, high = (x(rank) for rank in result.ranks[row].tolist())
        draw.text((_LEFT - 12, y), result.rows[row][:40], fill="black", anchor="rm", font=font)
        draw.line((low, y, high, y), fill=colour, width=2)
        box = (middle - 4, y - 4, middle + 4, y + 4)
        draw.rectangle(box, fill="white", outline=colour) if control else draw.ellipse(box, fill=colour)
    return sheet


@page.register
def _(result: Ranking) -> str:
    title = f"Which explanation to believe: {result.subject}"
    parts = [
        f"<p class='small'>Pellucid · {escape(result.subject)}</p><h1>Which explanation to believe?</h1>",
        f"<p>{len(result.methods)} methods and {result.controls} controls, judged by {len(result.metrics)} metrics over the same "
        f"{len(result.examples)} inputs.</p><div class='brief'>{items(result.statements())}</div>",
        _matrix(result),
        _cost(result),
        _agreement(result),
        _by_metric(result),
        _left_out(result),
        _method(result),
    ]
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        f"content='width=device-width,initial-scale=1'><title>{escape(title)}</title><style>body{{margin:0}}{STYLE}"
        ".pellucid{max-width:90rem}.pellucid .cards{grid-template-columns:repeat(auto-fit,minmax(34rem,1fr))}"
        ".pellucid tbody th{white-space:nowrap}.pellucid thead th.n{white-space:normal}</style></head>"
        f"<body><main class='pellucid'>{''.join(parts)}</main></body></html>\n"
    )


def _matrix(result: Ranking) -> str:
    heads = "".join(
        f"<th class='n'>{escape(name)} {'↑' if high else '↓'}</th>"
        for name, high in zip(result.metrics, result.higher_is_better, strict=True)
    )
    leaders = [result.leaders(metric) if result.order(metric) else [] for metric in range(len(result.metrics))]
    lines = []
    for row in result.by_rank():
        cells = "".join(_cell(result, metric, row, leaders[metric]) for metric in range(len(result.metrics)))
        mean, low, high = result.ranks[row].tolist()
        rank = f"{mean:.1f}<br><span class='small'>{low:.1f} … {high:.1f}</span>" if mean == mean else "–"
        lines.append(f"<tr><th scope='row'>{escape(result.rows[row])}</th><td class='n'>{rank}</td>{cells}</tr>")
    return (
        "<h2>Methods and metrics</h2><div style='overflow-x:auto'><table><thead><tr><th>map</th><th class='n'>mean rank</th>"
        f"{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div><p class='small'>Means with 95 % intervals over "
        "inputs; ↑ higher is better, ↓ lower is better. <strong>Bold on green</strong>: the best of a metric and all methods that "
        "cannot be told apart from it. Orange: not shown to be better than every control, which know nothing about the "
        "network.</p>"
    )


def _cell(result: Ranking, metric: int, row: int, leaders: list[str]) -> str:
    mean, low, high = result.means[metric, row].tolist()
    if mean != mean:
        return "<td class='n'>–</td>"
    text = f"{mean:.3g}<br><span class='small'>{low:.3g} … {high:.3g}</span>"
    if row >= len(result.methods):
        return f"<td class='n' style='color:{_CONTROL}'>{text}</td>"
    stands = result.beats_controls(metric, row)
    leads = result.rows[row] in leaders
    colour = _FAILS if not stands else _LEADS if leads else _STANDS
    return f"<td class='n' style='background:{colour}'>{f'<strong>{text}</strong>' if leads and stands else text}</td>"


def _cost(result: Ranking) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td class='n'>{forward:.4g}</td><td class='n'>{both:.4g}</td></tr>"
        for name, (forward, both) in zip(result.methods, result.cost.tolist(), strict=True)
    )
    return (
        "<h2>What an explanation costs</h2><table><thead><tr><th>method</th><th class='n'>F per input</th>"
        f"<th class='n'>B per input</th></tr></thead><tbody>{rows}</tbody></table>"
        "<p class='small'>F: forward passes, B: forward and backward passes.</p>"
    )


def _agreement(result: Ranking) -> str:
    if len(result.metrics) < 2:
        return ""
    heads = "".join(f"<th class='n'>{escape(name)}</th>" for name in result.metrics)
    lines = []
    for name, values in zip(result.metrics, result.agreement.tolist(), strict=True):
        cells = "".join(
            f"<td class='n' style='background:{signed_hex(0.8 * value)};color:{text_on(0.8 * value)}'>{value:+.2f}</td>"
            if value == value
            else "<td class='n'>–</td>"
            for value in values
        )
        lines.append(f"<tr><th scope='row'>{escape(name)}</th>{cells}</tr>")
    return (
        "<h2>Do the metrics agree?</h2><div style='overflow-x:auto'><table><thead><tr><td></td>"
        f"{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div><p class='small'>Rank correlation of the rows' means, "
        "each metric turned so that high is good. Metrics that ask different things need not agree; where two that ask the "
        "same thing do not, neither is to be believed alone.</p>"
    )


def _by_metric(result: Ranking) -> str:
    cards = []
    questions = {record["id"]: record for record in catalogue()}
    for metric, name in enumerate(result.metrics):
        known = questions.get(name.partition(" (")[0], {})
        rows = [
            (result.rows[row], *result.means[metric, row].tolist(), row >= len(result.methods))
            for row in range(len(result.rows))
            if bool(result.means[metric, row, 0].isfinite())
        ]
        rows.sort(key=lambda row: -row[1] if result.higher_is_better[metric] else row[1])
        better = "higher is better" if result.higher_is_better[metric] else "lower is better"
        chart = intervals(rows, f"{name} of every row, 95 % intervals") if rows else ""
        cards.append(
            f"<section class='card'><h3>{escape(name)}</h3><p class='question'>{escape(known.get('question', ''))}</p>"
            f"<figure>{chart}<figcaption>{better}; dots are explanations, squares controls</figcaption></figure>"
            f"<p>{escape(result.about(metric))}</p><p class='small'>{escape(result.protocols[metric])}</p>"
            f"<p class='caveat'>{escape(known.get('caveat', ''))}</p></section>"
        )
    return f"<h2>Metric by metric</h2><div class='cards'>{''.join(cards)}</div>"


def _left_out(result: Ranking) -> str:
    told = [f"{name}: {reason}" for name, reason in (*result.refused.items(), *result.failed.items())]
    return f"<h2>What was not judged, and why</h2>{items(told)}" if told else ""


def _method(result: Ranking) -> str:
    pairs = len(result.rows) * (len(result.rows) - 1) // 2 * len(result.metrics)
    return "<h2>How it was compared</h2>" + items(
        [
            "Every method explained the same decisions, and every metric judged all of them on the same perturbed inputs.",
            "Intervals are 95 %, by bootstrap over inputs; the same inputs are drawn for every row.",
            f"Two rows are told apart where their intervals do not overlap and a paired Wilcoxon test, corrected by Holm "
            f"for all {pairs} comparisons of this page, gives p < 0.05. Otherwise no winner is named.",
            "The mean rank orders rows by their mean in every metric; metrics that ask different things count the same, so "
            "read it as a summary and decide by the metric that fits your use.",
        ]
    )
