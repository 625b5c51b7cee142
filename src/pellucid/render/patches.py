"""Cut-outs of pictures and of what was projected back onto them, as tiles of one size."""

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from pellucid.core.subject import Inputs

_SIDE, _FRAME = 200, "#e69f00"
Box = tuple[float, float, float, float]


def picture_of(inputs: Inputs, row: int) -> tuple[Image.Image, Box]:
    """One example as a person sees it, and the part of it (left, top, right, bottom) that the network saw."""
    origin = inputs.origins[row] if inputs.origins else None
    if origin is not None and hasattr(origin.raw, "convert"):
        picture = origin.raw.convert("RGB")
        return picture, tuple(map(float, origin.box or (0, 0, *picture.size)))  # type: ignore[return-value]
    picture = Image.fromarray(_bytes(inputs.value[row], centred=False))
    return picture, (0.0, 0.0, float(picture.width), float(picture.height))


def patch(inputs: Inputs, row: int, region: Tensor | None, side: int) -> Image.Image:
    """What lies in a region (top, left, bottom, right, in the network's pixels) of an example's picture."""
    picture, seen = picture_of(inputs, row)
    return fitted(picture.crop(tuple(map(round, _within(inputs, seen, region)))), side)  # type: ignore[arg-type]


def framed(inputs: Inputs, row: int, region: Tensor | None, side: int) -> Image.Image:
    """The whole picture, the region framed."""
    picture, seen = picture_of(inputs, row)
    tile = fitted(picture, side)
    scale = tile.width / picture.width
    left, top, right, bottom = (place * scale for place in _within(inputs, seen, region))
    ImageDraw.Draw(tile).rectangle((left, top, right - 1, bottom - 1), outline=_FRAME, width=3)
    return tile


def projection(scores: Tensor, region: Tensor | None) -> Image.Image:
    """A projection ``[channels, height, width]`` in its own colours around a middle grey, cut to the region."""
    if region is not None:
        top, left, bottom, right = region.tolist()
        scores = scores[:, top:bottom, left:right]
    return fitted(Image.fromarray(_bytes(scores, centred=True)), _SIDE)


def fitted(picture: Image.Image, side: int) -> Image.Image:
    """The picture with its longer side ``side``; small ones keep sharp pixels."""
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.convert("RGB").resize(size, Image.Resampling.NEAREST if scale > 3 else Image.Resampling.LANCZOS)


def beside(*tiles: Image.Image, side: int, gap: int = 4) -> Image.Image:
    """Tiles in a row, each in the middle of a square."""
    whole = Image.new("RGB", (len(tiles) * side + (len(tiles) - 1) * gap, side), "white")
    for number, tile in enumerate(tiles):
        whole.paste(tile, (number * (side + gap) + (side - tile.width) // 2, (side - tile.height) // 2))
    return whole


def _within(inputs: Inputs, seen: Box, region: Tensor | None) -> Box:
    left, top, right, bottom = seen
    if region is None:
        return seen
    height, width = inputs.value.shape[2:]
    y0, x0, y1, x1 = region.tolist()
    across, down = (right - left) / width, (bottom - top) / height
    return left + x0 * across, top + y0 * down, left + x1 * across, top + y1 * down


def _bytes(values: Tensor, centred: bool) -> np.ndarray:
    """Channels as colours, or as grey where there are not three: from the lowest to the highest value, or 0 in the middle."""
    plane = values.double() if len(values) == 3 else values.double().sum(0, keepdim=True).expand(3, -1, -1)
    if centred:
        shares = 0.5 + plane / (2 * plane.abs().max().clamp(min=1e-30))
    else:
        shares = (plane - plane.min()) / (plane.max() - plane.min()).clamp(min=1e-30)
    return shares.mul(255).round().byte().permute(1, 2, 0).numpy()
