"""A health report as bars: what the units of each layer do, and where parameters, multiply-adds and time go."""

from html import escape

from PIL import Image, ImageDraw, ImageFont

from pellucid.core.result import page, plot
from pellucid.render.charts import bar
from pellucid.render.colours import OKABE_ITO
from pellucid.render.fragments import STYLE, caveat_of, heading_of, items
from pellucid.results.health_report import HealthReport, LayerHealth

_LEFT, _WIDE, _LINE, _TOP, _ROWS, _COSTS = 260, 420, 22, 96, 60, 16
_KINDS = (
    ("silent", OKABE_ITO[7]),
    ("unused", OKABE_ITO[3]),
    ("duplicate", OKABE_ITO[1]),
    ("saturated", OKABE_ITO[5]),
)
_REST = "#d9e6ee"


@plot.register
def _(result: HealthReport) -> Image.Image:
    """Each layer's units as a bar divided by what they do, beside it what changes without those that can go; below, the shares
    that the dearest layers have of all costs."""
    shown = result.layers[:_ROWS]
    costs = _dearest(result)
    height = _TOP + _LINE * len(shown) + (70 + _LINE * len(costs) if costs else 0) + 12
    picture = Image.new("RGB", (_LEFT + _WIDE + 300, height), "white")
    draw, font, strong = ImageDraw.Draw(picture), ImageFont.load_default(13), ImageFont.load_default(16)
    draw.text(
        (12, 8), f"Units of {len(result.layers)} layers over {result.examples} examples", fill="black", font=strong
    )
    x = 12
    for name, colour in (*_KINDS, ("at work", _REST)):
        draw.rectangle((x, 38, x + 12, 50), fill=colour)
        draw.text((x + 17, 44), name, fill="black", anchor="lm", font=font)
        x += 34 + round(font.getlength(name))
    draw.text(
        (_LEFT + _WIDE + 12, 74), "change without them, decisions changed", fill="#444444", anchor="lm", font=font
    )
    for number, layer in enumerate(shown):
        _units(draw, layer, _TOP + _LINE * number)
    top = _TOP + _LINE * len(shown) + 20
    if costs:
        draw.text((12, top), "What layers cost", fill="black", font=strong)
        heads = ("parameters", "multiply-adds", "bytes", "processor time")
        for column, head in enumerate(heads if result.seconds else heads[:3]):
            draw.text((_LEFT + 150 * column, top + 24), head, fill="#444444", anchor="lm", font=font)
    for number, place in enumerate(costs):
        _shares(draw, result, place, top + 38 + _LINE * number)
    return picture


@page.register
def _(result: HealthReport) -> str:
    lines = "".join(_row(layer) for layer in result.layers)
    costs = "".join(
        f"<tr><th scope='row'>{escape(result.modules[place])}</th>"
        + "".join(
            f"<td class='n'>{int(result.costs[place, column]):,}</td><td>{bar(result.share(place, column))}</td>"
            for column in range(3)
        )
        + f"<td class='n'>{_percent(result.time_share(result.modules[place]))}</td></tr>"
        for place in range(len(result.modules))
    )
    return (
        f"<div class='pellucid'><style>{STYLE}</style><h2>{escape(heading_of(result))}</h2>{items(result.summary().splitlines())}"
        "<h3>Units</h3><table><thead><tr><th>layer</th><th class='n'>units</th><th>silent</th><th>unused</th>"
        "<th>duplicate = of</th><th>saturated</th><th class='n'>largest change without</th><th class='n'>decisions changed</th>"
        f"<th class='n'>can be held</th></tr></thead><tbody>{lines}</tbody></table>"
        "<h3>Costs of one example</h3><table><thead><tr><th>module</th><th class='n'>parameters</th><th></th><th class='n'>"
        "multiply-adds</th><th></th><th class='n'>bytes</th><th></th><th class='n'>processor time</th></tr></thead>"
        f"<tbody>{costs}</tbody></table>{_others(result)}{caveat_of(result)}</div>"
    )


