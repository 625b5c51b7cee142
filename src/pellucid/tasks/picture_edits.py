"""Edits of pictures: a box filled, light and colours changed, turned, cut or mirrored."""

import re
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageColor, ImageEnhance, ImageFilter, ImageOps

from pellucid.core.errors import UsageError, nearest
from pellucid.core.subject import Edit
from pellucid.tasks.editing import statements, verb

_FORMS = {
    "box": "box LEFT,TOP,RIGHT,BOTTOM FILL",
    "crop": "crop LEFT,TOP,RIGHT,BOTTOM",
    "brightness": "brightness 1.5",
    "contrast": "contrast 0.5",
    "blur": "blur RADIUS",
    "rotate": "rotate DEGREES",
    "grey": "grey",
    "flip": "flip, or flip vertical",
}
_FILLS = ("mean", "blur", "black", "white", "grey")


def picture_edits(raw: Image.Image, script: str) -> tuple[Edit, ...]:
    """``box 20,30,90,80 blur`` (``mean``, its own mean colour, ``blur``, or a colour as its name or ``#rrggbb``),
    ``brightness 1.5``, ``contrast 0.5``, ``blur 4``, ``rotate 15`` (degrees, against the clock), ``grey``, ``flip`` (or
    ``flip vertical``) and ``crop 20,30,90,80``.

    Places are in pixels of the picture as it was given, counted from the upper left, or in per cent: ``25%,25%,75%,75%``.
    """
    found: list[Edit] = []
    picture = raw
    for statement in statements(script):
        edit = _edit(picture, statement)
        picture = edit.apply(picture)
        found.append(edit)
    return tuple(found)


def picture_changes(raw: Image.Image, other: Image.Image) -> tuple[Edit, ...]:
    """The one edit that puts another picture in the place of this one."""
    same = raw.size == other.size and raw.convert("RGB").tobytes() == other.convert("RGB").tobytes()
    return () if same else (Edit("another picture", lambda picture: other),)


def _edit(picture: Image.Image, statement: str) -> Edit:
    name, rest = verb(statement, tuple(_FORMS))
    match name, rest:
        case (("box" | "crop"), [*parts]) if parts:
            return _boxed(picture, name, parts, statement)
        case "grey", []:
            return Edit("without colours", lambda raw: ImageOps.grayscale(raw).convert(raw.mode))
        case "flip", []:
            return Edit("mirrored left to right", ImageOps.mirror)
        case "flip", ["vertical"]:
            return Edit("turned upside down as in a mirror", ImageOps.flip)
        case (("brightness" | "contrast" | "blur"), [amount]):
            return _by_amount(name, _number(amount, statement, name))
        case "rotate", [amount]:
            degrees = _number(amount, statement, name, least=-360)
            return Edit(f"rotated by {degrees:g} degrees", lambda raw: _rotated(raw, degrees))
    raise _unreadable(statement, name)


def _by_amount(name: str, amount: float) -> Edit:
    if name == "blur":
        return Edit(f"blurred by {amount:g} pixels", lambda raw: raw.filter(ImageFilter.GaussianBlur(amount)))
    enhance: Callable[[Image.Image], ImageEnhance._Enhance] = (
        ImageEnhance.Brightness if name == "brightness" else ImageEnhance.Contrast
    )
    return Edit(f"{name} times {amount:g}", lambda raw: enhance(raw).enhance(amount))


def _boxed(picture: Image.Image, name: str, parts: list[str], statement: str) -> Edit:
    places = [part for part in re.split(r"[,\s]+", " ".join(parts).strip("() ")) if part]
    corners, fill = places[:4], " ".join(places[4:]).strip(") ").casefold()
    if len(corners) < 4 or not all(re.fullmatch(r"\d+(\.\d+)?%?\)?", corner) for corner in corners):
        raise _unreadable(statement, name)
    corners = [corner.rstrip(")") for corner in corners]
    left, top, right, bottom = _box(picture, corners)
    if not (0 <= left < right <= picture.width and 0 <= top < bottom <= picture.height):
        raise UsageError(
            f"the box {','.join(corners)} is no part of a picture of {picture.width} × {picture.height} pixels; give "
            "left, top, right and bottom within it"
        )
    where = f"{left},{top} to {right},{bottom}"
    if name == "crop":
        if fill:
            raise _unreadable(statement, name)
        return Edit(f"cut to the box from {where}", lambda raw: raw.crop(_within(raw, _box(raw, corners))))
    fill = fill or "mean"
    if fill not in ("mean", "blur"):
        _colour(fill, picture.mode)
    said = {"mean": "filled with its mean colour", "blur": "blurred"}.get(fill, f"filled with {fill}")
    return Edit(f"the box from {where} {said}", lambda raw: _filled(raw, _within(raw, _box(raw, corners)), fill))


def _filled(picture: Image.Image, box: tuple[int, int, int, int], fill: str) -> Image.Image:
    changed, part = picture.copy(), picture.crop(box)
    if fill == "blur":
        radius = max(part.size) / 8
        changed.paste(picture.filter(ImageFilter.GaussianBlur(radius)).crop(box), box)
        return changed
    changed.paste(_mean(part) if fill == "mean" else _colour(fill, picture.mode), box)
    return changed


def _rotated(picture: Image.Image, degrees: float) -> Image.Image:
    straight = degrees % 90 == 0  # Then nothing is cut off, and no corner must be filled.
    return picture.rotate(degrees, Image.Resampling.BICUBIC, expand=straight, fillcolor=_mean(picture))


def _mean(picture: Image.Image) -> tuple[int, ...] | int:
    mean = np.asarray(picture, dtype=np.float64).reshape(picture.width * picture.height, -1).mean(0).round().astype(int)
    return tuple(mean.tolist()) if len(mean) > 1 else int(mean[0])


def _colour(name: str, mode: str) -> int | tuple[int, ...]:
    try:
        return ImageColor.getcolor(name, mode)
    except ValueError as error:
        known = (*_FILLS, *ImageColor.colormap)
        raise UsageError(f"there is no colour {name!r} to fill with; {nearest(name, known)}") from error


def _box(picture: Image.Image, corners: list[str]) -> tuple[int, int, int, int]:
    sizes = (picture.width, picture.height) * 2
    left, top, right, bottom = (
        round(float(corner[:-1]) / 100 * size) if corner.endswith("%") else round(float(corner))
        for corner, size in zip(corners, sizes, strict=True)
    )
    return left, top, right, bottom


def _within(picture: Image.Image, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The part of a box that lies in the picture, which may have another size where other edits were left out."""
    left, top, right, bottom = box
    inside = (
        min(left, picture.width),
        min(top, picture.height),
        min(right, picture.width),
        min(bottom, picture.height),
    )
    return inside if inside[0] < inside[2] and inside[1] < inside[3] else (0, 0, *picture.size)


def _number(word: str, statement: str, name: str, least: float = 0) -> float:
    try:
        number = float(word)
    except ValueError as error:
        raise _unreadable(statement, name) from error
    if not least <= number <= 1000:
        raise UsageError(f"{name} {word}: it takes a number of {least:g} to 1000")
    return number


def _unreadable(statement: str, name: str) -> UsageError:
    return UsageError(f"cannot read the edit {statement!r}; write it as {_FORMS[name]}")
