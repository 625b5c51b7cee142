"""Pages of units: what a layer's channels do over a data set, with pictures made for each and its strongest examples."""

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.query import Unit
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.projection import Signal, projected, shares_inside
from pellucid.engine.receptive_fields import receptive_fields
from pellucid.engine.summaries import LayerSummary
from pellucid.engine.unit_examples import placed
from pellucid.methods.features.feature_image import FeatureImage
from pellucid.methods.features.multifaceted import Multifaceted
from pellucid.render.heatmap import jpeg, png
from pellucid.render.patches import framed, patch, projection
from pellucid.reports.unit_pictures import Remembered, UnitPictures
from pellucid.results.feature_images import NEAREST, FeatureImages
from pellucid.results.unit_page import Histogram, UnitExample, UnitPage

_SIDE, _BINS, _RELATIVES, _CLEAR = 144, 40, 8, 0.98


@dataclass(frozen=True)
class Drawn:
    """How pages are made: the pictures (from how many starts, of which size, in how many steps), how many ``examples`` are
    shown, what happens to the ``signal`` that is sent back to them at rectifiers, and how ``facets`` are found, if they are."""

    pictures: FeatureImage = field(default_factory=lambda: FeatureImage(starts=9, steps=64))
    examples: int = 9
    signal: Signal = "deconvnet"
    facets: Multifaceted | None = None


class LayerPages:
    """Makes the pages of one layer's channels over the data that ``summary`` sums up."""

    def __init__(
        self, subject: Subject, known: Remembered, summary: LayerSummary, drawn: Drawn, labels: Sequence[str] = ()
    ) -> None:
        self._subject, self._known, self._data = subject, known, known.data
        self._summary, self._drawn = summary, drawn
        self._layer, self._labels = summary.layer, labels
        self._pictures = UnitPictures(subject, known, summary, drawn.pictures)

    def pages(self, together: Sequence[int], wanted: Collection[int]) -> Iterator[UnitPage]:
        """The pages of those channels that are wanted, of several that are drawn together."""
        for channel, pictures in zip(together, self._pictures.of(together), strict=True):
            if channel in wanted:
                yield self._page(channel, pictures)

    def _page(self, channel: int, pictures: FeatureImages | str) -> UnitPage:
        summary, layer = self._summary, self._layer
        examples, notes = self._examples(channel)
        if isinstance(pictures, str):
            notes = (f"No picture was made: {pictures}", *notes)
        facets, unfound = self._facets(channel)
        return UnitPage(
            subject=self._subject.name,
            layer=layer.name,
            kind=layer.kind,
            channel=channel,
            channels=layer.channels,
            extent=layer.extent,
            label=self._labels[channel] if len(self._labels) == layer.channels else "",
            pictures=None if isinstance(pictures, str) else pictures,
            nearest=() if isinstance(pictures, str) else self._named(pictures),
            examples=examples,
            facets=facets,
            statistics=_statistics(summary, channel),
            constant=bool(summary.constant[channel]),
            values=Histogram(**_bins(summary.values, channel)),
            strongest=Histogram(**_bins(summary.peaks, channel)),
            similar=tuple(summary.similar(channel, _RELATIVES)),
            examples_seen=len(self._data),
            failed=self._data.failed,
            notes=(*notes, *unfound),
        )

    def _named(self, pictures: FeatureImages) -> tuple[str, ...]:
        numbers = pictures.evidence.get(NEAREST)
        return () if numbers is None else tuple(self._data.names[int(number)] for number in numbers)

    def _facets(self, channel: int) -> tuple[FeatureImages | None, tuple[str, ...]]:
        """The kinds of examples that the unit responds to."""
        if self._drawn.facets is None:
            return None, ()
        try:
            found = self._drawn.facets(self._subject, Unit(self._layer.name, channel, data=self._known.whole()))
        except NotAnswerable as error:
            return None, (f"No facets were looked for: {error}",)
        members = None if found.members is None else tuple(map(self._called, found.members))
        return dataclasses.replace(found, members=members, provenance=None, query=None, method=None), ()

    def _called(self, members: Sequence[str]) -> tuple[str, ...]:
        """The names of examples that are numbered, as parts of one input are."""
        return tuple(self._data.names[int(name.rpartition("#")[2])] for name in members)

    def _examples(self, channel: int) -> tuple[tuple[UnitExample, ...], tuple[str, ...]]:
        table = self._summary.strongest
        values, numbers = table.values[channel].tolist(), table.examples[channel].tolist()
        places = [placed(self._layer, channel, place) for place in table.places[channel].tolist()]
        shown = self._data.inputs(numbers)
        made = [
            UnitExample(name=self._data.names[number], activation=value, place=place)
            for number, value, place in zip(numbers, values, places, strict=True)
        ]
        if shown.value.ndim != 4:
            return tuple(_in_words(shown, row, one) for row, one in enumerate(made)), ()
        regions, unknown = self._regions(shown, places)
        maps, told = self._projected(shown, values, places)
        return tuple(_in_pictures(shown, row, one, regions, maps) for row, one in enumerate(made)), (*unknown, *told)

    def _regions(self, shown: Inputs, places: Sequence[tuple[int, ...]]) -> tuple[Tensor | None, tuple[str, ...]]:
        try:
            fields = receptive_fields(self._subject, shown, self._layer.name)
        except NotAnswerable as error:
            return None, (f"What part of a picture the unit sees is not known: {error}",)
        return torch.tensor([fields.box(place) for place in places]), ()

    def _projected(
        self, shown: Inputs, values: Sequence[float], places: Sequence[tuple[int, ...]]
    ) -> tuple[Tensor | None, tuple[str, ...]]:
        """What excites the unit in each example, sent back to the pixels."""
        if not any(values) or bool(self._summary.constant[places[0][self._layer.axis]]):
            return None, ("Nothing is sent back to the pixels: it is 0, or the same, in all of its examples.",)
        try:
            strengths = torch.tensor(values)
            return projected(self._subject, shown, self._layer.name, places, strengths, self._drawn.signal)
        except NotAnswerable as error:
            return None, (f"Nothing is sent back to the pixels: {error}",)


