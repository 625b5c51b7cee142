"""Pictures of every kind are read upright in RGB, or refused in one line."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import pellucid as pl
from pellucid.core.errors import BadInput

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8))


def saved(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rotated():
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(PICTURE, "JPEG", exif=exif.tobytes())


def huge():
    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


def wide():
    return saved(Image.fromarray((np.arange(600).reshape(20, 30) * 100).astype(np.uint16)), "PNG")


@pytest.mark.parametrize(
    ("content", "size", "note"),
    [
        (saved(PICTURE.convert("CMYK"), "JPEG"), (30, 20), "CMYK"),
        (wide(), (30, 20), "8 bits"),
        (saved(PICTURE.convert("P"), "PNG"), (30, 20), "from P"),
        (saved(PICTURE.convert("RGBA"), "PNG"), (30, 20), "on white"),
        (rotated(), (20, 30), "EXIF"),
    ],
    ids=["cmyk", "16-bit", "palette", "alpha", "rotated"],
)
def test_unusual_pictures_are_read_and_say_what_was_changed(content, size, note):
    inputs = pl.tasks.Image(8).prepare(content)
    assert inputs.value.shape == (1, 3, 8, 8)
    assert inputs.origins[0].raw.size == size
    assert note in inputs.origins[0].notes[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (saved(PICTURE, "JPEG")[:400], "damaged"),
        (saved(PICTURE.resize((1, 1)), "PNG"), "nothing to explain"),
        (huge(), "make it smaller"),
        (b"<html>hello</html>", "not a picture"),
    ],
    ids=["truncated", "one pixel", "30,000 squared", "html"],
)
def test_what_cannot_be_explained_is_refused_in_one_line(content, reason):
    with pytest.raises(BadInput, match=reason) as refused:
        pl.tasks.Image(8).prepare(content)
    assert "\n" not in str(refused.value)
