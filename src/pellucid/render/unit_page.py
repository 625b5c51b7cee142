"""The page of a unit: a sheet of its pictures and strongest examples, and a document that needs nothing beside itself."""

import io
from collections.abc import Callable, Mapping, Sequence
from html import escape

from PIL import Image

from pellucid.core.catalogue import entry
from pellucid.core.result import page, plot
from pellucid.render.charts import bar, histogram
from pellucid.render.feature_images import pictures
from pellucid.render.fragments import STYLE, items
from pellucid.render.heatmap import data_uri, jpeg, png
from pellucid.render.sheet import sheet
from pellucid.results.feature_images import AGREEMENT, DISTANCE, FINE, FeatureImages
from pellucid.results.unit_page import Histogram, UnitExample, UnitPage

_TILE, _SMALL = 168, 56
_STYLE = """
.pellucid .tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.9rem 1.1rem}
.pellucid .tiles figure{margin:0}.pellucid .examples{grid-template-columns:repeat(auto-fill,minmax(19rem,1fr))}
.pellucid .triple{display:flex;gap:4px;align-items:flex-start}
.pellucid .triple img{width:calc(33.3% - 3px)}.pellucid .tiles figcaption{overflow-wrap:anywhere}
.pellucid .tiles summary{cursor:pointer}.pellucid .tiles details ul{margin:.2rem 0;padding-left:1.1rem}
.pellucid mark{background:#ffe08a}.pellucid nav a{margin-right:1.1rem}
"""
_EXPLAINED = (
    "Each example with what the unit can see at its strongest place framed; then what excites it there, sent back through the "
    "network (middle grey is nothing); then the framed part by itself. The number is how strongly it responds."
)


@plot.register
def _(result: UnitPage) -> Image.Image:
    """The pictures that were made for the unit, then its strongest examples."""
    tiles: list[tuple[Image.Image, *tuple[str, ...]]] = []
    if result.pictures is not None:
        drawn = zip(pictures(result.pictures, _TILE), result.pictures.activations.tolist(), strict=True)
        tiles += [(tile, "made for it", f"activation {value:.3g}") for tile, value in drawn]
    tiles += [(_opened(one), one.name, f"activation {one.activation:.3g}") for one in result.examples]
    return sheet(tiles, f"{result.unit} of {result.subject}", 9)


@page.register
def _(result: UnitPage) -> str:
    return f"<div class='pellucid'><style>{STYLE}{_STYLE}</style>{_body(result, {})}</div>"


def document(result: UnitPage, links: Mapping[str, str], mark: str = "") -> str:
    """A page by itself. ``links`` lead on: from ``index``, ``before``, ``after``, and the numbers of other channels;
    ``mark`` is kept in its head, for whoever must know whether the page is up to date."""
    title = escape(f"{result.unit} of {result.subject}")
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='pellucid-page' content='{escape(mark, quote=True)}'>"
        f"<meta name='viewport' content='width=device-width,initial-scale=1'><title>{title}</title>"
        f"<style>body{{margin:0}}{STYLE}{_STYLE}</style></head><body><main class='pellucid'>{_navigation(links)}"
        f"{_body(result, links)}</main></body></html>\n"
    )


def thumbnails(result: UnitPage) -> list[bytes]:
    """The best picture of the unit, and what it sees of its strongest example, small, as far as there are any."""
    made = [] if result.pictures is None else [_content(pictures(result.pictures, _SMALL)[0])]
    seen = result.examples[0].seen if result.examples and not result.constant else None
    return made if seen is None else [*made, jpeg(Image.open(io.BytesIO(seen)), _SMALL)]


def _navigation(links: Mapping[str, str]) -> str:
    told = (("index", "all units"), ("before", "← the unit before"), ("after", "the unit after →"))
    found = "".join(f"<a href='{escape(links[name], quote=True)}'>{words}</a>" for name, words in told if name in links)
    return f"<nav class='small'>{found}</nav>" if found else ""


