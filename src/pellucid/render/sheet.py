"""A sheet of pictures, each with lines of text below it."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_GAP, _LINE = 8, 18


def sheet(
    tiles: Sequence[tuple[Image.Image, *tuple[str, ...]]], title: str, columns: int = 6, least: int = 0
) -> Image.Image:
    """Pictures in rows of up to ``columns``, each at least ``least`` pixels wide with the lines of text that follow it; text
    that is too long is cut."""
    columns = min(columns, max(1, len(tiles)))
    lines = max((len(tile) - 1 for tile in tiles), default=0)
    width = max(least, *(tile[0].width for tile in tiles)) + _GAP
    height = max(tile[0].height for tile in tiles) + lines * _LINE + 2 * _GAP
    rows, top = -(-len(tiles) // columns), 22 + 2 * _GAP
    large, font = ImageFont.load_default(16), ImageFont.load_default(13)
    whole = Image.new(
        "RGB", (max(columns * width, round(large.getlength(title))) + 2 * _GAP, top + rows * height), "white"
    )
    draw = ImageDraw.Draw(whole)
    draw.text((_GAP, _GAP), title, fill="black", font=large)
    for number, (picture, *texts) in enumerate(tiles):
        x, y = _GAP + number % columns * width, top + number // columns * height
        whole.paste(picture, (x, y))
        for line, text in enumerate(texts):
            fitting = next((cut for cut in range(len(text), 0, -1) if font.getlength(text[:cut]) <= width - _GAP), 0)
            draw.text((x, y + picture.height + 2 + line * _LINE), text[:fitting], fill="black", font=font)
    return whole
