"""A route as a graph: layers from left to right, their kept channels as dots, lines where relevance flows between them."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pellucid.core.result import page, plot
from pellucid.render.charts import bar
from pellucid.render.colours import NEGATIVE, OKABE_ITO, POSITIVE
from pellucid.render.fragments import STYLE, background, caveat_of, heading_of, items
from pellucid.render.heatmap import data_uri, jpeg
from pellucid.results.route import NETWORKS, Route, RouteLayer

_DOTS, _LINES = 8, 2
_LEFT, _RIGHT, _TOP, _STEP, _BELOW = 96, 150, 108, 38, 62
_SMALLEST, _LARGEST = 3.0, 11.0
_GREY = "#666666"


@dataclass(frozen=True)
class Dot:
    """A kept channel, the input or the decision: where it lies, how large and in which colour, and what it is."""

    x: float
    y: float
    radius: float
    colour: str
    label: str
    title: str


@dataclass(frozen=True)
class Line:
    """Relevance that flows between two dots; ``strength`` in 0 … 1."""

    start: Dot
    end: Dot
    strength: float
    colour: str


@dataclass(frozen=True)
class Graph:
    """Everything that is drawn of one route; ``columns`` are the place and the layer of each column."""

    width: int
    height: int
    columns: tuple[tuple[float, RouteLayer], ...]
    dots: tuple[Dot, ...]
    lines: tuple[Line, ...]
    ends: tuple[Dot, Dot]


@plot.register
def _(result: Route, example: int = 0, picture: Any = None) -> Image.Image:
    """The graph of one example's route, with ``picture`` (by default the one that was asked about) at its beginning."""
    return drawn(result, example, background(result, example, picture))


@page.register
def _(result: Route) -> str:
    cards = "".join(_card(result, example) for example in range(len(result)))
    return f"<div class='pellucid'><style>{STYLE}</style>{cards}{caveat_of(result)}</div>"


def graph(result: Route, example: int) -> Graph:
    """Where everything of one route lies."""
    step = min(170.0, max(46.0, 900 / len(result.layers)))
    middle = _TOP + _STEP * (_DOTS - 1) / 2
    places = [_LEFT + step * (number + 0.75) for number in range(len(result.layers))]
    columns = [_column(layer, example, x) for layer, x in zip(result.layers, places, strict=True)]
    first = Dot(_LEFT - 34, middle, 0, _GREY, "input", "the input")
    last = Dot(places[-1] + step * 0.75 + 12, middle, 0, _GREY, result.question(example), "the decision")
    lines = [*_from_input(first, columns[0]), *_to_decision(columns[-1], last)]
    for layer, before, column in zip(result.layers[1:], columns, columns[1:], strict=False):
        lines += _between(layer, example, before, column)
    width, height = int(last.x + _RIGHT), int(_TOP + _STEP * (_DOTS - 1) + _BELOW)
    dots = tuple(dot for column in columns for dot in column.values())
    return Graph(width, height, tuple(zip(places, result.layers, strict=True)), dots, tuple(lines), (first, last))


def _column(layer: RouteLayer, example: int, x: float) -> dict[int, Dot]:
    """The strongest kept channels of a layer by number, the strongest in the middle."""
    parts, strongest = layer.parts(example), layer.strongest(example, _DOTS)
    largest = max((abs(float(parts[channel])) for channel in strongest), default=1.0) or 1.0
    found = {}
    for rank, channel in enumerate(strongest):
        away = (rank + 1) // 2 * (1 if rank % 2 else -1)
        part = float(parts[channel])
        found[channel] = Dot(
            x,
            _TOP + _STEP * ((_DOTS - 1) / 2 + away - (0.5 if _DOTS % 2 == 0 else 0)),
            max(_SMALLEST, _LARGEST * (abs(part) / largest) ** 0.5),
            POSITIVE if part >= 0 else NEGATIVE,
            str(channel),
            f"channel {channel} of {layer.name}: {part:+.1%} of what flows through the layer",
        )
    return found


def _between(layer: RouteLayer, example: int, before: dict[int, Dot], column: dict[int, Dot]) -> Iterator[Line]:
    """The strongest flows into each dot of a column from the dots of the column before."""
    found: dict[int, list[tuple[float, int]]] = {}
    for (number, channel, source), flow in zip(layer.links.tolist(), layer.flow.tolist(), strict=True):
        if number == example and channel in column and source in before:
            found.setdefault(channel, []).append((flow, source))
    largest = max((abs(flow) for flows in found.values() for flow, _ in flows), default=1.0) or 1.0
    for channel, flows in found.items():
        for flow, source in sorted(flows, key=lambda one: -abs(one[0]))[:_LINES]:
            colour = POSITIVE if flow >= 0 else NEGATIVE
            yield Line(before[source], column[channel], abs(flow) / largest, colour)


def _from_input(first: Dot, column: dict[int, Dot]) -> Iterator[Line]:
    for dot in column.values():
        yield Line(first, dot, (dot.radius / _LARGEST) ** 2, dot.colour)


