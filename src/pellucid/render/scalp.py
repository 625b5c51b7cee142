"""Maps of the scalp: one value per electrode, drawn on a head that is seen from above, nose up."""

import functools
import math
from collections.abc import Collection, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.interpolate import RBFInterpolator

from pellucid.core.errors import UsageError, nearest
from pellucid.render.colours import signed, text_on

_RING = ("Fpz", "Fp1", "AF7", "F7", "FT7", "T7", "TP7", "P7", "PO7", "O1", "Oz")
_LOWER = ("Nz", "", "", "F9", "FT9", "T9", "TP9", "P9", "PO9", "", "Iz")
_MIDLINE = ("AFz", "Fz", "FCz", "Cz", "CPz", "Pz", "POz")
_FORMER = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
_FINER, _HEAD = 2, 1.08  # drawn larger by this and shrunk; the outline lies outside the lowest electrodes by this


@functools.cache
def positions() -> Mapping[str, tuple[float, float]]:
    """Where the electrodes of the 10-10 system lie, by name: (to the right, to the front).

    Distances from the vertex are angles along the head, as shares of the 90° to its rim (an azimuthal equidistant map).
    The system divides lines between landmarks into tenths: a ring 18° above the rim carries one electrode every 18°, the
    midline one every 18°, and rows lie on the circles through both, with three electrodes between ring and midline.
    """
    points: dict[str, np.ndarray] = {}
    for number, (upper, lower) in enumerate(zip(_RING, _LOWER, strict=True)):
        points |= {upper: _on_sphere(72, -18 * number), lower: _on_sphere(90, -18 * number)}
    for number, name in enumerate(_MIDLINE):
        middle, end = _on_sphere(54 - 18 * number, 0), points[_RING[number + 2]]
        row = name.removesuffix("z")
        points |= {name: middle} | {f"{row}{7 - 2 * n}": _on_arc(middle, end, 1 - n / 4) for n in (1, 2, 3)}
    points.pop("")
    placed = {name: _flat(point) for name, point in points.items()}
    mirrored = {_mirrored(name): (-x, y) for name, (x, y) in placed.items() if not name.endswith("z")}
    return placed | mirrored


def scalp(
    values: Mapping[str, float], *, limit: float | None = None, marked: Collection[str] = (), side: int = 480
) -> Image.Image:
    """A picture of the head with the values interpolated between their electrodes: red positive, blue negative.

    Names are those of the 10-10 system in any case (``"Oz"``, ``"FP1"``; also the former T3 to T6). ``limit`` is the
    value of full colour, by default the largest absolute one: give maps that are compared the same. Electrodes in
    ``marked`` get a ring. The interpolation is a thin-plate spline, which is exact at the electrodes.

    Raises ``UsageError`` for a name the system does not have, and for fewer than three electrodes or all on one line.
    """
    names = [_electrode(name) for name in values]
    places = np.array([positions()[_FORMER.get(name, name)] for name in names])
    numbers = np.array([float(value) for value in values.values()])
    shares = numbers / (limit or float(np.abs(numbers).max(initial=0)) or 1.0)
    size, rings = side * _FINER, {_electrode(name) for name in marked}
    middle, unit = size / 2, size * 0.38
    colours, inside = _field(places, shares, unit, size)
    canvas = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(canvas)
    _draw_nose_and_ears(draw, middle, unit * _HEAD)
    canvas.paste(Image.fromarray(colours), mask=Image.fromarray(inside))
    _circle(draw, (middle, middle), unit * _HEAD, size / 240)
    font = ImageFont.load_default(size / 44)
    for name, share, (x, y) in zip(names, shares, places, strict=True):
        spot = (middle + x * unit, middle - y * unit)
        draw.text(spot, name, fill=text_on(share), font=font, anchor="mm")
        if name in rings:
            _circle(draw, spot, unit * 0.085, size / 320)
    return canvas.resize((side, side), Image.Resampling.LANCZOS)


def _on_sphere(from_vertex: float, from_nose: float) -> np.ndarray:
    """A point (right, front, up) on the unit sphere, by two angles in degrees; beyond the vertex is behind it."""
    polar, turn = math.radians(from_vertex), math.radians(from_nose)
    return np.array([math.sin(polar) * math.sin(turn), math.sin(polar) * math.cos(turn), math.cos(polar)])


def _on_arc(middle: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """The point at ``share`` of the way from ``middle`` to ``end`` on the circle through both and the mirrored end."""
    foot, half = end * [0, 1, 1], -end[0]
    height = float(np.linalg.norm(middle - foot))
    centre = (height**2 - half**2) / (2 * height)
    radius, angle = height - centre, math.atan2(half, -centre) * share
    return foot + (middle - foot) / height * (centre + radius * math.cos(angle)) - [radius * math.sin(angle), 0, 0]


def _flat(point: np.ndarray) -> tuple[float, float]:
    right, front, up = point
    distance = math.acos(float(np.clip(up, -1, 1))) / (math.pi / 2)
    turn = math.atan2(right, front)
    return distance * math.sin(turn), distance * math.cos(turn)


def _mirrored(name: str) -> str:
    letters = name.rstrip("0123456789")
    return f"{letters}{int(name.removeprefix(letters)) + 1}"


def _electrode(name: str) -> str:
    """The name as the system writes it, from any case and with the dots that some files add."""
    known = {entry.lower(): entry for entry in (*positions(), *_FORMER)}
    wanted = name.strip(" .").lower()
    if wanted not in known:
        raise UsageError(f"there is no electrode {name!r} in the 10-10 system; {nearest(name, list(known.values()))}")
    return known[wanted]


def _field(places: np.ndarray, values: np.ndarray, unit: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The colours of the whole square and where the head is in it. The spline is smooth: a coarse grid carries it."""
    if len(places) < 3 or np.linalg.matrix_rank(np.column_stack([np.ones(len(places)), places]), tol=1e-6) < 3:
        raise UsageError("a map of the scalp needs at least three electrodes that do not lie on one line")
    steps = np.linspace(-size / 2, size / 2, 121) / unit
    grid = np.stack(np.meshgrid(steps, -steps), axis=-1).reshape(-1, 2)
    field = RBFInterpolator(places, values, kernel="thin_plate_spline")(grid).reshape(121, 121)
    grown = Image.fromarray(field.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC)
    rows, columns = np.ogrid[:size, :size]
    inside = np.hypot(rows + 0.5 - size / 2, columns + 0.5 - size / 2) <= unit * _HEAD
    return signed(np.asarray(grown)), inside.astype(np.uint8) * 255


def _draw_nose_and_ears(draw: ImageDraw.ImageDraw, middle: float, radius: float) -> None:
    width = round(radius / 50)
    nose = [(middle - 0.1 * radius, middle - 0.99 * radius), (middle, middle - 1.13 * radius)]
    draw.line([*nose, (middle + 0.1 * radius, nose[0][1])], fill="black", width=width, joint="curve")
    for way in (-1, 1):
        across = middle + way * 1.01 * radius
        ear = (across - 0.07 * radius, middle - 0.2 * radius, across + 0.07 * radius, middle + 0.2 * radius)
        draw.ellipse(ear, outline="black", width=width)


def _circle(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, width: float) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline="black", width=max(1, round(width)))
