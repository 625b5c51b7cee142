"""A decoder by what it makes of pictures that it did not see: each above its reconstruction, and how training went."""

from html import escape

from PIL import Image

from pellucid.core.result import page, plot
from pellucid.render.fragments import STYLE, background, caveat_of, heading_of, items
from pellucid.render.heatmap import data_uri, png
from pellucid.render.picture_rows import Row, as_picture, picture_rows, squeezed
from pellucid.results.decoder import Decoder


@plot.register
def _(result: Decoder) -> Image.Image:
    """Pictures that were held out, where they are still known, above their reconstructions and what these miss."""
    numbers = result.held_out[: len(result.reconstructions)].tolist()
    rows = []
    sources = [None if result.query is None else background(result, number) for number in numbers]
    if None not in sources:
        rows.append(
            Row("picture", [squeezed(source, result.reconstructions) for source in sources if source is not None])
        )
    made = [as_picture(picture, result.low, result.high) for picture in result.reconstructions]
    told = [f"misses {error:.0%}\nof code {code:.0%}" for error, code in result.errors.T[: len(made)].tolist()]
    rows.append(Row("decoded from\nits code", made, told))
    return picture_rows(f"Decoded from {result.layer}: pictures that were held out", rows)


@page.register
def _(result: Decoder) -> str:
    alternative = f"Pictures that were held out, and what the decoder makes of their codes at {result.layer}."
    picture = result.plot()
    last = ", ".join(f"{name} {float(curve[-1]):.3g}" for name, curve in result.curves.items())
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}: {escape(result.layer)}</h2>"
        f"<figure><img alt='{escape(alternative, quote=True)}' src='{data_uri(png(picture, max(picture.size)))}'></figure>"
        f"{items(result.summary().splitlines())}<p class='small'>Losses at the last step: {escape(last)}.</p>"
        f"{caveat_of(result)}</div>"
    )
