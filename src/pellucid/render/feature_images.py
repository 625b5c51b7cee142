"""Feature images: a sheet of the pictures with their units, and a page with the evidence beside each."""

from html import escape

import numpy as np
from PIL import Image

from pellucid.core.result import page, plot
from pellucid.render.fragments import STYLE, caveat_of, heading_of
from pellucid.render.heatmap import data_uri, png
from pellucid.render.sheet import sheet
from pellucid.results.feature_images import FeatureImages

_TILE, _LARGE, _MOST = 176, 336, 48


def pictures(result: FeatureImages, side: int) -> list[Image.Image]:
    """Each image as a picture whose longer side is ``side``: colour, grey, or a row of squares where it is a vector."""
    return [drawn(image.double().numpy(), side) for image in result.shown()]


def drawn(image: np.ndarray, side: int) -> Image.Image:
    """Values from 0 to 1 as a picture; small ones are enlarged without smoothing."""
    planes = _planes(image)
    values = (planes * 255).round().clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(values)
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    few = max(picture.size) * 3 <= side
    return picture.resize(size, Image.Resampling.NEAREST if few else Image.Resampling.LANCZOS)


def _planes(image: np.ndarray) -> np.ndarray:
    if image.ndim == 3 and image.shape[0] in (1, 3):
        return image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    if image.ndim == 3:
        return image.reshape(-1, image.shape[-1])
    if image.ndim == 2:
        return image
    side = int(np.sqrt(image.size))
    return image.reshape(side, side) if side > 1 and side * side == image.size else image.reshape(1, -1)


@plot.register
def _(result: FeatureImages) -> Image.Image:
    """The first 48 images, each with its unit, where it comes from and its activation."""
    tiles = [
        (tile, f"{result.units[n]}", f"{result.captions[n]}: {float(result.activations[n]):.3g}".lstrip(": "))
        for n, tile in enumerate(pictures(result, _TILE)[:_MOST])
    ]
    left = len(result) - len(tiles)
    return sheet(tiles, heading_of(result) + (f" (and {left} more)" if left else ""))


@page.register
def _(result: FeatureImages) -> str:
    cards = "".join(_card(result, number, tile) for number, tile in enumerate(pictures(result, _LARGE)))
    notes = "".join(f"<li>{escape(note)}</li>" for note in result.notes)
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}</h2><ul class='facts'>{notes}</ul>"
        f"<div class='cards'>{cards}</div>{caveat_of(result)}</div>"
    )


def _card(result: FeatureImages, number: int, tile: Image.Image) -> str:
    row = result.table()[number]
    title = ", ".join(part for part in (row["unit"], row["image"]) if part)
    measured = {name: value for name, value in row.items() if name not in ("unit", "image")}
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td class='n'>{'not measured' if value is None else f'{value:.4g}'}</td></tr>"
        for name, value in measured.items()
    )
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in (*result.stands_for(number), *result.caveats(number)))
    alternative = escape(f"A synthetic picture that excites {title}", quote=True)
    return (
        f"<section class='card'><h3>{escape(title)}</h3><img alt='{alternative}' src='{data_uri(png(tile))}'>"
        f"<table>{rows}</table><ul class='facts'>{said}</ul></section>"
    )
