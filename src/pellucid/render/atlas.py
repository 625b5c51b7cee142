"""The index of many unit pages: a plain list of thumbnails by layer, which a few lines of script make searchable."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any
from urllib.parse import quote

from pellucid.render.fragments import STYLE

_STYLE = """
.pellucid .units{list-style:none;display:grid;grid-template-columns:repeat(auto-fill,minmax(8.4rem,1fr));gap:.7rem;padding:0}
.pellucid .units a{display:block;text-align:center;font-size:.86rem;text-decoration:none;color:inherit;overflow-wrap:anywhere}
.pellucid .units img{width:56px;height:56px;object-fit:contain}.pellucid .units .none{display:inline-block;width:56px;height:56px;
border:1px dashed #999;border-radius:3px}.pellucid .units a:hover .name{text-decoration:underline}
.pellucid #search{font:inherit;padding:.3rem .6rem;width:22rem;max-width:100%}.pellucid [hidden]{display:none!important}
"""
# Without script the box stays hidden and the list is whole.
_SCRIPT = """
const box = document.getElementById('search'), told = document.getElementById('found')
box.closest('p').hidden = false
const units = [...document.querySelectorAll('.units li')], layers = [...document.querySelectorAll('section')]
box.addEventListener('input', () => {
  const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean)
  for (const unit of units) unit.hidden = !words.every(word => unit.dataset.words.includes(word))
  for (const layer of layers) layer.hidden = !layer.querySelector('li:not([hidden])')
  told.textContent = words.length ? units.filter(unit => !unit.hidden).length + ' of ' + units.length + ' units' : ''
})
"""


def index_page(atlas: Mapping[str, Any]) -> str:
    """The index as one document, from what ``atlas.json`` holds."""
    units: Sequence[Mapping[str, Any]] = atlas["units"]
    layers = "".join(_layer(name, list(part)) for name, part in groupby(units, key=lambda unit: str(unit["layer"])))
    subject, number = escape(atlas["subject"]), len(atlas["examples"])
    failed = "".join(
        f"<li><strong>{escape(name)}</strong>: {escape(reason)}</li>" for name, reason in atlas["failed"].items()
    )
    problems = f"<h2>Data that could not be read ({len(atlas['failed'])})</h2><ul>{failed}</ul>" if failed else ""
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        f"content='width=device-width,initial-scale=1'><title>What {subject} has learned</title>"
        f"<style>body{{margin:0}}{STYLE}{_STYLE}</style></head><body><main class='pellucid'><p class='small'>Pellucid · {subject}"
        f"</p><h1>What {_counted(len(units))} of {subject} learned</h1><p class='brief'>Of each unit, on the left a picture that "
        f"was made to excite it, on the right what it sees of the example that excites it most, of {number}. Its page shows more "
        "of both, and what the unit does over all of the data.</p><p hidden><label>Search by layer, number, class or example: "
        f"<input id='search' type='search' placeholder='{escape(str(units[0]['layer']), quote=True)}'></label> <span id='found' class='small'></span></p>"
        f"{layers}{problems}</main><script>{_SCRIPT}</script></body></html>\n"
    )


def _layer(name: str, units: Sequence[Mapping[str, Any]]) -> str:
    first = units[0]
    extent = " × ".join(map(str, first["extent"]))
    told = f"{first['kind']}, {len(units)} of {first['channels']} channels" + (f", {extent} places" if extent else "")
    return (
        f"<section><h2>{escape(name)}</h2><p class='small'>{escape(told)}</p><ul class='units'>"
        f"{''.join(map(_unit, units))}</ul></section>"
    )


def _unit(unit: Mapping[str, Any]) -> str:
    name = escape(unit["unit"], quote=True)
    shown = "".join(f"<img alt='What excites {name}' src='{small}'>" for small in unit["thumbnails"])
    shown = shown or "<span class='none'></span>"
    more = ", ".join(part for part in (unit["label"], _said(unit)) if part)
    told = f"<br><span class='small'>{escape(more)}</span>" if more else ""
    words = escape(" ".join([unit["unit"], unit["kind"], more, *unit["examples"]]).lower(), quote=True)
    return (
        f"<li data-words='{words}'><a href='{quote(unit['page'])}' title='{name}'>{shown}<br>"
        f"<span class='name'>{unit['channel']}</span>{told}</a></li>"
    )


def _said(unit: Mapping[str, Any]) -> str:
    """What sets a unit apart from most."""
    if unit["constant"]:
        return "silent" if unit["dead"] else "constant"
    return f"{unit['facets']} facets" if (unit["facets"] or 1) > 1 else ""


def _counted(units: int) -> str:
    return "one unit" if units == 1 else f"{units} units"
