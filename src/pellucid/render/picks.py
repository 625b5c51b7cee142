"""Picks on one sheet: what matters over all cases as bars, and the picked cases with their explanations."""

from html import escape

from PIL import Image

from pellucid.core.result import page, plot
from pellucid.core.subject import Origin
from pellucid.render.charts import bar, bars_picture, signed_bar
from pellucid.render.fragments import STYLE, caveat_of, figure, heading_of, raw_of, table_beside
from pellucid.results.picks import Picks

_FEATURES = 20


@plot.register
def _(result: Picks) -> Image.Image:
    """Bars of the most important features, to the side that their scores sum to."""
    rows = [(result.names[place], _signed(result, place)) for place in result.strongest(_FEATURES)]
    return bars_picture(rows, f"What matters over {result.cases} cases")


@page.register
def _(result: Picks) -> str:
    said = "".join(f"<li>{escape(line)}</li>" for line in result.summary().split("\n"))
    cards = "".join(_card(result, rank) for rank in range(len(result.picked)))
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}: {len(result.picked)} of "
        f"{result.cases} cases</h2><ul class='facts'>{said}</ul>{_global(result)}<h2>The picked cases</h2>"
        f"<div class='cards'>{cards}</div>{caveat_of(result)}</div>"
    )


def _signed(result: Picks, place: int) -> float:
    return float(result.importance[place]) * (1 if float(result.total[place]) >= 0 else -1)


def _global(result: Picks) -> str:
    shown = result.strongest(_FEATURES)
    largest = max((float(result.importance[place]) for place in shown), default=1.0)
    picks = set(result.picked.tolist())
    lines = "".join(
        f"<tr><th scope='row'>{escape(result.names[place])}</th><td class='n'>{float(result.importance[place]):.3g}</td>"
        f"<td>{signed_bar(_signed(result, place) / largest)}</td><td class='n'>{int(result.occurrences[place])}</td>"
        f"<td class='n'>{float(result.total[place]) / max(int(result.occurrences[place]), 1):+.3g}</td></tr>"
        for place in shown
    )
    return (
        f"<h2>What matters over all {result.cases} cases</h2><table><thead><tr><th>feature</th><th class='n'>importance</th>"
        "<th>against · for</th><th class='n'>in so many explanations</th><th class='n'>mean score there</th></tr></thead>"
        f"<tbody>{lines}</tbody></table><p class='small'>the {len(shown)} most important of {len(result.names)} features; "
        f"{len(picks)} cases picked</p>"
    )


def _card(result: Picks, rank: int) -> str:
    row, explained = result.table()[rank], result.explanations
    origin = Origin(raw_of(explained, rank))
    return (
        f"<section class='card'><h3>{rank + 1}: case {row['case']}, {escape(row['explains'])}</h3>"
        f"{figure(explained, rank, origin)}{table_beside(explained, rank, origin)}"
        f"<p class='small'>so far {float(result.covered[rank]):.0%} of all importance is shown {bar(float(result.covered[rank]))}"
        "</p></section>"
    )
