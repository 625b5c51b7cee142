"""Pictures from files of any kind, upright and in RGB, or a clear word why not."""

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pellucid.core.errors import BadInput

_LARGEST = 150_000_000


def open_picture(source: Any) -> tuple[Image.Image, tuple[str, ...]]:
    """An upright picture in RGB (or greyscale, mode ``L``, if it has no colour), and notes on what was changed.

    ``source`` is a path, the bytes of a file, a binary stream, a PIL picture or an array ``[height, width(, 3)]``.
    Raises ``BadInput`` for what is not a picture, is damaged, is larger than 150 megapixels, or has a side of one
    pixel.
    """
    name, picture = _load(source)
    notes = []
    try:
        upright = ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise BadInput(f"{name} is damaged: {_first_line(error)}; save it again in a picture program") from error
    if upright.size != picture.size or upright.tobytes() != picture.tobytes():
        notes.append("turned upright as its EXIF orientation says")
    converted, note = _to_rgb(upright)
    if min(converted.size) < 2:
        raise BadInput(f"{name} has {converted.width} × {converted.height} pixels: there is nothing to explain in it")
    return converted, (*notes, *note)


def picture_from_array(array: np.ndarray) -> Image.Image:
    """A picture from 8-bit values 0…255 or floats 0…1, ``[height, width]`` or ``[height, width, 3]``."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise BadInput(f"an array of shape {array.shape} is not a picture; use [height, width] or [height, width, 3]")
    if array.dtype != np.uint8:
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise BadInput("a picture array holds 8-bit values 0…255 or floats 0…1; rescale it")
        array = (array * 255).round().astype(np.uint8)
    return Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array)


def resize_map(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map ``[height, width]`` at another size ``(width, height)``, bilinear."""
    picture = Image.fromarray(values.astype(np.float32))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))


def _load(source: Any) -> tuple[str, Image.Image]:
    if isinstance(source, Image.Image):
        return "the picture", source
    if isinstance(source, np.ndarray):
        return "the picture", picture_from_array(source)
    if isinstance(source, bytes):
        return "the picture", _open("the picture", io.BytesIO(source))
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            raise BadInput(f"{path} is a folder; name a picture in it")
        if not path.is_file():
            raise BadInput(f"there is no picture {path}{_beside(path)}")
        return str(path), _open(str(path), path)
    if hasattr(source, "read"):
        return "standard input", _open("standard input", io.BytesIO(source.read()))
    raise BadInput(f"a {type(source).__name__} is not a picture; give a path, a PIL picture or an array")


def _open(name: str, source: Any) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(source)
            if picture.width * picture.height > _LARGEST:
                raise BadInput(
                    f"{name} has {picture.width} × {picture.height} pixels, more than 150 megapixels; make it smaller"
                )
            picture.load()
    except Image.DecompressionBombError as error:
        raise BadInput(f"{name} has more pixels than can be read safely; make it smaller") from error
    except UnidentifiedImageError as error:
        raise BadInput(f"{name} is not a picture that can be read (its content, not its name, decides)") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise BadInput(f"{name} is damaged: {_first_line(error)}; save it again in a picture program") from error
    return picture


def _to_rgb(picture: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    mode = picture.mode
    if mode in ("RGB", "L"):
        if "transparency" not in picture.info:
            return picture, ()
        picture = picture.convert("RGBA")
    if mode == "1":
        return picture.convert("L"), ()
    if mode.startswith("I") or mode == "F":
        return _from_wide(picture), ("its values were scaled to 8 bits",)
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        colour = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, colour).convert("RGB"), ("its transparent parts were put on white",)
    return picture.convert("RGB"), (f"converted from {mode} to RGB",)


def _from_wide(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture).astype(np.float64)
    if picture.mode.startswith("I;16") or (picture.mode == "I" and values.max() > 255):
        values = values / 257
    elif picture.mode == "F" and values.max() <= 1:
        values = values * 255
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def _beside(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f": the folder {folder} does not exist"
    from pellucid.core.errors import nearest

    names: Sequence[str] = sorted(entry.name for entry in folder.iterdir())
    return f"; {nearest(path.name, names)}" if names else ""


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