def _to_decision(column: dict[int, Dot], last: Dot) -> Iterator[Line]:
    for dot in column.values():
        yield Line(dot, last, (dot.radius / _LARGEST) ** 2, dot.colour)


def _width_and_opacity(strength: float) -> tuple[float, float]:
    return 0.8 + 4.2 * strength, 0.25 + 0.55 * strength


def svg(result: Route, example: int, picture: Image.Image | None = None) -> str:
    """The graph as inline SVG that needs no script."""
    found = graph(result, example)
    first, last = found.ends
    parts = []
    for line in found.lines:
        width, opacity = _width_and_opacity(line.strength)
        parts.append(
            f"<line x1='{line.start.x:.1f}' y1='{line.start.y:.1f}' x2='{line.end.x:.1f}' y2='{line.end.y:.1f}' "
            f"stroke='{line.colour}' stroke-width='{width:.1f}' stroke-opacity='{opacity:.2f}'/>"
        )
    for dot in found.dots:
        parts.append(
            f"<circle cx='{dot.x:.1f}' cy='{dot.y:.1f}' r='{dot.radius:.1f}' fill='{dot.colour}' stroke='white'>"
            f"<title>{escape(dot.title)}</title></circle>"
            f"<text x='{dot.x + dot.radius + 2:.1f}' y='{dot.y + 4:.1f}' font-size='10' fill='#444' stroke='white' "
            f"stroke-width='2.5' paint-order='stroke'>{dot.label}</text>"
        )
    for x, layer in found.columns:
        parts.append(_under(x, layer, example, found.height))
        parts.append(
            f"<text transform='translate({x:.1f},{_TOP - 26}) rotate(-40)' font-weight='600'>{escape(_short(layer.name))}"
            f"<title>{escape(layer.name)}: {escape(layer.kind)}</title></text>"
        )
    if picture is not None:
        parts.append(
            f"<image x='{first.x - 56}' y='{first.y - 42:.1f}' width='84' height='84' "
            f"href='{data_uri(jpeg(picture, 168))}'/>"
        )
    parts.append(_ends(first, last))
    for number, word in enumerate(_wrapped(last.label)):
        y = last.y + 4 + 15 * number
        parts.append(f"<text x='{last.x + 6:.1f}' y='{y:.1f}' font-weight='600'>{escape(word)}</text>")
    label = escape(f"The route of {result.question(example)} through {len(result.layers)} layers", quote=True)
    return (
        f"<svg role='img' viewBox='0 0 {found.width} {found.height}' width='{found.width}' font-size='12' "
        f"font-family='system-ui, sans-serif' aria-label='{label}'>{''.join(parts)}</svg>"
    )


def _ends(first: Dot, last: Dot) -> str:
    style = "font-size='11' fill='#666'"
    return (
        f"<text x='{first.x - 14:.1f}' y='{first.y - 50:.1f}' text-anchor='middle' {style}>input</text>"
        f"<text x='{last.x + 6:.1f}' y='{last.y - 14:.1f}' {style}>decision</text>"
    )


def _under(x: float, layer: RouteLayer, example: int, height: int) -> str:
    lines = _counts(layer, example)
    return "".join(
        f"<text x='{x:.1f}' y='{height - 28 + 13 * number}' text-anchor='middle' font-size='11' fill='#333'>{line}</text>"
        for number, line in enumerate(lines)
    )


def _counts(layer: RouteLayer, example: int) -> tuple[str, str]:
    return str(int(layer.kept[example].sum())), f"of {layer.channels}"


def _short(name: str, longest: int = 20) -> str:
    """The end of a long name; the whole of it is in the title."""
    end = name if len(name) <= longest else ".".join(name.split(".")[-2:])
    return end if len(end) <= longest else "…" + end[1 - longest :]


def _wrapped(label: str, longest: int = 20) -> list[str]:
    lines = [""]
    for word in label.split():
        lines[-1:] = [f"{lines[-1]} {word}".strip()] if len(lines[-1]) + len(word) < longest else [lines[-1], word]
    return [line for line in lines if line][:4]


