"""Unit labels on one sheet: the best labelled units with where they are active in their strongest examples."""

from html import escape

import numpy as np
from PIL import Image
from torch import Tensor

from pellucid.core.result import page, plot
from pellucid.render.charts import bars_picture
from pellucid.render.data_pictures import picture_of
from pellucid.render.fragments import STYLE, caveat_of, heading_of, items
from pellucid.render.heatmap import data_uri, png
from pellucid.render.picture_rows import TILE, Row, enlarged, picture_rows
from pellucid.results.unit_labels import UnitLabels

_BARS, _ROWS = 20, 100
_DIM = 0.25


@plot.register
def _(result: UnitLabels) -> Image.Image:
    """Rows of the strongest examples, dark where the unit is not active; bars of the largest ratio for each concept where the
    examples are not known any more, or no unit has a label."""
    rows = [_row(result, rank) for rank in range(len(result.shown))]
    if not rows or all(picture is None for row in rows for picture in row.pictures):
        return bars_picture(
            _best(result), f"{result.layer}: largest overlap with each concept (a label is above {result.least:g})"
        )
    return picture_rows(f"{result.layer}: units by label, bright where active in their strongest examples", rows)


@page.register
def _(result: UnitLabels) -> str:
    lines = "".join(
        f"<tr><th scope='row'>{row['unit']}</th><td>{escape(row['label'] or '–')}</td><td>{escape(row['best'])}</td>"
        f"<td class='n'>{row['ratio']:.3f}</td><td class='n'>{_share(row['p'])}</td>"
        f"<td class='n'>{_share(row['false discovery'])}</td></tr>"
        for row in result.table()[:_ROWS]
    )
    areas = ", ".join(f"{name} {float(area):.1%}" for name, area in zip(result.concepts, result.areas, strict=True))
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}: {escape(result.layer)}</h2>"
        f"{items(result.summary().splitlines())}<figure><img alt='{escape(result.summary().splitlines()[0], quote=True)}' "
        f"src='{data_uri(png(result.plot(), 1200))}'></figure><p class='small'>Share of all places that hold each concept: "
        f"{escape(areas)}.</p><table><thead><tr><th>unit</th><th>label</th><th>best concept</th><th class='n'>intersection over "
        f"union</th><th class='n'>p by chance</th><th class='n'>false discovery</th></tr></thead><tbody>{lines}</tbody></table>"
        f"{caveat_of(result)}</div>"
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _best(result: UnitLabels) -> list[tuple[str, float]]:
    best = result.ratios.amax(0).tolist()
    units = result.units[result.ratios.argmax(0)].tolist()
    rows = [(f"{name} (unit {unit})", ratio) for name, unit, ratio in zip(result.concepts, units, best, strict=True)]
    return sorted(rows, key=lambda pair: -pair[1])[:_BARS]


def _row(result: UnitLabels, rank: int) -> Row:
    place = int(result.shown[rank])
    verdict = "" if result.stands(place) else "\nas by chance"
    name = f"unit {int(result.units[place])}\n{(result.concept(place) or '')[:16]}\n{float(result.ratios[place].amax()):.2f}{verdict}"
    pictures = [_lit(result, rank, column) for column in range(result.examples.shape[1])]
    return Row(name, pictures)


def _lit(result: UnitLabels, rank: int, column: int) -> Image.Image | None:
    """One example, dark where the unit is not active."""
    picture = picture_of(result.query, result.names[int(result.examples[rank, column])])
    if picture is None:
        return None
    shown = enlarged(picture, TILE)
    active = _mask(result.maps[rank, column], shown.size)
    return Image.fromarray((np.asarray(shown) * (_DIM + (1 - _DIM) * active[:, :, None])).round().astype(np.uint8))


def _mask(active: Tensor, size: tuple[int, int]) -> np.ndarray:
    grey = Image.fromarray(active.numpy().astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(grey, dtype=np.float64) / 255
