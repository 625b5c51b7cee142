"""Pieces of pages: the figure of one explanation, the table beside it, and how far to trust it."""

from collections.abc import Sequence
from html import escape
from typing import Any

from PIL import Image
from torch import Tensor

from pellucid.core.catalogue import entry
from pellucid.core.result import Result
from pellucid.core.subject import Inputs, Origin
from pellucid.render.charts import intervals, signed_bar
from pellucid.render.heatmap import PERCENTILE, data_uri, is_picture, jpeg, limit, overlay, places, plane, png, smoothed
from pellucid.render.tokens import coloured_text
from pellucid.results.attribution import Attribution
from pellucid.results.evaluation import Evaluation
from pellucid.tasks.pictures import open_picture

STYLE = """
.pellucid{font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:#1a1a1a;background:#fff;max-width:68rem;margin:0 auto;
padding:1.5rem}
.pellucid h1{font-size:1.9rem;line-height:1.2;margin:.2rem 0 1rem}.pellucid h2{margin:2.2rem 0 .6rem;font-size:1.35rem;
border-bottom:2px solid #ddd;padding-bottom:.2rem}.pellucid h3{margin:.2rem 0 .3rem;font-size:1.1rem}
.pellucid img{max-width:100%;height:auto;border:1px solid #ccc;border-radius:3px;background:#fff}
.pellucid figure{margin:.4rem 0}.pellucid figcaption,.pellucid .small{font-size:.86rem;color:#444}
.pellucid table{border-collapse:collapse;font-size:.9rem;margin:.4rem 0}.pellucid th,.pellucid td{padding:.18rem .6rem;
text-align:left;border-bottom:1px solid #e3e3e3;vertical-align:top}.pellucid td.n,.pellucid th.n{text-align:right;
font-variant-numeric:tabular-nums;white-space:nowrap}.pellucid .card{min-width:0;overflow-x:auto}
.pellucid .card tbody th{overflow-wrap:anywhere}.pellucid .card th,.pellucid .card td{padding:.18rem .35rem}

.pellucid caption{text-align:left;padding-bottom:.2rem}.pellucid .cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(24rem,1fr));gap:1.1rem}
.pellucid .card{border:1px solid #ccc;border-radius:6px;padding:.9rem 1rem;break-inside:avoid}
.pellucid .brief{background:#f4f6f8;border-left:5px solid #0072b2;padding:.7rem 1.1rem;border-radius:0 6px 6px 0}
.pellucid .brief li{margin:.35rem 0}.pellucid .question{font-style:italic;margin:.1rem 0}
.pellucid .caveat{background:#fff8e6;border-left:4px solid #e69f00;padding:.35rem .7rem;font-size:.88rem;margin:.5rem 0}
.pellucid .evidence{border:1px solid #cfd8dc;background:#f7fafb;padding:.35rem .7rem;font-size:.88rem;margin:.5rem 0;border-radius:4px}
.pellucid .evidence ul{list-style:none;margin:.2rem 0;padding:0}
.pellucid .facts{font-size:.88rem;margin:.4rem 0;padding-left:1.1rem}.pellucid .token{padding:.05rem .12rem;border-radius:3px}
.pellucid .running{font-size:1.15rem;line-height:2}.pellucid .row{display:flex;gap:1.4rem;flex-wrap:wrap;align-items:flex-start}
.pellucid svg{max-width:100%;height:auto}.pellucid code,.pellucid pre{font:0.85rem/1.45 ui-monospace,Menlo,Consolas,monospace}
.pellucid pre{background:#f4f4f4;padding:.6rem .8rem;border-radius:4px;overflow-x:auto;white-space:pre-wrap}
@media print{.pellucid{max-width:none;padding:0;font-size:11pt}
.pellucid caption{text-align:left;padding-bottom:.2rem}.pellucid .cards{grid-template-columns:1fr 1fr}
.pellucid .card,.pellucid figure,.pellucid table{break-inside:avoid}.pellucid *{-webkit-print-color-adjust:exact;
print-color-adjust:exact}}
"""

_STRONGEST = 8


def heading_of(result: Result) -> str:
    """The title of the method that answered."""
    return "An explanation" if result.provenance is None else str(entry(result.provenance.method)["title"])


def caveat_of(result: Result) -> str:
    """How the method that answered misleads."""
    return (
        ""
        if result.provenance is None
        else f"<p class='caveat'>{escape(entry(result.provenance.method)['caveat'])}</p>"
    )