def _body(result: UnitPage, links: Mapping[str, str]) -> str:
    extent = " × ".join(map(str, result.extent))
    places = f"{extent} places of each example" if extent else "one value for each example"
    if any(one.span for one in result.examples):
        places = "a place for each piece of a text"
    return (
        f"<p class='small'>Pellucid · {escape(result.subject)} · what a unit has learned</p><h1>{escape(result.unit)}</h1>"
        f"<p>Channel {result.channel} of {result.channels} in layer {escape(result.layer)} ({escape(result.kind)}): {places}."
        f"</p><div class='brief'>{items(result.statements())}</div>{_pictures(result)}{_examples(result)}{_facets(result)}"
        f"{_statistics(result)}{_similar(result, links)}{_notes(result)}{_made_by(result)}"
    )


def _pictures(result: UnitPage) -> str:
    found = result.pictures
    if found is None:
        return ""
    most = result.statistics.get("maximum", 0.0)
    cells = []
    for number, tile in enumerate(pictures(found, _TILE)):
        apart = found.of(number, DISTANCE)
        away = "" if apart is None else f" ({apart:.2f} away)"
        nearest = f"nearest example: {escape(result.nearest[number])}{away}" if result.nearest else ""
        cells.append(_made(found, number, tile, result.unit, most, nearest))
    return (
        f"<h2>{len(cells)} pictures made for it</h2><p class='small'>Each began as different noise and was changed, step "
        f"by step, to excite the unit more on average over all places. The number is its strongest place, as for the examples below; "
        f"how far away an example is counts black to white as 1.</p><div class='tiles'>{''.join(cells)}</div>"
        f"{items(found.notes) if found.notes else ''}{_caveat('feature-image')}"
    )


def _made(found: FeatureImages, number: int, tile: Image.Image, unit: str, most: float, more: str) -> str:
    activation = float(found.activations[number])
    told = [
        f"<strong>{activation:.3g}</strong>" + (f", {activation / most:.2g} × the best example" if most > 0 else "")
    ]
    shares: tuple[tuple[str, Callable[[float], str]], ...] = (
        (FINE, lambda value: f"fine texture {value:.0%}"),
        (AGREEMENT, lambda value: f"like the other starts {value:.2f}"),
    )
    told += [words(value) for name, words in shares if (value := found.of(number, name)) is not None]
    told += [more] if more else []
    alternative = escape(f"A picture made to excite {unit} ({found.captions[number]})", quote=True)
    return (
        f"<figure><img alt='{alternative}' src='{data_uri(_content(tile))}'><figcaption>{'<br>'.join(told)}"
        f"<details><summary>how far to trust it</summary>{items(found.caveats(number))}</details></figcaption></figure>"
    )


def _examples(result: UnitPage) -> str:
    if not result.examples:
        return ""
    number, total = len(result.examples), result.examples_seen
    said = f"{number} of {total} examples, to all of which it responds alike" if result.constant else ""
    head = f"<h2>{said or f'Its {number} strongest examples of {total}'}</h2>"
    if result.examples[0].whole is None:
        rows = "".join(
            f"<tr><td class='n'>{one.activation:.3g}</td><th scope='row'>{escape(one.name)}</th><td>{_words(one)}</td></tr>"
            for one in result.examples
        )
        return (
            f"{head}<table><thead><tr><th class='n'>activation</th><th>example</th><th></th></tr></thead>{rows}</table>"
        )
    cells = "".join(_example(rank, one) for rank, one in enumerate(result.examples, 1))
    sent = result.examples[0].projected is not None
    caveat = _caveat("deconv-patches" if sent else "top-examples")
    return f"{head}<p class='small'>{_EXPLAINED}</p><div class='tiles examples'>{cells}</div>{caveat}"


def _example(rank: int, one: UnitExample) -> str:
    shown = (
        (one.whole, "what the unit sees is framed"),
        (one.projected, "what excites it, sent back to the pixels"),
        (one.seen, "what the unit sees"),
    )
    tiles = "".join(
        f"<img alt='{escape(f'{one.name}: {what}', quote=True)}' src='{data_uri(content)}'>"
        for content, what in shown
        if content is not None
    )
    return (
        f"<figure><div class='triple'>{tiles}</div><figcaption>{rank}. {escape(one.name)}: "
        f"<strong>{one.activation:.3g}</strong></figcaption></figure>"
    )


def _words(one: UnitExample) -> str:
    if one.span is None:
        return escape(one.words)
    first, last = one.span
    return f"{escape(one.words[:first])}<mark>{escape(one.words[first:last])}</mark>{escape(one.words[last:])}"


