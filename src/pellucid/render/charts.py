"""Small charts as SVG text and as pictures: bars, intervals and curves that need no script."""

from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pellucid.render.colours import OKABE_ITO, signed_hex

_FONT = "font-family='system-ui, sans-serif' font-size='12'"


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers between two."""
    rough = (high - low) / 5
    scale = 10 ** np.floor(np.log10(rough))
    step = scale * min(size for size in (1, 2, 5, 10) if size * scale >= rough)
    first = np.ceil(low / step)
    return [float(step * number) + 0.0 for number in np.arange(first, np.floor(high / step) + 1)]


def legend() -> str:
    """The signed colour scale with its meaning, as inline SVG."""
    steps = 60
    cells = "".join(
        f"<rect x='{90 + 4 * i}' y='4' width='4.5' height='12' fill='{signed_hex(2 * i / (steps - 1) - 1)}'/>"
        for i in range(steps)
    )
    return (
        f"<svg role='img' viewBox='0 0 420 34' width='420' {_FONT} aria-label='Colour scale: blue speaks against, "
        f"white is neutral, red speaks for'>{cells}<text x='84' y='14' text-anchor='end'>against −1</text>"
        "<text x='336' y='14'>+1 for</text><text x='210' y='30' text-anchor='middle'>0</text></svg>"
    )


def intervals(rows: Sequence[tuple[str, float, float, float, bool]], title: str) -> str:
    """Dots with 95 % bars, one line per row ``(name, value, low, high, is_control)``."""
    low = min(min(row[2] for row in rows), 0.0)
    high = max(max(row[3] for row in rows), low + 1e-9)
    left, width, step = 190, 380, 22

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * width

    height = step * len(rows) + 34
    parts = [f"<line x1='{x(0):.1f}' x2='{x(0):.1f}' y1='4' y2='{height - 28}' stroke='#999' stroke-dasharray='3 3'/>"]
    for number, (name, value, start, end, control) in enumerate(rows):
        y = 16 + step * number
        colour = "#666666" if control else OKABE_ITO[0]
        parts.append(
            f"<text x='{left - 8}' y='{y + 4}' text-anchor='end'>{escape(name)}</text>"
            f"<line x1='{x(start):.1f}' x2='{x(end):.1f}' y1='{y}' y2='{y}' stroke='{colour}' stroke-width='2'/>"
            + (
                f"<rect x='{x(value) - 4:.1f}' y='{y - 4}' width='8' height='8' fill='white' stroke='{colour}'/>"
                if control
                else f"<circle cx='{x(value):.1f}' cy='{y}' r='4.5' fill='{colour}'/>"
            )
        )
    ticks = (
        "".join(
            f"<text x='{x(tick):.1f}' y='{height - 10}' text-anchor='middle'>{tick:.3g}</text>"
            for tick in (low, 0.0, high)
        )
        if low < 0
        else "".join(
            f"<text x='{x(tick):.1f}' y='{height - 10}' text-anchor='middle'>{tick:.3g}</text>" for tick in (low, high)
        )
    )
    return (
        f"<svg role='img' viewBox='0 0 {left + width + 40} {height}' width='{left + width + 40}' {_FONT} "
        f"aria-label='{escape(title, quote=True)}'>{''.join(parts)}{ticks}</svg>"
    )


def histogram(
    counts: Sequence[float], edges: Sequence[float], title: str, marks: Sequence[tuple[float, str]] = ()
) -> str:
    """Bars between ``edges`` as inline SVG, their heights by the logarithm of the counts, with named values ``marks``."""
    width, height, left, top = 380, 110, 10, 16
    low, high = edges[0], max([edges[-1], *(value for value, _ in marks)])
    span = max(high - low, 1e-12)

    def x(value: float) -> float:
        return left + (value - low) / span * width

    tallest = max(float(np.log1p(max(counts))), 1e-12)
    bars = "".join(
        f"<rect x='{x(start):.1f}' y='{top + height * (1 - size):.1f}' width='{max(x(end) - x(start) - 0.5, 0.5):.1f}' "
        f"height='{height * size:.1f}' fill='{OKABE_ITO[0]}'/>"
        for start, end, count in zip(edges, edges[1:], counts, strict=False)
        if (size := float(np.log1p(count)) / tallest) > 0
    )
    floor = top + height
    scale = "".join(
        f"<line x1='{x(tick):.1f}' x2='{x(tick):.1f}' y1='{floor}' y2='{floor + 4}' stroke='#333'/>"
        f"<text x='{x(tick):.1f}' y='{floor + 17}' text-anchor='middle'>{tick:.3g}</text>"
        for tick in ticks(low, low + span)
    )
    named = "".join(
        f"<line x1='{x(value):.1f}' x2='{x(value):.1f}' y1='{top - 2}' y2='{floor}' stroke='{OKABE_ITO[1]}' "
        f"stroke-width='2'/><text x='{x(value) - 4:.1f}' y='{top + 8}' text-anchor='end'>{escape(name)}</text>"
        for value, name in marks
    )
    whole = width + 2 * left
    return (
        f"<svg role='img' viewBox='0 0 {whole} {floor + 22}' width='{whole}' {_FONT} aria-label='{escape(title, quote=True)}'>"
        f"<line x1='{left}' x2='{left + width}' y1='{floor}' y2='{floor}' stroke='#333'/>{bars}{scale}{named}</svg>"
    )


def bar(share: float, colour: str = OKABE_ITO[0]) -> str:
    """A horizontal bar for a share of 0 … 1, to stand in a table cell."""
    return (
        f"<svg aria-hidden='true' width='120' height='10'><rect width='120' height='10' fill='#eee'/>"
        f"<rect width='{max(0.0, min(1.0, share)) * 120:.1f}' height='10' fill='{colour}'/></svg>"
    )


def signed_bar(value: float) -> str:
    """A bar to the left (against) or right (for) of zero, for a value in −1 … +1."""
    length = min(1.0, abs(value)) * 36
    start = 36 if value >= 0 else 36 - length
    return (
        "<svg aria-hidden='true' width='72' height='10'><rect width='72' height='10' fill='#eee'/>"
        f"<rect x='{start:.1f}' width='{length:.1f}' height='10' fill='{signed_hex(1 if value >= 0 else -1)}'/>"
        "<rect x='35.5' width='1' height='10' fill='#333'/></svg>"
    )


def bars_picture(rows: Sequence[tuple[str, float]], title: str) -> Image.Image:
    """Signed horizontal bars as a picture, strongest first."""
    font, strong = ImageFont.load_default(14), ImageFont.load_default(16)
    height, left, width = 24 * len(rows) + 60, 220, 360
    picture = Image.new("RGB", (left + width + 90, height), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((10, 10), title, fill="black", font=strong)
    largest = max((abs(value) for _, value in rows), default=1.0) or 1.0
    middle = left + width // 2
    for number, (name, value) in enumerate(rows):
        y = 44 + 24 * number
        end = middle + value / largest * width / 2
        draw.text((left - 8, y + 9), name[:28], fill="black", anchor="rm", font=font)
        draw.rectangle((min(middle, end), y, max(middle, end), y + 16), fill=signed_hex(1 if value >= 0 else -1))
        draw.text((left + width + 8, y + 9), f"{value:+.3g}", fill="black", anchor="lm", font=font)
    draw.line((middle, 40, middle, height - 12), fill="black")
    return picture
