"""Digits that are drawn here and belong to no data set."""

from PIL import Image, ImageDraw

_PEN = 22


def three() -> Image.Image:
    """Two bows."""
    sheet, pen = _sheet()
    pen.arc((86, 44, 190, 148), 190, 90, fill=255, width=24)
    pen.arc((80, 124, 200, 240), 270, 160, fill=255, width=24)
    return _small(sheet)


def four() -> Image.Image:
    """Open at the top: two uprights and a bar."""
    sheet, pen = _sheet()
    pen.line([(96, 60), (84, 140), (180, 140)], fill=255, width=_PEN, joint="curve")
    pen.line([(182, 56), (168, 228)], fill=255, width=_PEN)
    return _small(sheet)


def nine() -> Image.Image:
    """A ring and a stem."""
    sheet, pen = _sheet()
    pen.ellipse((88, 48, 184, 142), outline=255, width=_PEN)
    pen.line([(174, 96), (160, 228)], fill=255, width=_PEN)
    return _small(sheet)


def _sheet() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    sheet = Image.new("L", (280, 280))
    return sheet, ImageDraw.Draw(sheet)


def _small(sheet: Image.Image) -> Image.Image:
    return sheet.resize((28, 28), Image.Resampling.LANCZOS)
