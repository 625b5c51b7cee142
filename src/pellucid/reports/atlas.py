"""An atlas: a page for each of many units of a network, an index to search, and nothing done twice after a kill."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pellucid import __version__
from pellucid.core.content import digest
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.core.files import SUFFIX, write_bytes
from pellucid.core.meter import report as report_progress
from pellucid.core.method import fields_of
from pellucid.core.provenance import Provenance, versions
from pellucid.core.query import Decision
from pellucid.core.spec import Modality
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.dataset import DataSet
from pellucid.engine.projection import Signal
from pellucid.engine.summaries import summarise
from pellucid.engine.targets import resolve
from pellucid.engine.units import UnitLayer
from pellucid.engine.walking import as_it_is, layers_named
from pellucid.guide.samples import PHOTOGRAPHS, samples
from pellucid.methods.features.feature_image import FeatureImage
from pellucid.methods.features.multifaceted import Multifaceted
from pellucid.render.atlas import index_page
from pellucid.render.heatmap import data_uri
from pellucid.render.unit_page import document, thumbnails
from pellucid.reports.unit_pages import Drawn, LayerPages
from pellucid.reports.unit_pictures import TOGETHER, Remembered
from pellucid.reports.writing import check_writable
from pellucid.results.unit_page import UnitPage
from pellucid.store.activations import ActivationStore

OUT = Path("pellucid-units")
ATLAS, PAGE, KEPT = "atlas.json", "index.html", "kept"
_FORMAT = 1
_HEAD = 600


def units(
    subject: Subject,
    layers: Sequence[str],
    data: Any = None,
    out: str | os.PathLike[str] = OUT,
    *,
    channels: Sequence[int] | None = None,
    most: int | None = None,
    starts: int = 9,
    steps: int = 64,
    size: int | None = None,
    examples: int = 9,
    signal: Signal = "deconvnet",
    facets: bool = False,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Write a page for each unit of ``layers`` (names or patterns) into the folder ``out``, and ``index.html``.

    A unit is a channel: all of a layer, those in ``channels``, or of these at most ``most``, evenly spaced. ``data`` are raw
    inputs, by default photographs or other samples at hand; what cannot be read is left out and named. Of each unit there are
    pictures from so many ``starts`` (``steps``, ``size``: see ``feature-image``) and its strongest ``examples``, each with what
    is sent back to its pixels (``signal``: see ``deconv-patches``). With ``facets`` the kinds of examples that excite a unit are told
    apart (see ``multifaceted``), which takes a pass over the data for each unit.

    Beside each page lies its data, a :class:`~pellucid.UnitPage` in a file. What is there already for the same network, data
    and settings is kept: a run that was killed goes on where it was and ends with the same files, and one with further
    layers or channels adds their pages. Returns what ``atlas.json`` holds.
    """
    folder = Path(out)
    found = Multifaceted(starts=1, steps=steps, size=size, seed=seed) if facets else None
    drawn = Drawn(FeatureImage(starts=starts, steps=steps, size=size, seed=seed), examples, signal, found)
    check_writable(folder)
    subject = as_it_is(subject)
    known = _data(subject, data, names)
    wanted = _wanted(subject, known, layers, channels, most)
    return _Atlas(subject, known, drawn, folder).write(wanted)


def class_unit(subject: Subject, data: Any, target: Any) -> str:
    """The unit of the output layer that stands for a class, as ``layer/channel``.

    Raises ``NotAnswerable`` where no layer returns the scores.
    """
    example = subject.task.example()
    one = _data(subject, data).inputs([0]) if example is None else example.rows(slice(0, 1))
    asked = resolve(subject, one, Decision(one, target))
    assert asked.index is not None
    outputs = _outputs(subject, one)
    if not outputs or asked.index.shape[1] != 1:
        raise NotAnswerable(
            f"no layer of {subject.name} returns its scores, so a class has no unit; name a unit instead"
        )
    return f"{outputs[-1]}/{int(asked.index[0, 0])}"


@dataclass(frozen=True)
class _Wanted:
    """The channels of a layer that get a page."""

    layer: UnitLayer
    channels: tuple[int, ...]