def _in_pictures(shown: Inputs, row: int, one: UnitExample, regions: Tensor | None, maps: Tensor | None) -> UnitExample:
    region = None if regions is None else regions[row]
    seen = patch(shown, row, region, _SIDE)
    sent = None if maps is None else projection(_moderate(maps[row], region), region).resize(seen.size)
    inside = None if maps is None or regions is None else float(shares_inside(maps[row, None], [regions[row].tolist()]))
    return dataclasses.replace(
        one,
        region=None if region is None else tuple(region.tolist()),
        whole=jpeg(framed(shown, row, region, _SIDE)),
        seen=jpeg(seen),
        projected=None if sent is None else png(sent),
        inside=inside,
    )


def _moderate(sent: Tensor, region: Tensor | None) -> Tensor:
    """A projection without its few largest values, beside which nothing else would be seen."""
    top, left, bottom, right = (0, 0, *sent.shape[1:]) if region is None else region.tolist()
    sizes = sent[:, top:bottom, left:right].abs().flatten()
    most = float(sizes.kthvalue(max(1, round(_CLEAR * len(sizes)))).values)
    return sent.clamp(-most, most) if most > 0 else sent


def _in_words(shown: Inputs, row: int, one: UnitExample) -> UnitExample:
    """A text with what lies at the strongest place, a row of a table, or the numbers of a small tensor."""
    origin = shown.origins[row] if shown.origins else None
    raw = None if origin is None else origin.raw
    if isinstance(raw, str):
        spans = origin.spans if origin is not None else None
        place = one.place[0] if len(one.place) == 2 else -1
        span = spans[place] if spans is not None and 0 <= place < len(spans) else None
        return dataclasses.replace(one, words=raw, span=span)
    return dataclasses.replace(one, words=_numbers(raw if isinstance(raw, dict) else shown.value[row]))


def _numbers(values: Any) -> str:
    if isinstance(values, dict):
        return ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
        )
    flat = values.flatten()
    told = ", ".join(f"{float(value):.3g}" for value in flat[:16])
    return told + (f", … ({len(flat)} numbers)" if len(flat) > 16 else "")


def _statistics(summary: LayerSummary, channel: int) -> dict[str, float]:
    moments, values, peaks = summary.moments, summary.values, summary.peaks
    return {
        "mean": float(moments.mean[channel]),
        "standard deviation": float(moments.variance()[channel].sqrt()),
        "share of zeros": float(values.zeros()[channel]),
        "99.9th percentile": float(values.quantile(0.999)[channel]),
        "minimum": float(summary.lowest[channel]),
        "maximum": float(summary.highest[channel]),
        "strongest value of an example: median": float(peaks.quantile(0.5)[channel]),
        "strongest value of an example: 99.9th percentile": float(peaks.quantile(0.999)[channel]),
    }


def _bins(distribution: Any, channel: int) -> dict[str, Tensor]:
    counts, edges = distribution.histogram(channel, _BINS)
    return {"counts": counts, "edges": edges}
