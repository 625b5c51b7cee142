"""Profiles as charts: lines with their bands over numbers, dots with their intervals over names."""

from collections.abc import Callable, Sequence
from html import escape

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pellucid.core.result import page, plot
from pellucid.render.charts import ticks
from pellucid.render.colours import OKABE_ITO
from pellucid.render.fragments import STYLE, caveat_of, heading_of, items
from pellucid.render.heatmap import data_uri, png
from pellucid.results.profile import Line, Panel, Profile

_FINE = 2  # drawn at twice the size, so that lines come out smooth
_WIDTH, _HEIGHT, _COLUMNS = 560, 340, 3
_TOP, _BOTTOM, _RIGHT, _STEP = 44, 46, 16, 20
_GREY, _CONTROLS = "#e2e2e2", ("#8a8a8a", "#3c3c3c")
_COLOURS = (OKABE_ITO[0], OKABE_ITO[5], OKABE_ITO[2], OKABE_ITO[3], OKABE_ITO[1], OKABE_ITO[4], "#555555")


@plot.register
def _(result: Profile) -> Image.Image:
    """One chart per panel, those of one axis beside each other."""
    charts = [chart(panel) for panel in result.panels]
    columns = min(_COLUMNS, len({panel.quantity for panel in result.panels}))
    rows = [charts[start : start + columns] for start in range(0, len(charts), columns)]
    heights = [max(part.height for part in row) for row in rows]
    whole = Image.new("RGB", (columns * _WIDTH, sum(heights)), "white")
    for number, row in enumerate(rows):
        for column, part in enumerate(row):
            whole.paste(part, (column * _WIDTH, sum(heights[:number])))
    return whole


@page.register
def _(result: Profile) -> str:
    note = "Bands and bars: 95 % intervals over the examples. Grey: what would be seen without what is looked for."
    cards = "".join(_card(panel, result) for panel in result.panels)
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}</h2>"
        f"<div class='brief'>{items(result.summary().split(chr(10)))}</div><p class='small'>{result.cases} examples. {note}</p>"
        f"<div class='cards'>{cards}</div>{caveat_of(result)}</div>"
    )


def chart(panel: Panel) -> Image.Image:
    """One panel with its axes and a legend."""
    drawn = _Chart(panel)
    (drawn.curves if panel.grid is not None else drawn.dots)()
    return drawn.finished()