class _Atlas:
    """The pages of one network over one data set, in a folder."""

    def __init__(self, subject: Subject, data: DataSet, drawn: Drawn, folder: Path) -> None:
        self._subject, self._data, self._drawn, self._folder = subject, data, drawn, folder
        self._known = Remembered(subject, data)
        read = [data.digest, data.names, data.failed]
        self._base = digest([_FORMAT, __version__, versions(), subject.name, subject.fingerprint, read, drawn])
        self._labels = subject.task.labels or ()
        one = data.inputs([0])
        self._outputs = _outputs(subject, one)
        self._order = {layer.name: number for number, layer in enumerate(subject.layers(one))}

    def write(self, wanted: Sequence[_Wanted]) -> dict[str, Any]:
        """Every page that is not there yet, then the index."""
        store = ActivationStore(self._folder / KEPT)
        names = [part.layer.name for part in wanted]
        summaries = summarise(self._subject, self._data, names, store, k=self._drawn.examples)
        found = {(unit["layer"], unit["channel"]): unit for unit in self._before()}
        order = [(part.layer.name, channel) for part in wanted for channel in part.channels]
        asked = {place: number for number, place in enumerate(sorted({*found, *order}, key=self._place))}
        done = 0
        for part in wanted:
            labels = self._labels if part.layer.name in self._outputs else ()
            made = LayerPages(self._subject, self._known, summaries[part.layer.name], self._drawn, labels)
            for start in range(0, len(part.channels), TOGETHER):
                together = part.channels[start : start + TOGETHER]
                report_progress(done, len(order), f"{part.layer.name}/{together[0]}")
                self._make(made, part.layer.name, together)
                for channel in together:
                    found[part.layer.name, channel] = self._show(part.layer.name, channel, asked)
                done += len(together)
        report_progress(done, len(order), "index")
        return self._index([found[place] for place in asked])

    def _make(self, made: LayerPages, layer: str, together: Sequence[int]) -> None:
        """Keep the data of these pages. All are drawn again where one is missing, so that the same come out."""
        missing = [channel for channel in together if self._kept(layer, channel) is None]
        if missing:
            for page in made.pages(together, missing):
                key = self._key(layer, page.channel)
                dataclasses.replace(page, key=key, provenance=self._provenance(page)).save(
                    self._file(layer, page.channel)
                )

    def _show(self, layer: str, channel: int, asked: Mapping[tuple[str, int], int]) -> dict[str, Any]:
        """Write a page where it is not there as it must be; what the index says of it."""
        page = self._kept(layer, channel)
        assert page is not None
        links = _links(page, asked)
        path, mark = self._file(layer, channel).with_suffix(".html"), digest([page.key, links])
        if not _marked(path, mark):
            write_bytes(path, document(page, links, mark).encode())
        return _entry(page, path.relative_to(self._folder))

    def _index(self, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        atlas = {
            "subject": self._subject.name,
            "key": self._base,
            "settings": fields_of(self._drawn.pictures),
            "examples": list(self._data.names),
            "failed": dict(self._data.failed),
            "units": list(found),
        }
        write_bytes(self._folder / ATLAS, (json.dumps(atlas, indent=1, ensure_ascii=False) + "\n").encode())
        write_bytes(self._folder / PAGE, index_page(atlas).encode())
        return atlas

    def _before(self) -> list[dict[str, Any]]:
        """What the index of an earlier run with the same network, data and settings says."""
        try:
            told = json.loads((self._folder / ATLAS).read_text(encoding="utf-8"))
            same = told["key"] == self._base
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return [unit for unit in told["units"] if same and (self._folder / unit["page"]).is_file()]

    def _place(self, place: tuple[str, int]) -> tuple[int, int]:
        return self._order.get(place[0], len(self._order)), place[1]

    def _kept(self, layer: str, channel: int) -> UnitPage | None:
        try:
            page = UnitPage.load(self._file(layer, channel))
        except BadInput:
            return None
        return page if page.key == self._key(layer, channel) else None

    def _file(self, layer: str, channel: int) -> Path:
        return self._folder / quote(layer, safe="") / f"{channel}{SUFFIX}"

    def _key(self, layer: str, channel: int) -> str:
        return digest([self._base, layer, channel])

    def _provenance(self, page: UnitPage) -> Provenance:
        return Provenance(
            method="unit-page",
            fields={
                **fields_of(self._drawn.pictures),
                "examples": self._drawn.examples,
                "signal": self._drawn.signal,
                "facets": self._drawn.facets is not None,
            },
            subject=self._subject.name,
            subject_fingerprint=self._subject.fingerprint,
            query_fingerprint=self._key(page.layer, page.channel),
            device=str(getattr(self._subject, "device", "cpu")),
        )


def _data(subject: Subject, data: Any, names: Sequence[str] | None = None) -> DataSet:
    if data is not None:
        raws = list(data) if isinstance(data, list | tuple) else [data]
        if names is not None and len(names) != len(raws):
            raise UsageError(f"{len(names)} names for {len(raws)} inputs")
        return DataSet(subject, raws, _called(raws) if names is None else names)
    if subject.task.modality is Modality.IMAGE:
        return DataSet(subject, [one.path for one in PHOTOGRAPHS], [one.name for one in PHOTOGRAPHS])
    found = samples(subject)
    if found is None:
        raise UsageError(f"nothing is known of what {subject.name} reads; name data to look in")
    return DataSet(subject, found, ["sample"])


def _called(raws: Sequence[Any]) -> list[str]:
    """Files by their names, anything else by its number."""
    return [Path(raw).name if isinstance(raw, os.PathLike) else f"example {n}" for n, raw in enumerate(raws)]


def _wanted(
    subject: Subject, data: DataSet, layers: Sequence[str], channels: Sequence[int] | None, most: int | None
) -> list[_Wanted]:
    if most is not None and most < 1:
        raise UsageError(f"most={most}: at least one unit per layer")
    found = []
    for layer in layers_named(subject, data.inputs([0]), layers):
        chosen = range(layer.channels) if channels is None else sorted({_channel(layer, number) for number in channels})
        count = len(chosen) if most is None else min(most, len(chosen))
        found.append(_Wanted(layer, tuple(chosen[number * len(chosen) // count] for number in range(count))))
    if not found:
        raise UsageError("name one or more layers, such as 'blocks.3' or 'blocks.*'")
    return found


def _channel(layer: UnitLayer, number: int) -> int:
    layer.check(number)
    return number


def _outputs(subject: Subject, one: Inputs) -> list[str]:
    """The layers whose output are the scores, the last of them last."""
    scores = subject.scores(one)
    alike = [layer.name for layer in subject.layers(one) if layer.shape == tuple(scores.shape[1:])]
    found = subject.run(one, capture=alike).activations if alike else {}
    rounding = 1e-4 * float(scores.abs().max())
    return [name for name in alike if bool((found[name].cpu() - scores).abs().max() <= rounding)]


def _links(page: UnitPage, asked: Mapping[tuple[str, int], int]) -> dict[str, str]:
    """Where a page leads: the index, the pages beside it in the order of the index, and those of similar channels."""
    places, number = list(asked), asked[page.layer, page.channel]
    beside = (("before", number - 1), ("after", number + 1))
    found = {"index": f"../{PAGE}"}
    found |= {name: _address(places[other]) for name, other in beside if 0 <= other < len(places)}
    similar = [(page.layer, channel) for channel, _ in page.similar]
    return found | {str(place[1]): _address(place) for place in similar if place in asked}


def _address(place: tuple[str, int]) -> str:
    return f"../{quote(quote(place[0], safe=''))}/{place[1]}.html"


def _marked(path: Path, mark: str) -> bool:
    try:
        with path.open("rb") as file:
            return mark.encode() in file.read(_HEAD)
    except OSError:
        return False


def _entry(page: UnitPage, path: Path) -> dict[str, Any]:
    best = None if page.pictures is None else float(page.pictures.activations.max())
    return {
        "unit": page.unit,
        "layer": page.layer,
        "kind": page.kind,
        "channel": page.channel,
        "channels": page.channels,
        "extent": list(page.extent),
        "label": page.label,
        "page": path.as_posix(),
        "constant": page.constant,
        "dead": page.dead,
        "statistics": dict(page.statistics),
        "best picture": best,
        "facets": None if page.facets is None else len(page.facets),
        "examples": [one.name for one in page.examples],
        "similar": [list(pair) for pair in page.similar],
        "thumbnails": list(map(data_uri, thumbnails(page))),
    }
