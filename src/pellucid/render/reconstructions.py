"""Reconstructions below the inputs whose codes they were made from, with what each misses."""

from html import escape

from PIL import Image

from pellucid.core.result import page, plot
from pellucid.render.charts import bars_picture
from pellucid.render.fragments import STYLE, background, caveat_of, heading_of, items
from pellucid.render.heatmap import data_uri, png
from pellucid.render.picture_rows import Row, as_picture, picture_rows, squeezed
from pellucid.results.reconstructions import Reconstructions


@plot.register
def _(result: Reconstructions) -> Image.Image:
    """A column per example: its picture where it is still known, and one reconstruction per start; bars of the errors where
    the examples are no pictures."""
    if result.images.ndim != 5:
        rows = [(f"example {row['example']}, start {row['start']}", row["error"]) for row in result.table()]
        return bars_picture(rows, f"what is missed of the code at {result.layer}")
    examples = range(len(result))
    sources = [None if result.query is None else background(result, example) for example in examples]
    rows_of = (
        []
        if None in sources
        else [Row("example", [squeezed(source, result.images) for source in sources if source is not None])]
    )
    for start in range(result.images.shape[1]):
        made = [as_picture(result.images[example, start], result.low, result.high) for example in examples]
        told = [
            f"misses {float(result.error[example, start]):.1%}\nr = {float(result.correlation[example, start]):.2f}"
            for example in examples
        ]
        rows_of.append(Row(f"from its code,\nstart {start + 1}", made, told))
    return picture_rows(f"Made from codes at {result.layer}", rows_of)


@page.register
def _(result: Reconstructions) -> str:
    picture = result.plot()
    alternative = f"Examples, and what was made from their codes at {result.layer}."
    rows = "".join(
        f"<tr><th scope='row'>{row['example']}, start {row['start']}</th><td class='n'>{row['error']:.2%}</td>"
        f"<td class='n'>{row['strength']:.3f}</td><td class='n'>{row['correlation']:.2f}</td>"
        f"<td class='n'>{_known(row['nearest other example'])}</td></tr>"
        for row in result.table()
    )
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}: {escape(result.layer)}</h2>"
        f"<figure><img alt='{escape(alternative, quote=True)}' src='{data_uri(png(picture, max(picture.size)))}'></figure>"
        f"{items(result.summary().splitlines())}<table><thead><tr><th>example</th><th class='n'>missed of the code</th>"
        "<th class='n'>strength of the code</th><th class='n'>correlation of pixels</th>"
        f"<th class='n'>missed by the nearest other example</th></tr></thead><tbody>{rows}</tbody></table>"
        f"{caveat_of(result)}</div>"
    )


def _known(value: float | None) -> str:
    return "no other" if value is None else f"{value:.0%}"
