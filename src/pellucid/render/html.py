"""Results as static HTML and as pictures; registers both for every kind, so that a result can show itself anywhere."""

from html import escape
from typing import Any

from PIL import Image

from pellucid.core.result import page, plot
from pellucid.core.subject import Origin
from pellucid.render import change as _change  # noqa: F401  (registers its picture and page)
from pellucid.render import class_response as _class_response  # noqa: F401  (registers its picture and page)
from pellucid.render import comparison as _comparison  # noqa: F401  (registers its picture and page)
from pellucid.render import counterfactual as _counterfactual  # noqa: F401  (registers its picture and page)
from pellucid.render import decoder as _decoder  # noqa: F401  (registers its picture and page)
from pellucid.render import evolution as _evolution  # noqa: F401  (registers its picture and page)
from pellucid.render import feature_images as _feature_images  # noqa: F401  (registers its picture and page)
from pellucid.render import health_report as _health_report  # noqa: F401  (registers its picture and page)
from pellucid.render import interactions as _interactions  # noqa: F401  (registers its picture and page)
from pellucid.render import picks as _picks  # noqa: F401  (registers its picture and page)
from pellucid.render import profile as _profile  # noqa: F401  (registers its picture and page)
from pellucid.render import prototypes as _prototypes  # noqa: F401  (registers its picture and page)
from pellucid.render import ranking as _ranking  # noqa: F401  (registers its picture and page)
from pellucid.render import reconstructions as _reconstructions  # noqa: F401  (registers its picture and page)
from pellucid.render import report as _report  # noqa: F401  (registers the page of a report)
from pellucid.render import response as _response  # noqa: F401  (registers its picture and page)
from pellucid.render import route as _route  # noqa: F401  (registers its picture and page)
from pellucid.render import simulation as _simulation  # noqa: F401  (registers its picture and page)
from pellucid.render import unit_labels as _unit_labels  # noqa: F401  (registers its picture and page)
from pellucid.render import unit_page as _unit_page  # noqa: F401  (registers its picture and page)
from pellucid.render import unit_report as _unit_report  # noqa: F401  (registers its picture and page)
from pellucid.render import weight_maps as _weight_maps  # noqa: F401  (registers its picture and page)
from pellucid.render import weight_scores as _weight_scores  # noqa: F401  (registers its picture and page)
from pellucid.render.charts import bars_picture
from pellucid.render.fragments import (
    STYLE,
    background,
    caveat_of,
    evaluation_fragment,
    figure,
    heading_of,
    raw_of,
    table_beside,
    trust_facts,
)
from pellucid.render.heatmap import is_picture, overlay, plane, smoothed
from pellucid.results.attribution import Attribution
from pellucid.results.evaluation import Evaluation

_BARS = 15


@plot.register
def _(result: Attribution, example: int = 0, picture: Any = None) -> Image.Image:
    """The heat map over ``picture`` (by default the one that was asked about), or bars of the strongest features."""
    if is_picture(result):
        drawn, _ = smoothed(result, plane(result, example))
        return overlay(drawn, background(result, example, picture))
    scores = result.by_feature()[example]
    order = scores.abs().argsort(descending=True, stable=True)[:_BARS].tolist()
    rows = [(result.label(example, number), float(scores[number])) for number in order]
    return bars_picture(rows, f"{heading_of(result)}: {result.question(example)}")


@plot.register
def _(result: Evaluation) -> Image.Image:
    rows = [(row["answer"], row["value"]) for row in result.table()]
    return bars_picture(rows, result.metric)


@page.register
def _(result: Attribution) -> str:
    parts = []
    for example in range(len(result)):
        origin = Origin(background(result, example) if is_picture(result) else raw_of(result, example))
        parts.append(
            f"<section class='card'><h3>{escape(heading_of(result))}: {escape(result.question(example))}</h3>"
            f"{figure(result, example, origin)}{table_beside(result, example, origin)}{trust_facts(result, example)}</section>"
        )
    return f"<div class='pellucid'><style>{STYLE}</style>{''.join(parts)}{caveat_of(result)}</div>"


@page.register
def _(result: Evaluation) -> str:
    return f"<div class='pellucid'><style>{STYLE}</style>{evaluation_fragment(result)}</div>"