def raw_of(result: Result, example: int) -> Any:
    """What was asked about, as it was given; None where the result does not know its query."""
    asked = getattr(result.query, "inputs", getattr(result.query, "data", None))
    if isinstance(asked, Inputs):
        return asked.origins[example].raw if asked.origins else None
    return asked[example] if isinstance(asked, list | tuple) else asked


def background(result: Result, example: int, picture: Any = None) -> Image.Image | None:
    """The picture that was asked about, or ``picture`` instead; None where that is only a tensor or not known."""
    source = raw_of(result, example) if picture is None else picture
    return None if source is None or isinstance(source, Tensor) else open_picture(source)[0]


def figure(result: Attribution, example: int, origin: Origin | None, largest: float | None = None) -> str:
    """The picture, the running text or the bars of one explanation, with a text alternative.

    ``largest`` is the score of full colour, where pictures are to be compared.
    """
    raw = None if origin is None else origin.raw
    if is_picture(result):
        values = plane(result, example)
        return picture_figure(result, example, raw, None if origin is None else origin.box, values, largest)
    spans = result.features.spans
    if spans is not None and isinstance(raw, str):
        scores = result.by_feature()[example].tolist()
        return f"<p class='running'>{coloured_text(raw, spans[example], scores)}</p>"
    return ""