class _Chart:
    def __init__(self, panel: Panel) -> None:
        self._panel, self._font = panel, ImageFont.load_default(_FINE * 11)
        named = panel.grid is None
        widest = max(map(self._font.getlength, panel.places)) / _FINE if named else 0
        self._left = min(250.0, 24 + widest) if named else 66.0
        self._spread = max(_STEP, 7 * len(panel.lines))
        self._height = _TOP + _BOTTOM + self._spread * len(panel.places) if named else _HEIGHT
        self._picture = Image.new("RGB", (_FINE * _WIDTH, _FINE * self._height), "white")
        self._draw = ImageDraw.Draw(self._picture)
        self._legend()

    def finished(self) -> Image.Image:
        return self._picture.resize((_WIDTH, self._height), Image.Resampling.LANCZOS)

    def curves(self) -> None:
        """Lines with bands over the numbers of the axis."""
        assert self._panel.grid is not None
        grid = self._panel.grid.double().numpy()
        low, high = self._range()
        x = _scale((grid.min(), grid.max()), (self._left, _WIDTH - _RIGHT))
        y = _scale((low, high), (_HEIGHT - _BOTTOM, _TOP))
        for value in ticks(low, high):
            self._rule(self._left, y(value), _WIDTH - _RIGHT, y(value))
            self._text((self._left - 5, y(value)), f"{value:.4g}", "rm")
        for value in ticks(float(grid.min()), float(grid.max())):
            self._text((x(value), _HEIGHT - _BOTTOM + 5), f"{value:.4g}", "mt")
        self._text((_WIDTH / 2, _HEIGHT - 6), self._panel.axis, "mb")
        for line, colour in self._coloured():
            _, start, stop = _numbers(line)
            if np.isfinite(start).all():
                edge = [*zip(grid, stop, strict=True), *zip(grid[::-1], start[::-1], strict=True)]
                self._band([(x(a), y(b)) for a, b in edge], colour)
        for line, colour in self._coloured():
            points = [(_FINE * x(a), _FINE * y(b)) for a, b in zip(grid, _numbers(line)[0], strict=True)]
            self._draw.line(points, fill=colour, width=2 * _FINE + 1, joint="curve")
            for a, b in points:
                self._draw.ellipse((a - 5, b - 5, a + 5, b + 5), fill=colour)

    def dots(self) -> None:
        """A row per place, and in it a dot with its interval for each line."""
        low, high = self._range()
        x, floor = _scale((low, high), (self._left, _WIDTH - _RIGHT)), self._height - _BOTTOM
        for value in ticks(low, high):
            self._rule(x(value), _TOP, x(value), floor)
            self._text((x(value), floor + 5), f"{value:.4g}", "mt")
        self._text(((self._left + _WIDTH) / 2, self._height - 6), self._panel.quantity, "mb")
        for place, name in enumerate(self._panel.places):
            top = _TOP + place * self._spread
            self._text((self._left - 8, top + self._spread / 2), _short(name, self._font, self._left - 14), "rm")
            for number, (line, colour) in enumerate(self._coloured()):
                at = top + self._spread * (number + 1) / (len(self._panel.lines) + 1)
                mean, start, stop = (float(part[place]) for part in _numbers(line))
                if np.isfinite(start):
                    self._draw.line([_FINE * v for v in (x(start), at, x(stop), at)], fill=colour, width=2 * _FINE)
                if np.isfinite(mean):
                    corner = [_FINE * x(mean) - 7, _FINE * at - 7, _FINE * x(mean) + 7, _FINE * at + 7]
                    (self._draw.rectangle if line.control else self._draw.ellipse)(corner, fill=colour)

    def _range(self) -> tuple[float, float]:
        parts = np.concatenate([part for line in self._panel.lines for part in _numbers(line)])
        parts = parts[np.isfinite(parts)]
        low, high = (float(parts.min()), float(parts.max())) if len(parts) else (0.0, 1.0)
        low = 0.0 if 0 < low < 0.5 * high else low
        margin = 0.05 * (high - low) or 0.5
        return low - margin, high + margin

    def _coloured(self) -> list[tuple[Line, str]]:
        number = len(self._panel.lines)
        colours, controls = iter(_COLOURS * number), iter(_CONTROLS * number)
        return [(line, next(controls if line.control else colours)) for line in self._panel.lines]

    def _legend(self) -> None:
        title = (
            self._panel.quantity if self._panel.grid is not None else f"{self._panel.quantity} by {self._panel.axis}"
        )
        self._draw.text((_FINE * 10, _FINE * 6), title, fill="black", font=ImageFont.load_default(_FINE * 13))
        x = 10.0
        for line, colour in self._coloured() if len(self._panel.lines) > 1 else ():
            self._draw.rectangle([_FINE * v for v in (x, 28, x + 9, 37)], fill=colour)
            self._text((x + 13, 32.5), line.name, "lm")
            x += 26 + self._font.getlength(line.name) / _FINE

    def _band(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        shade = Image.new("L", self._picture.size, 0)
        ImageDraw.Draw(shade).polygon([(_FINE * a, _FINE * b) for a, b in points], fill=45)
        self._picture.paste(Image.new("RGB", self._picture.size, colour), mask=shade)

    def _rule(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self._draw.line([_FINE * value for value in (x0, y0, x1, y1)], fill=_GREY, width=_FINE)

    def _text(self, at: tuple[float, float], text: str, anchor: str) -> None:
        self._draw.text((_FINE * at[0], _FINE * at[1]), text, fill="#333333", anchor=anchor, font=self._font)


def _numbers(line: Line) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, low and high; NaN where there is no interval."""
    mean = line.mean.double().numpy()
    low, high = (
        np.full_like(mean, np.nan) if side is None else side.double().numpy() for side in (line.low, line.high)
    )
    return mean, low, high


def _scale(source: tuple[float, float], onto: tuple[float, float]) -> Callable[[float], float]:
    start, stop = source
    return lambda value: onto[0] + (float(value) - start) / ((stop - start) or 1.0) * (onto[1] - onto[0])


def _short(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    if font.getlength(text) <= _FINE * width:
        return text
    return next(
        f"{text[:cut]}…" for cut in range(len(text), 0, -1) if font.getlength(f"{text[:cut]}…") <= _FINE * width
    )


def _card(panel: Panel, result: Profile) -> str:
    rows = [row for row in result.table() if (row["quantity"], row["axis"]) == (panel.quantity, panel.axis)]
    cells = "".join(
        f"<tr><th scope='row'>{escape(row['at'])}</th><td>{escape(row['line'])}</td><td class='n'>{row['mean']:.4g}</td>"
        f"<td class='n'>{_interval(row['low'], row['high'])}</td></tr>"
        for row in rows
    )
    said = f"{panel.quantity} by {panel.axis}"
    return (
        f"<section class='card'><figure><img alt='{escape(said, quote=True)}' src='{data_uri(png(chart(panel), 2 * _WIDTH))}'>"
        f"</figure><details><summary>as a table</summary><table><thead><tr><th>{escape(panel.axis)}</th><th>line</th>"
        f"<th class='n'>mean</th><th class='n'>95 % interval</th></tr></thead><tbody>{cells}</tbody></table></details></section>"
    )


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None else f"{low:.4g} … {high:.4g}"
