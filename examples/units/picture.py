"""A picture of a layer: a column per unit, and a row per way of drawing it."""

import numpy as np
from examples.units.answers import Answers, added
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_TILE, _GAP, _TEXT = 72, 6, 22


def picture(title: str, found: Answers, columns: int = 12) -> Image.Image:
    """The first units of the layer; grey is zero, or the middle of the values where all are positive."""
    rows = [("optimum of the activation", found.optima.images), ("sum of the filters below", found.sums.images)]
    if found.means is not None:
        rows.append(("what the unit adds to the mean of samples, while it is on", added(found.means)))
        rows.append(("the mean of samples while it is on", found.means.images))
    columns = min(columns, len(found.optima))
    width = columns * (_TILE + _GAP) + _GAP
    whole = Image.new("RGB", (width, _TEXT + _GAP + len(rows) * (_TEXT + _TILE + _GAP)), "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(14)
    draw.text((_GAP, _GAP // 2), title, fill="black", font=ImageFont.load_default(16))
    for number, (name, images) in enumerate(rows):
        top = _TEXT + _GAP + number * (_TEXT + _TILE + _GAP)
        draw.text((_GAP, top), name, fill="black", font=font)
        for column, tile in enumerate(_tiles(images)[:columns]):
            whole.paste(tile, (_GAP + column * (_TILE + _GAP), top + _TEXT))
    return whole


def _tiles(images: Tensor) -> list[Image.Image]:
    tiles = []
    for image in images[:, 0].double().numpy():
        signed = image.min() < 0
        shown = 0.5 + image / (2 * np.abs(image).max()) if signed else (image - image.min()) / np.ptp(image)
        tile = Image.fromarray((255 * shown).round().astype(np.uint8))
        tiles.append(tile.resize((_TILE, _TILE), Image.Resampling.NEAREST))
    return tiles
