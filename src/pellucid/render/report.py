"""The page of a report: one self-contained document that a newcomer can read from top to bottom, and print."""

import io
import math
import shlex
from collections.abc import Sequence
from html import escape

from PIL import Image

from pellucid.core.catalogue import entry
from pellucid.core.result import page
from pellucid.core.subject import Origin
from pellucid.engine import judging
from pellucid.render.charts import bar, legend
from pellucid.render.fragments import (
    STYLE,
    evaluation_fragment,
    figure,
    heading_of,
    items,
    shown_input,
    table_beside,
    trust_facts,
)
from pellucid.results.attribution import Attribution
from pellucid.results.report import Finding, Report

_RADIUS, _DOT = 88, 10
_MARKS = {
    "passed": ("✓", "#007050"),
    "failed": ("✗", "#b2182b"),
    "unclear": ("?", "#8a5a00"),
    "not checked": ("–", "#444444"),
}
_SCOPES = {
    "transparency": (150, 105),
    "translatability": (290, 105),
    "decomposability": (150, 195),
    "explainability": (290, 195),
}


@page.register
def _(report: Report) -> str:
    origin = _origin(report)
    parts = [
        _header(report, origin),
        _panel(report.panel, origin, "What the network looked at", _panel_words(report), _badges(report)),
        _contrast(report, origin),
        _evaluation(report),
        _map(report),
        _refused(report),
        _provenance(report),
    ]
    title = escape(report.title)
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        f"content='width=device-width,initial-scale=1'><title>{title}</title><style>body{{margin:0}}{STYLE}</style></head>"
        f"<body><main class='pellucid'>{''.join(parts)}</main></body></html>\n"
    )


def _origin(report: Report) -> Origin | None:
    if report.shown is not None:
        return report.shown
    if isinstance(report.kept, bytes):
        picture = Image.open(io.BytesIO(report.kept)).convert("RGB")
        return Origin(picture, "picture", None, (0, 0, *picture.size))
    return None if report.kept is None else Origin(report.kept)