def _others(result: HealthReport) -> str:
    """The same figures of the networks that were set beside, by layer."""
    if not result.others:
        return ""
    lines = []
    for number, layer in enumerate(result.layers):
        own = (len(layer.silent), len(layer.unused), len(layer.saturated), len(layer.duplicates))
        rows = [("this network", own, "")]
        for place, name in enumerate(result.others):
            found, chance = layer.matched[place].tolist()
            rows.append((name, tuple(result.counts[place, number].tolist()), f"{found:.2f} ({chance:.2f})"))
        for name, counts, matched in rows:
            cells = "".join(f"<td class='n'>{count}</td>" for count in counts)
            lines.append(
                f"<tr><th scope='row'>{escape(layer.name)}</th><td>{escape(name)}</td>{cells}<td class='n'>{matched}</td></tr>"
            )
    heads = "".join(f"<th class='n'>{word}</th>" for word in ("silent", "unused", "saturated", "duplicate"))
    return (
        f"<h3>Beside other networks</h3><table><thead><tr><th>layer</th><th>network</th>{heads}<th class='n'>correlation of "
        f"matched units (by chance)</th></tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def _units(draw: ImageDraw.ImageDraw, layer: LayerHealth, y: int) -> None:
    font = ImageFont.load_default(13)
    draw.text((_LEFT - 8, y + 8), _short(f"{layer.name} ({layer.units})"), fill="black", anchor="rm", font=font)
    counts = (len(layer.silent), len(layer.unused), len(layer.duplicates), len(layer.saturated))
    x = float(_LEFT)
    draw.rectangle((_LEFT, y + 1, _LEFT + _WIDE, y + 15), fill=_REST)
    for count, (_, colour) in zip(counts, _KINDS, strict=True):
        end = x + _WIDE * count / layer.units
        if count:
            draw.rectangle((x, y + 1, max(end, x + 1), y + 15), fill=colour)
        x = end
    told = ", ".join(f"{count} {name}" for count, (name, _) in zip(counts, _KINDS, strict=True) if count)
    change = f"{layer.without:.1g}, {float(layer.changed[0]):.0%}: {told}" if layer.removable else told or "-"
    draw.text((_LEFT + _WIDE + 12, y + 8), change, fill="black", anchor="lm", font=font)


def _dearest(result: HealthReport) -> list[int]:
    """The modules with the largest share of anything, in the network's order."""
    shares = [max(result.share(place, column) for column in range(3)) for place in range(len(result.modules))]
    return sorted(sorted(range(len(shares)), key=lambda place: -shares[place])[:_COSTS])


def _shares(draw: ImageDraw.ImageDraw, result: HealthReport, place: int, y: int) -> None:
    font = ImageFont.load_default(13)
    draw.text((_LEFT - 8, y + 8), _short(result.modules[place]), fill="black", anchor="rm", font=font)
    shares = [result.share(place, column) for column in range(3)] + [result.time_share(result.modules[place])]
    for column, share in enumerate(shares):
        x = _LEFT + 150 * column
        if share is not None:
            draw.rectangle((x, y + 1, x + 90 * share + 1, y + 15), fill=OKABE_ITO[0])
            draw.text((x + 94, y + 8), f"{share:.0%}", fill="black", anchor="lm", font=font)


def _short(name: str) -> str:
    return name if len(name) <= 36 else f"…{name[-35:]}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _row(layer: LayerHealth) -> str:
    pairs = [f"{one} = {other}" for one, other in layer.duplicates.tolist()]
    cells = (_few(layer.silent.tolist()), _few(layer.unused.tolist()), _few(pairs), _few(layer.saturated.tolist()))
    share, low, high = layer.changed.tolist()
    return (
        f"<tr><th scope='row'>{escape(layer.name)}</th><td class='n'>{layer.units}</td>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + f"<td class='n'>{layer.without:.2g}</td><td class='n'>{share:.1%} ({low:.1%} … {high:.1%})</td>"
        f"<td class='n'>{'–' if layer.spare is None else layer.spare}</td></tr>"
    )


def _few(entries: list[int] | list[str]) -> str:
    more = f", … ({len(entries)})" if len(entries) > 8 else ""
    return ", ".join(map(str, entries[:8])) + more