def drawn(result: Route, example: int, picture: Image.Image | None = None) -> Image.Image:
    """The graph as a picture."""
    found, fine = graph(result, example), 3
    canvas = Image.new("RGB", (found.width * fine, found.height * fine), "white")
    draw = ImageDraw.Draw(canvas)
    for line in sorted(found.lines, key=lambda line: line.strength):
        width, opacity = _width_and_opacity(line.strength)
        ends = [(fine * dot.x, fine * dot.y) for dot in (line.start, line.end)]
        draw.line(ends, fill=_faded(line.colour, opacity), width=max(1, round(fine * width)))
    for dot in found.dots:
        box = [
            fine * (dot.x - dot.radius),
            fine * (dot.y - dot.radius),
            fine * (dot.x + dot.radius),
            fine * (dot.y + dot.radius),
        ]
        draw.ellipse(box, fill=dot.colour, outline="white", width=fine)
    canvas = canvas.resize((found.width, found.height), Image.Resampling.LANCZOS)
    draw, font, small = ImageDraw.Draw(canvas), ImageFont.load_default(12), ImageFont.load_default(10)
    for dot in found.dots:
        draw.text(
            (dot.x + dot.radius + 2, dot.y),
            dot.label,
            fill="#444",
            anchor="lm",
            font=small,
            stroke_width=1,
            stroke_fill="white",
        )
    for x, layer in found.columns:
        for number, text in enumerate(_counts(layer, example)):
            draw.text((x, found.height - 32 + 13 * number), text, fill="#333", anchor="mm", font=font)
        _slanted(canvas, _short(layer.name), (round(x), _TOP - 26), font)
    what = "decision" if result.decided[example] else "score"
    title = f"{int(result.kept[example])} of {result.channels} channels keep the {what} on their own"
    draw.text((10, 14), title, fill="black", anchor="lm", font=ImageFont.load_default(14))
    first, last = found.ends
    draw.text((first.x - 14, first.y - 54), "input", fill=_GREY, anchor="mm", font=font)
    draw.text((last.x + 6, last.y - 18), "decision", fill=_GREY, anchor="lm", font=font)
    if picture is not None:
        shown = picture.convert("RGB")
        shown.thumbnail((84, 84))
        canvas.paste(shown, (round(first.x) - 56, round(first.y - shown.height / 2)))
    for number, word in enumerate(_wrapped(last.label)):
        draw.text((last.x + 6, last.y + 15 * number), word, fill="black", anchor="lm", font=font)
    return canvas


def _slanted(canvas: Image.Image, text: str, place: tuple[int, int], font: Any) -> None:
    """Write upwards at 40 degrees from a place."""
    size = int(font.getlength(text)) + 4
    stamp = Image.new("L", (2 * size, 2 * size), 0)
    ImageDraw.Draw(stamp).text((size, size), text, fill=255, anchor="ls", font=font)
    turned = stamp.rotate(40, resample=Image.Resampling.BICUBIC)
    canvas.paste("black", (place[0] - size, place[1] - size), turned)


def _faded(colour: str, opacity: float) -> tuple[int, ...]:
    channels = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return tuple(round(255 - opacity * (255 - channel)) for channel in channels)


def _card(result: Route, example: int) -> str:
    return (
        f"<section><h2>{escape(heading_of(result))}: {escape(result.question(example))}</h2>"
        f"<div class='brief'>{items(result.statements(example))}</div>"
        f"<figure>{svg(result, example, background(result, example))}<figcaption>{_caption(result, example)}</figcaption></figure>"
        f"<h3>What the network answers when parts of it are switched off</h3>{_networks(result, example)}</section>"
    )


def _caption(result: Route, example: int) -> str:
    what = "answer stays" if result.decided[example] else "score stays"
    return (
        "Read from left to right. Every column is a layer, every dot one of its channels (a pattern that the layer looks "
        f"for) that the route keeps. At most {_DOTS} are drawn, with their numbers, larger the more of the decision flows "
        "through them: "
        f"<b style='color:{POSITIVE}'>red</b> speaks for {escape(result.question(example))}, "
        f"<b style='color:{NEGATIVE}'>blue</b> against it. Lines show from which channels of the layer before it comes. "
        f"Below each column: how many of its channels are kept. All others are switched off at once, and the {what}."
    )


def _networks(result: Route, example: int) -> str:
    kept = int(result.kept[example])
    counts = (result.channels, kept, result.channels - kept, 0)
    lines = [
        _line(
            name,
            count,
            result.channels,
            result.value[example, number],
            result.answered(example, number),
            _verdict(result, example, number),
        )
        for number, (name, count) in enumerate(zip(NETWORKS, counts, strict=True))
    ]
    if result.draws:
        share, low, high = result.control[example].tolist()
        told = f"{share:.0%} of {result.draws} keep it ({low:.0%} … {high:.0%})"
        lines.append(_line("random routes", kept, result.channels, result.control_value[example], "", told))
    return (
        "<table><thead><tr><th>at work</th><th class='n' colspan='2'>channels</th><th class='n'>value</th>"
        f"<th>comes first</th><th>the {'decision' if result.decided[example] else 'score'}</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _verdict(result: Route, example: int, number: int) -> str:
    return "is kept" if bool(result.slack[example, number] > 0) else "is lost"


def _line(name: str, count: int, channels: int, value: Tensor, answer: str, told: str) -> str:
    return (
        f"<tr><th scope='row'>{escape(name)}</th><td class='n'>{count}</td><td>{bar(count / channels, OKABE_ITO[0])}</td>"
        f"<td class='n'>{float(value):.4g}</td><td>{escape(answer)}</td><td>{escape(told)}</td></tr>"
    )