def _header(report: Report, origin: Origin | None) -> str:
    rows = []
    for row in report.top():
        probability = row["probability"]
        share = "" if probability is None else f"<td class='n'>{probability:.1%}</td><td>{bar(probability)}</td>"
        rows.append(f"<tr><th scope='row'>{escape(row['label'])}</th><td class='n'>{row['score']:.3f}</td>{share}</tr>")
    head = "" if report.probabilities is None else "<th class='n'>probability</th><th></th>"
    return (
        f"<p class='small'>Pellucid · {escape(report.subject)}</p><h1>{escape(report.title)}</h1>"
        f"<div class='brief'>{items(report.statements)}</div>"
        f"<h2>What was given, and what the network answered</h2><div class='row'>{shown_input(origin)}"
        f"<table><thead><tr><th>answer</th><th class='n'>score</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _panel_words(report: Report) -> str:
    return (
        f"Each map answers its own question about <em>{escape(report.question)}</em>. Red speaks for it, blue against it, "
        "white is neutral; every map is scaled by its own strongest places, so compare where they point, not how strong "
        "their colours are."
    )


def _panel(
    panel: tuple[Attribution, ...], origin: Origin | None, heading: str, words: str, badges: Sequence[str] = ()
) -> str:
    beside = badges or [""] * len(panel)
    cards = "".join(_card(result, origin, badge) for result, badge in zip(panel, beside, strict=True))
    return f"<h2>{escape(heading)}</h2><p>{words}</p>{legend()}<div class='cards'>{cards}</div>"


def _badges(report: Report) -> list[str]:
    """The evidence of every explanation of the panel, a mark and a sentence each."""
    if report.evaluation is None and not report.checks:
        return []
    return [_badge(report.evidence(name)) for name in judging.names(report.panel)]


def _badge(findings: Sequence[Finding]) -> str:
    lines = "".join(
        f"<li><span style='color:{_MARKS[finding.result][1]}' aria-hidden='true'>{_MARKS[finding.result][0]}</span> "
        f"<strong>{escape(finding.what)}: {escape(finding.result)}.</strong> {escape(finding.means)}.</li>"
        for finding in findings
    )
    return f"<div class='evidence'><strong>Evidence</strong><ul>{lines}</ul></div>"


def _card(result: Attribution, origin: Origin | None, badge: str) -> str:
    spec = entry(result.provenance.method) if result.provenance else {"question": "", "caveat": ""}
    return (
        f"<section class='card'><h3>{escape(heading_of(result))}</h3><p class='question'>{escape(spec['question'])}</p>"
        f"{figure(result, 0, origin)}{badge}{table_beside(result, 0, origin)}{trust_facts(result, 0)}"
        f"<p class='caveat'><strong>How it can mislead.</strong> {escape(spec['caveat'])}</p></section>"
    )


def _contrast(report: Report, origin: Origin | None) -> str:
    if not report.contrast or report.foil is None:
        return ""
    target, foil = report.name(report.target), report.name(report.foil)
    words = (
        f"These maps explain the <em>difference</em> between the scores of {escape(target)} and {escape(foil)}: red places "
        f"speak for {escape(target)}, blue places for {escape(foil)}."
    )
    return _panel(report.contrast, origin, f"Why {target} rather than {foil}?", words)


def _evaluation(report: Report) -> str:
    if report.evaluation is None:
        return ""
    return (
        "<h2>How good are these maps?</h2><p>If a map is right, destroying the places it calls important must make the "
        "score fall faster than destroying places chosen by something that knows nothing about the network.</p>"
        f"{evaluation_fragment(report.evaluation)}"
    )


def _map(report: Report) -> str:
    specs = [entry(result.provenance.method) for result in report.panel if result.provenance]
    rows = "".join(
        f"<tr><td class='n'>{number}</td><th scope='row'>{escape(spec['title'])}</th><td>{', '.join(spec['scopes'])}</td>"
        f"<td>{', '.join(spec['dimensions'])}</td><td>{', '.join(spec['askers'])}</td><td>{escape(spec['cost'])}</td></tr>"
        for number, spec in enumerate(specs, 1)
    )
    return (
        "<h2>Where on the map of interpretability these methods lie</h2><div class='row'>"
        f"{_circles([spec['scopes'] for spec in specs])}<table><thead><tr><th></th><th>method</th><th>scopes</th>"
        f"<th>dimensions</th><th>useful to</th><th>cost</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _circles(scopes: list[list[str]]) -> str:
    parts = []
    for name, (x, y) in _SCOPES.items():
        anchor, outside = ("end", x - 60) if x < 220 else ("start", x + 60)
        parts.append(
            f"<circle cx='{x}' cy='{y}' r='{_RADIUS}' fill='#0072b2' fill-opacity='.09' stroke='#0072b2' stroke-opacity='.6'/>"
            f"<text x='{outside}' y='{y - 72 if y < 150 else y + 82}' text-anchor='{anchor}'>{name}</text>"
        )
    placed: list[tuple[int, int]] = []
    for number, names in enumerate(scopes):
        across, down = place_of(names, placed)
        placed.append((across, down))
        parts.append(
            f"<circle cx='{across}' cy='{down}' r='10' fill='#d55e00'/><text x='{across}' y='{down + 4}' "
            f"text-anchor='middle' fill='white' font-weight='bold'>{number + 1}</text>"
        )
    return (
        "<svg role='img' aria-label='Four overlapping scopes of interpretability with the methods of this report as numbers' "
        f"viewBox='-40 0 520 300' width='520' font-family='system-ui, sans-serif' font-size='12'>{''.join(parts)}</svg>"
    )


def place_of(names: Sequence[str], placed: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Where a method's dot lies: inside the circles of its own scopes only, as far from their edges as the dots that
    are there already allow."""

    def room(spot: tuple[int, int]) -> float:
        edges = [(_RADIUS - math.dist(spot, centre)) * (1 if name in names else -1) for name, centre in _SCOPES.items()]
        return min([*edges, *(math.dist(spot, other) - 2 * _DOT for other in placed)])

    return max(((x, y) for x in range(50, 391, 4) for y in range(10, 291, 4)), key=room)


def _refused(report: Report) -> str:
    if not report.refused:
        return ""
    lines = [f"{name}: {reason}" for name, reason in report.refused.items()]
    return f"<h2>What could not be asked</h2>{items(lines)}"


def _provenance(report: Report) -> str:
    rows = []
    for result in (*report.panel, *report.contrast, *([report.evaluation] if report.evaluation else [])):
        origin = result.provenance
        if origin is None:
            continue
        fields = ", ".join(f"{name}={value}" for name, value in origin.fields.items() if value is not None)
        cost = ", ".join(f"{number:.0f} {unit}" for unit, number in origin.cost.items() if unit in "FB" and number)
        rows.append(
            f"<tr><th scope='row'>{escape(origin.method)}</th><td>{escape(fields)}</td><td class='n'>{cost}</td></tr>"
        )
    first = next((result.provenance for result in report.panel if result.provenance), None)
    versions = "" if first is None else ", ".join(f"{name} {version}" for name, version in first.versions.items())
    fingerprints = "" if first is None else f"subject {first.subject_fingerprint}, question {first.query_fingerprint}"
    ask = f"pellucid explain INPUT --subject {shlex.quote(report.subject)} --target {report.target}"
    python = f"pl.explain(pl.load({report.subject!r}), INPUT, target={report.target})"
    return (
        "<h2>Asking again</h2><p>The same call on the same machine gives the same answer.</p>"
        f"<pre>{escape(ask)}\n{escape(python)}</pre><table><thead><tr><th>method</th><th>settings</th><th class='n'>cost</th></tr>"
        f"</thead><tbody>{''.join(rows)}</tbody></table><p class='small'>Versions: {escape(versions)}. Fingerprints: "
        f"{escape(fingerprints)}. This page shows the input it explains: treat it as you treat the input.</p>"
    )
