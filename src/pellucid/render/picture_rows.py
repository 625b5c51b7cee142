"""Rows of pictures that belong together column by column, such as sources above what was made of their codes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

TILE = 128
_GAP, _TEXT, _LEFT, _LEAST = 8, 18, 120, 320


@dataclass(frozen=True)
class Row:
    """One row: what it shows, its pictures (None where there is none), and a caption below each."""

    name: str
    pictures: Sequence[Image.Image | None]
    captions: Sequence[str] = ()


def as_picture(point: Tensor, low: Tensor | None, high: Tensor | None) -> Image.Image:
    """A point ``[channels, height, width]`` as a picture: from ``low`` to ``high``, without bounds from its least value to
    its greatest. Other than three channels are shown as their mean, in grey."""
    low = point.amin() if low is None else low
    high = point.amax() if high is None else high
    light = ((point - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    light = light if len(light) == 3 else light.mean(0, keepdim=True)
    pixels = np.asarray(light.mul(255).round().byte().permute(1, 2, 0))
    return Image.fromarray(pixels[:, :, 0] if len(light) == 1 else pixels)


def squeezed(picture: Image.Image, like: Tensor) -> Image.Image:
    """The picture with its sides in the proportion in which a point ``[…, height, width]`` shows it."""
    height, width = like.shape[-2:]
    scale = max(TILE, height, width) / max(height, width)
    return picture.convert("RGB").resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)


def enlarged(picture: Image.Image, side: int = TILE) -> Image.Image:
    """The picture with its longest side as long as asked, its pixels visible where it was smaller."""
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    way = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    return picture.convert("RGB").resize(size, way)


def picture_rows(title: str, rows: Sequence[Row]) -> Image.Image:
    """All rows below each other, their names on the left and the title on top."""
    font, strong = ImageFont.load_default(13), ImageFont.load_default(16)
    columns = max(len(row.pictures) for row in rows)
    heights = [TILE + _GAP + (_TEXT * _lines(row) if row.captions else 0) for row in rows]
    width = max(_LEFT + columns * (TILE + _GAP) + _GAP, round(strong.getlength(title)) + 2 * _GAP, _LEAST)
    whole = Image.new("RGB", (width, sum(heights) + _TEXT + 3 * _GAP), "white")
    draw, top = ImageDraw.Draw(whole), _TEXT + 2 * _GAP
    draw.text((_GAP, _GAP), title, fill="black", font=strong)
    for row, height in zip(rows, heights, strict=True):
        draw.multiline_text((_GAP, top + TILE // 2), row.name, fill="black", font=font, anchor="lm")
        for column, picture in enumerate(row.pictures):
            left = _LEFT + column * (TILE + _GAP)
            if picture is not None:
                tile = enlarged(picture)
                whole.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
            if row.captions:
                draw.multiline_text((left, top + TILE + 2), row.captions[column], fill="black", font=font)
        top += height
    return whole


def _lines(row: Row) -> int:
    return max(caption.count("\n") + 1 for caption in row.captions)