def _facets(result: UnitPage) -> str:
    found = result.facets
    if found is None:
        return ""
    cells = []
    for number, tile in enumerate(pictures(found, _TILE)):
        members = () if found.members is None else found.members[number]
        more = f"like {', '.join(members[:3])}{', …' if len(members) > 3 else ''}" if members else ""
        cells.append(
            _made(found, number, tile, result.unit, 0.0, f"{escape(found.captions[number])}<br>{escape(more)}")
        )
    kinds = "one kind" if len(found) == 1 else f"{len(found)} kinds"
    return (
        f"<h2>Facets: {len(found)}</h2><p class='small'>The examples that excite it are of {kinds}, as the network's codes tell "
        f"them apart; each picture began at the mean of one kind. The number is its mean over all places.</p>"
        f"<div class='tiles'>{''.join(cells)}</div>{items(found.notes) if found.notes else ''}{_caveat('multifaceted')}"
    )


def _statistics(result: UnitPage) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td class='n'>{f'{value:.1%}' if name.startswith('share') else f'{value:.4g}'}"
        "</td></tr>"
        for name, value in result.statistics.items()
    )
    best = () if result.pictures is None else ((float(result.pictures.activations.max()), "best picture"),)
    charts = "".join(
        f"<figure>{_drawn(found, title, marks)}<figcaption>{title}</figcaption></figure>"
        for found, title, marks in (
            (result.values, "its values at places drawn at random", ()),
            (result.strongest, "its strongest value in each example", best),
        )
        if found is not None and not result.constant
    )
    return (
        f"<h2>What it does over the data</h2><div class='row'><table><caption class='small'>over all places of "
        f"{result.examples_seen} examples; charts: taller is more often, by the logarithm</caption>{rows}</table><div>{charts}</div></div>"
    )


def _drawn(found: Histogram, title: str, marks: Sequence[tuple[float, str]]) -> str:
    return histogram(found.counts.tolist(), found.edges.tolist(), title, marks)


def _similar(result: UnitPage, links: Mapping[str, str]) -> str:
    if not result.similar:
        return ""
    rows = []
    for number, value in result.similar:
        name = escape(f"{result.layer}/{number}")
        link = links.get(str(number))
        named = name if link is None else f"<a href='{escape(link, quote=True)}'>{name}</a>"
        rows.append(f"<tr><th scope='row'>{named}</th><td class='n'>{value:+.2f}</td><td>{bar(value)}</td></tr>")
    return (
        "<h2>Most similar channels</h2><p class='small'>Channels of the same layer by the correlation of their values at the "
        f"same places of {result.examples_seen} examples; of few examples many channels seem alike.</p><table>{''.join(rows)}</table>"
    )


def _notes(result: UnitPage) -> str:
    said = list(result.notes)
    if result.failed:
        named = "; ".join(f"{name}: {reason}" for name, reason in result.failed.items())
        said.append(
            f"{len(result.failed)} of the data could not be read and {'is' if len(result.failed) == 1 else 'are'} left out: {named}"
        )
    return f"<h2>Notes</h2>{items(said)}" if said else ""


def _made_by(result: UnitPage) -> str:
    """What it takes to make the same page again."""
    if result.provenance is None:
        return ""
    versions = ", ".join(f"{name} {version}" for name, version in result.provenance.versions.items())
    fields = ", ".join(f"{name} {value}" for name, value in result.provenance.fields.items())
    network = result.provenance.subject_fingerprint
    return f"<p class='small'>Made by {escape(versions)}, from the network {network}, with {escape(fields)}.</p>"


def _content(tile: Image.Image) -> bytes:
    """Colours as JPEG, which is a third of the size; grey pictures as PNG, whose pixels may be large."""
    return jpeg(tile) if tile.mode == "RGB" else png(tile)


def _caveat(method: str) -> str:
    return f"<p class='caveat'>{escape(str(entry(method)['caveat']))}</p>"


def _opened(one: UnitExample) -> Image.Image:
    if one.seen is None:
        return Image.new("RGB", (_TILE, _TILE), "white")
    return Image.open(io.BytesIO(one.seen)).convert("RGB").resize((_TILE, _TILE))
