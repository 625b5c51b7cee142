"""Responses as charts: the mean with its band, single cases behind it, and below them how many cases there are."""

from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pellucid.core.result import page, plot
from pellucid.render.charts import ticks
from pellucid.render.colours import OKABE_ITO, signed
from pellucid.render.fragments import STYLE, caveat_of, heading_of, items
from pellucid.render.heatmap import data_uri, png
from pellucid.results.response import Curve, Response, Surface

_FINE = 2  # drawn at twice the size, so that lines come out smooth
_WIDTH, _HEIGHT, _COLUMNS = 480, 330, 2
_LEFT, _RIGHT, _TOP, _BOTTOM, _CASES = 66, 16, 34, 46, 44
_MEAN, _SINGLE, _BAND, _THIN, _COUNT = OKABE_ITO[0], "#c4c4c4", "#c9dff0", "#f0f0f0", "#8a8a8a"
_MOST_NAMES, _FEW_PLACES = 12, 6


@plot.register
def _(result: Response) -> Image.Image:
    """A chart per variable, two beside each other; a map of pairs for a surface."""
    if result.surface is not None:
        return surface_chart(result.surface, _title(result))
    charts = [
        curve_chart(curve, _title(result), None if result.form != "plain" else _level(result))
        for curve in result.curves
    ]
    columns = min(_COLUMNS, len(charts))
    whole = Image.new("RGB", (columns * _WIDTH, -(-len(charts) // columns) * _HEIGHT), "white")
    for number, chart in enumerate(charts):
        whole.paste(chart, (number % columns * _WIDTH, number // columns * _HEIGHT))
    return whole


@page.register
def _(result: Response) -> str:
    told = result.summary().split("\n")
    if result.surface is not None:
        cards = _card(surface_chart(result.surface, _title(result)), result.surface.told(), result.surface.table())
    else:
        level = None if result.form != "plain" else _level(result)
        cards = "".join(
            _card(curve_chart(curve, _title(result), level), curve.told(result.quantity), _rows(result, curve))
            for curve in result.curves
        )
    note = (
        "Blue: the mean and its 95 % interval. Grey lines: single cases. Grey bars: how many cases there are; on grey ground "
        "there are hardly any. Dashed: the mean over the cases as they are."
    )
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}: {escape(_title(result))}</h2>"
        f"<div class='brief'>{items(told)}</div><p class='small'>{result.cases} cases. {note}</p>"
        f"<div class='cards'>{cards}</div>{caveat_of(result)}</div>"
    )


def curve_chart(curve: Curve, title: str, level: float | None) -> Image.Image:
    """One curve with its axes."""
    places = np.arange(len(curve.grid)) if curve.labels is not None else curve.grid.double().numpy()
    low, high, mean = (part.double().numpy() for part in (curve.low, curve.high, curve.mean))
    single = None if curve.individual is None else curve.individual.double().numpy()
    heights = np.concatenate([low, high] + ([] if single is None else [single.ravel()]))
    least, most = float(heights.min()), float(heights.max())
    if level is not None and least - (most - least) < level < most + (most - least):
        least, most = min(least, level), max(most, level)
    margin = 0.05 * (most - least) or 1.0
    chart = _Chart(curve.variable, title, (float(places[0]), float(places[-1])), (least - margin, most + margin))
    half = 0.5 if curve.labels is not None else 0.0
    if half:
        chart.widen(half)
    borders = _borders(places, half)
    for point, thin in enumerate(curve.thin.tolist()):
        if thin:
            chart.ground(borders[point], borders[point + 1])
    density = curve.density / curve.density.max()
    for point, share in enumerate(density.tolist()):
        chart.count(borders[point], borders[point + 1], share)
    named = half or len(places) <= _FEW_PLACES
    chart.axes([(float(place), curve.place(point)) for point, place in enumerate(places)] if named else None)
    if level is not None:
        chart.dashed(level)
    if curve.labels is not None:
        for place, centre, start, stop in zip(places, mean, low, high, strict=True):
            chart.interval(float(place), float(centre), float(start), float(stop))
        return chart.finished()
    for line in () if single is None else single:
        chart.line(places, line, _SINGLE, 1)
    if single is None:
        chart.band(places, low, high)
    else:
        chart.line(places, low, _MEAN, 1)
        chart.line(places, high, _MEAN, 1)
    chart.line(places, mean, _MEAN, 3)
    return chart.finished()


def surface_chart(surface: Surface, title: str) -> Image.Image:
    """A map of pairs: red above the middle of what cases are near, blue below, pale where no case is near."""
    first, second = len(surface.grids[0]), len(surface.grids[1])
    mean, seen = surface.mean.double().numpy(), surface.counts.numpy() > 0
    middle = float(np.median(mean[seen])) if seen.any() else 0.0
    largest = float(np.abs(mean[seen] - middle).max()) if seen.any() else 1.0
    colours = signed((mean - middle) / (largest or 1.0)).astype(float)
    colours = np.where(seen[:, :, None], colours, 0.25 * colours + 0.75 * 235).astype(np.uint8)
    cell, left, top = 56, 120, 78
    picture = Image.new("RGB", (left + cell * first + 30, top + cell * second + 70), "white")
    draw, font, small = ImageDraw.Draw(picture), ImageFont.load_default(13), ImageFont.load_default(11)
    draw.text(
        (12, 10),
        f"{title} by {surface.variables[0]} and {surface.variables[1]}",
        fill="black",
        font=ImageFont.load_default(15),
    )
    draw.text((12, 32), "pale: no case is near", fill="#555555", font=small)
    for i in range(first):
        for j in range(second):
            x, y = left + cell * i, top + cell * (second - 1 - j)
            draw.rectangle((x, y, x + cell - 2, y + cell - 2), fill=tuple(colours[i, j].tolist()))
            strong = seen[i, j] and abs(mean[i, j] - middle) > 0.85 * largest
            ink = "white" if strong else "black" if seen[i, j] else "#999999"
            draw.text((x + cell / 2, y + cell / 2), f"{mean[i, j]:.3g}", fill=ink, anchor="mm", font=small)
    for i in range(first):
        name = surface.place(0, i)
        draw.text(
            (left + cell * i + cell / 2, top + cell * second + 8), name[:9], fill="black", anchor="mt", font=small
        )
    for j in range(second):
        centre = top + cell * (second - 1 - j) + cell / 2
        draw.text((left - 8, centre), surface.place(1, j)[:12], fill="black", anchor="rm", font=small)
    draw.text(
        (left + cell * first / 2, top + cell * second + 34), surface.variables[0], fill="black", anchor="mt", font=font
    )
    draw.text((left - 100, top - 6), surface.variables[1][:16], fill="black", anchor="lb", font=font)
    return picture


class _Chart:
    """Axes for curves above and counts below, drawn large and made smaller at the end."""

    def __init__(self, name: str, title: str, across: tuple[float, float], up: tuple[float, float]) -> None:
        self._name, self._title, self._across, self._up = name, title, across, up
        self._picture = Image.new("RGB", (_FINE * _WIDTH, _FINE * _HEIGHT), "white")
        self._draw = ImageDraw.Draw(self._picture)

    def widen(self, half: float) -> None:
        self._across = (self._across[0] - half, self._across[1] + half)

    def x(self, value: float) -> float:
        start, stop = self._across
        return _FINE * (_LEFT + (value - start) / (stop - start) * (_WIDTH - _LEFT - _RIGHT))

    def y(self, value: float) -> float:
        start, stop = self._up
        return _FINE * (self._floor - (value - start) / (stop - start) * (self._floor - _TOP))

    @property
    def _floor(self) -> float:
        return _HEIGHT - _BOTTOM - _CASES

    def ground(self, start: float, stop: float) -> None:
        self._draw.rectangle((self.x(start), _FINE * _TOP, self.x(stop), _FINE * self._floor), fill=_THIN)

    def count(self, start: float, stop: float, share: float) -> None:
        bottom = _FINE * (_HEIGHT - _BOTTOM)
        top = bottom - share * _FINE * (_CASES - 8)
        self._draw.rectangle((self.x(start) + 1, top, max(self.x(stop) - 1, self.x(start) + 1), bottom), fill=_COUNT)

    def axes(self, names: Sequence[tuple[float, str]] | None) -> None:
        font, ink = ImageFont.load_default(_FINE * 11), "#444444"
        left, right, floor, bottom = (
            _LEFT * _FINE,
            (_WIDTH - _RIGHT) * _FINE,
            self._floor * _FINE,
            (_HEIGHT - _BOTTOM) * _FINE,
        )
        for value in ticks(*self._up):
            self._draw.line((left, self.y(value), right, self.y(value)), fill="#e2e2e2", width=_FINE)
            self._draw.text((left - 8, self.y(value)), f"{value:.4g}", fill=ink, anchor="rm", font=font)
        shown = names if names is not None else [(value, f"{value:.4g}") for value in ticks(*self._across)]
        for value, name in shown[:: -(-len(shown) // _MOST_NAMES)]:
            self._draw.line((self.x(value), bottom, self.x(value), bottom + 8), fill=ink, width=_FINE)
            self._draw.text((self.x(value), bottom + 12), name[:10], fill=ink, anchor="mt", font=font)
        self._draw.line((left, floor, right, floor), fill=ink, width=_FINE)
        self._draw.line((left, bottom, right, bottom), fill=ink, width=_FINE)
        self._draw.text((left - 8, (floor + bottom) / 2), "cases", fill=ink, anchor="rm", font=font)
        strong = ImageFont.load_default(_FINE * 13)
        self._draw.text(((left + right) / 2, _FINE * (_HEIGHT - 6)), self._name, fill="black", anchor="mb", font=strong)
        self._draw.text((_FINE * 10, _FINE * 8), self._title, fill="black", font=strong)

    def dashed(self, value: float) -> None:
        for start in range(_LEFT * _FINE, (_WIDTH - _RIGHT) * _FINE, 24):
            stop = min(start + 12, (_WIDTH - _RIGHT) * _FINE)
            self._draw.line((start, self.y(value), stop, self.y(value)), fill="#888888", width=_FINE)

    def line(self, across: np.ndarray, up: np.ndarray, colour: str, width: int) -> None:
        points = [(self.x(float(x)), self.y(float(y))) for x, y in zip(across, up, strict=True)]
        self._draw.line(points, fill=colour, width=width * _FINE, joint="curve")

    def band(self, across: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        there = [(self.x(float(x)), self.y(float(y))) for x, y in zip(across, high, strict=True)]
        back = [(self.x(float(x)), self.y(float(y))) for x, y in zip(across, low, strict=True)]
        self._draw.polygon(there + back[::-1], fill=_BAND)

    def interval(self, place: float, mean: float, low: float, high: float) -> None:
        x, radius = self.x(place), 5 * _FINE
        self._draw.line((x, self.y(low), x, self.y(high)), fill=_MEAN, width=2 * _FINE)
        self._draw.ellipse((x - radius, self.y(mean) - radius, x + radius, self.y(mean) + radius), fill=_MEAN)

    def finished(self) -> Image.Image:
        return self._picture.resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS)


def _title(result: Response) -> str:
    what = {"plain": "", "centred": ", from its start on", "derivative": ", change per unit"}[result.form]
    kind = "effect (ALE) on the " if result.kind == "ale" else "mean "
    return f"{kind}{result.quantity}{what}"


def _level(result: Response) -> float:
    return 0.0 if result.kind == "ale" else float(result.level)


def _borders(places: np.ndarray, half: float) -> np.ndarray:
    """Where the part of the axis that is nearest to each place begins and ends."""
    middle = (places[1:] + places[:-1]) / 2
    return np.concatenate([[places[0] - half], middle, [places[-1] + half]])


def _rows(result: Response, curve: Curve) -> list[dict[str, object]]:
    return [row for row in result.table() if row["variable"] == curve.variable]


def _card(chart: Image.Image, said: str, rows: Sequence[dict[str, object]]) -> str:
    cells = "".join(
        f"<tr><th scope='row'>{escape(str(row['at']))}</th><td class='n'>{row['mean']:.4g}</td>"
        f"<td class='n'>{row['low']:.4g} … {row['high']:.4g}</td><td class='n'>{row['cases']}</td></tr>"
        for row in rows
    )
    return (
        f"<section class='card'><figure><img alt='{escape(said, quote=True)}' src='{data_uri(png(chart))}'>"
        f"<figcaption>{escape(said)}</figcaption></figure><details><summary>as a table</summary><table><thead><tr><th>at</th>"
        "<th class='n'>mean</th><th class='n'>95 % interval</th><th class='n'>cases near</th></tr></thead>"
        f"<tbody>{cells}</tbody></table></details></section>"
    )
