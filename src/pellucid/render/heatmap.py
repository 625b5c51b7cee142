"""Heat maps over pictures, and where in the picture their evidence lies, in words and numbers."""

import base64
import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from pellucid.render.colours import signed
from pellucid.results.attribution import Attribution

PLACES = (
    "top left", "top centre", "top right",
    "middle left", "centre", "middle right",
    "bottom left", "bottom centre", "bottom right",
)  # fmt: skip
PERCENTILE = 99.5


def is_picture(result: Attribution) -> bool:
    """Whether the scores of a result lie on the pixels of a picture."""
    return result.at == "input" and result.scores.ndim == 4 and min(result.scores.shape[2:]) > 1


def plane(result: Attribution, example: int = 0) -> np.ndarray:
    """One value per pixel ``[height, width]``: each region's own score where features are regions, else the sum over
    channels."""
    scores, segments = result.scores[example].double(), result.features.segments[example]
    if result.features.kind in ("pixel", "element"):
        return scores.sum(0).numpy()
    values = result.by_feature()[example].double()
    shown = values[segments.clamp(min=0)].masked_fill(segments < 0, 0.0)
    return shown.expand_as(scores).mean(0).numpy()


def smoothed(result: Attribution, values: np.ndarray) -> tuple[np.ndarray, float]:
    """The plane as it is drawn and the width of its smoothing in pixels: scores of single pixels are spread by a Gaussian
    of a hundredth of the side, because an eye cannot read speckles; scores of regions are drawn as they are."""
    if result.features.kind not in ("pixel", "element"):
        return values, 0.0
    width = max(values.shape) / 100
    return gaussian_filter(values, width), width


def limit(values: np.ndarray) -> float:
    """What counts as full colour: the 99.5th percentile of the absolute values, at least the smallest positive
    number."""
    return max(float(np.percentile(np.abs(values), PERCENTILE)), float(np.abs(values).max()) * 1e-6, 1e-30)


def overlay(
    values: np.ndarray,
    picture: Image.Image | None,
    box: tuple[int, int, int, int] | None = None,
    largest: float | None = None,
) -> Image.Image:
    """A map over a pale grey version of the picture, at the picture's own size; on white where there is no picture.

    ``box`` is the part of the picture that the network saw; the rest is shown without colour. ``largest`` is what has full
    colour, where maps are to be compared; else the map's own limit.
    """
    scaled = values / (limit(values) if largest is None else largest)
    if picture is None:
        return on_picture(signed(scaled), None)
    left, top, right, bottom = box or (0, 0, *picture.size)
    grown = Image.fromarray(scaled.astype(np.float32)).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    return on_picture(signed(np.asarray(grown)), picture, box)


def on_picture(
    colours: np.ndarray, picture: Image.Image | None, box: tuple[int, int, int, int] | None = None
) -> Image.Image:
    """A map of sRGB bytes ``[height, width, 3]`` over a pale grey version of the picture, as in :func:`overlay`."""
    if picture is None:
        side = max(1, 336 // max(colours.shape[:2]))
        return Image.fromarray(colours).resize(
            (colours.shape[1] * side, colours.shape[0] * side), Image.Resampling.NEAREST
        )
    left, top, right, bottom = box or (0, 0, *picture.size)
    full = np.broadcast_to(signed(np.zeros(())), (picture.height, picture.width, 3)).copy()
    grown = Image.fromarray(colours).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    full[top:bottom, left:right] = np.asarray(grown)
    grey = np.asarray(picture.convert("L"), dtype=np.float32)[:, :, None] / 255
    return Image.fromarray((full * (0.45 + 0.55 * grey)).round().astype(np.uint8))


def places(values: np.ndarray) -> list[dict[str, float | str]]:
    """The share of all positive and of all negative score in each ninth of the map."""
    rows, columns = (np.arange(size) * 3 // size for size in values.shape)
    ninth = rows[:, None] * 3 + columns[None]
    positive = np.bincount(ninth.ravel(), np.clip(values, 0, None).ravel(), 9)
    negative = np.bincount(ninth.ravel(), np.clip(-values, 0, None).ravel(), 9)
    totals = [max(float(side.sum()), 1e-30) for side in (positive, negative)]
    return [
        {"place": place, "for": float(positive[i]) / totals[0], "against": float(negative[i]) / totals[1]}
        for i, place in enumerate(PLACES)
    ]


def png(picture: Image.Image, largest: int = 448) -> bytes:
    """The picture as PNG, no side longer than ``largest`` pixels."""
    shown = picture.copy()
    shown.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def jpeg(picture: Image.Image, largest: int = 448) -> bytes:
    """The picture as JPEG, no side longer than ``largest`` pixels: for photographs and maps over them."""
    shown = picture.convert("RGB")
    shown.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def data_uri(content: bytes) -> str:
    """Picture bytes as an inline address."""
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