def picture_figure(
    result: Attribution, example: int, picture: Any, box: Any, values: Any, largest: float | None = None
) -> str:
    """The heat map over the picture, as an inline picture with its meaning in the alternative text."""
    drawn, width = smoothed(result, values)
    image = overlay(drawn, picture, box, largest)
    content = png(image) if picture is None else jpeg(image)
    strongest = sorted(places(values), key=lambda row: -float(row["for"]))[:2]
    where = " and ".join(f"{row['place']} ({row['for']:.0%})" for row in strongest)
    alternative = (
        f"Heat map by {heading_of(result)} for {result.question(example)}: most of what speaks for it lies {where}."
    )
    full = limit(drawn) if largest is None else largest
    caption = f"full colour: {full:.3g} or more per place"
    if largest is None:
        caption += f" ({PERCENTILE} % of the places lie below)"
    if width:
        caption += f"; drawn with a smoothing of {width:.1f} pixels"
    return (
        f"<figure><img alt='{escape(alternative, quote=True)}' src='{data_uri(content)}'>"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def table_beside(result: Attribution, example: int, origin: Origin | None) -> str:
    """The same answer as a table: shares by place for a picture, else the strongest features."""
    if is_picture(result):
        return _places_table(result, example)
    scores = result.by_feature()[example]
    order = scores.abs().argsort(descending=True, stable=True)[:_STRONGEST].tolist()
    largest = max(float(scores.abs().max()), 1e-30)
    values = origin.raw if origin is not None and isinstance(origin.raw, dict) else {}
    lines = []
    for number in order:
        name = result.label(example, number)
        given = f"<td class='n'>{values[name]:.4g}</td>" if values else ""
        lines.append(
            f"<tr><th scope='row'>{escape(name)}</th>{given}<td class='n'>{float(scores[number]):+.3g}</td>"
            f"{_interval_cell(result, example, number)}<td>{signed_bar(float(scores[number]) / largest)}</td></tr>"
        )
    value_head = "<th class='n'>value</th>" if values else ""
    interval_head = "<th class='n'>95 % interval</th>" if result.interval is not None else ""
    more = f"<p class='small'>the {len(order)} strongest of {len(scores)}</p>" if len(scores) > len(order) else ""
    return (
        f"<table><thead><tr><th>{escape(result.features.kind)}</th>{value_head}<th class='n'>score</th>{interval_head}"
        f"<th>against · for</th></tr></thead><tbody>{''.join(lines)}</tbody></table>{more}"
    )


def _places_table(result: Attribution, example: int) -> str:
    cells = [
        f"<td><span aria-label='for'>▲</span> {row['for']:.0%}<br><span aria-label='against'>▽</span> {row['against']:.0%}</td>"
        for row in places(plane(result, example))
    ]
    rows = "".join(
        f"<tr><th scope='row'>{name}</th>{''.join(cells[3 * number : 3 * number + 3])}</tr>"
        for number, name in enumerate(("top", "middle", "bottom"))
    )
    return (
        "<table><caption class='small'>Where the evidence lies: share of all that speaks for (▲) and against (▽)</caption>"
        "<thead><tr><td></td><th scope='col'>left</th><th scope='col'>centre</th><th scope='col'>right</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def trust_facts(result: Attribution, example: int) -> str:
    """What the result itself says about how far to trust it, in plain words."""
    facts = [*statements_of(result, example)]
    cost = " and ".join(f"{number} {unit}" for unit, number in result.evaluations.items() if number)
    if cost:
        facts.append(f"Cost: {cost} (F: forward pass, B: forward and backward pass).")
    return "<ul class='facts'>" + "".join(f"<li>{escape(fact)}</li>" for fact in facts) + "</ul>"


def statements_of(result: Attribution, example: int) -> list[str]:
    """Residual, reach, convergence and fit of one explanation as sentences."""
    value = float(result.value[example])
    size = max(abs(value), 1e-12)
    said = [f"It explains a value of {value:.4g}."]
    if result.residual is not None:
        share = abs(float(result.residual[example])) / size
        said.append(f"Its scores leave {share:.2%} of the value unaccounted for.")
    if result.reaching is not None:
        share = float(result.reaching[example])
        said.append(f"{share:.0%} of the value arrives at the input{_absorbed(result, example)}.")
    if result.converged is not None and not bool(result.converged[example]):
        said.append("It did not reach its own tolerance: read it as approximate.")
    if "r2" in result.quality:
        said.append(
            f"Its simple model reproduces {float(result.quality['r2'][example]):.0%} of the variation it saw (R²)."
        )
    return [*said, *result.notes]


def evaluation_fragment(result: Evaluation) -> str:
    """Values with intervals against the control rows, as a chart and a table, with the protocol in words."""
    rows = [
        (row["answer"], row["value"], row["low"], row["high"], row["answer"].startswith("control"))
        for row in result.table()
    ]
    title = (
        f"{result.metric} of {len(result.names)} explanations and {len(result.control)} control rows, 95 % intervals"
    )
    cells = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td class='n'>{value:.4f}</td><td class='n'>{low:.4f} … {high:.4f}</td></tr>"
        for name, value, low, high, _ in rows
    )
    better = "higher is better" if result.higher_is_better else "lower is better"
    return (
        f"<div class='row'><figure>{intervals(rows, title)}<figcaption>{escape(result.metric)} ({better}); dots are "
        "explanations, squares are controls that know nothing about the network; bars are 95 % intervals</figcaption></figure>"
        f"<table><thead><tr><th>map</th><th class='n'>value</th><th class='n'>95 % interval</th></tr></thead>"
        f"<tbody>{cells}</tbody></table></div><p class='small'>{escape(' '.join([result.protocol, *result.notes]))}</p>"
    )


def shown_input(origin: Origin | None) -> str:
    """The input itself, as the network's owner would recognise it."""
    raw = None if origin is None else origin.raw
    if raw is None:
        return "<p class='small'>The input was not kept with this report.</p>"
    if isinstance(raw, str):
        return f"<p class='running'>{escape(raw)}</p>"
    if isinstance(raw, dict):
        cells = "".join(f"<tr><th scope='row'>{escape(k)}</th><td class='n'>{v:.6g}</td></tr>" for k, v in raw.items())
        return f"<table><thead><tr><th>column</th><th class='n'>value</th></tr></thead><tbody>{cells}</tbody></table>"
    if hasattr(raw, "convert"):
        name = escape(origin.name if origin else "picture", quote=True)
        return f"<figure><img alt='The picture {name} as it was given' src='{data_uri(jpeg(raw))}'></figure>"
    return ""


def items(lines: Sequence[str]) -> str:
    """A list of plain sentences."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _interval_cell(result: Attribution, example: int, feature: int) -> str:
    if result.interval is None:
        return ""
    low, high = (float(side[example][feature]) for side in result.interval)
    return f"<td class='n'>{low:+.3g} … {high:+.3g}</td>"


def _absorbed(result: Attribution, example: int) -> str:
    parts = [(name, float(amount[example])) for name, amount in result.absorbed.items()]
    size = max(abs(float(result.value[example])), 1e-12)
    told = [
        f"{name} {amount / size:+.0%}"
        for name, amount in sorted(parts, key=lambda p: -abs(p[1]))
        if abs(amount) > 0.005 * size
    ]
    return f"; the rest stays in {', '.join(told[:4])}" if told else ""
