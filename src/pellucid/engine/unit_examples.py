"""The examples of a data set that a unit responds to most, each with the place where it does, found in one pass."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.query import Decision, Unit
from pellucid.core.spec import Modality
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.batching import fits_budget
from pellucid.engine.dataset import DataSet
from pellucid.engine.receptive_fields import receptive_fields
from pellucid.engine.recording import Seen, walk
from pellucid.engine.strongest import Strongest, code
from pellucid.engine.targets import resolve
from pellucid.engine.units import Index, UnitLayer, layer_at
from pellucid.results.unit_report import UnitReport


@dataclass(frozen=True)
class UnitExamples:
    """Unit ``index`` of ``layer`` over ``data``: its strongest response to every example, ``values`` ``[examples]``.

    Of those that are strongest, best first, ``examples`` ``[k]`` are the numbers and ``places`` the full indices into the
    layer's output where they are so.

    Where the channel was looked for, ``channels`` ``[channels]`` are the strongest responses of all.
    """

    data: DataSet
    layer: UnitLayer
    index: Index
    values: Tensor
    examples: Tensor
    places: tuple[tuple[int, ...], ...]
    channels: Tensor | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be known of the data: inputs that could not be read, and a unit that is the same for all."""
        found = left_out(self.data)
        if len(self.values) > 1 and bool((self.values == self.values[0]).all()):
            found += (
                f"Its strongest response is {float(self.values[0]):.4g} for every example: the order says nothing.",
            )
        return found

    def shown(self) -> Inputs:
        """The strongest examples, prepared."""
        return self.data.inputs(self.examples.tolist())

    def report(self, subject: Subject, shown: Inputs) -> UnitReport:
        """What was found as a result; ``shown`` are the strongest examples."""
        regions, notes = regions_of(subject, shown, self.layer.name, self.places)
        return UnitReport(
            layer=self.layer.name,
            index=self.index,
            measures={"activation": self.values},
            examples=self.examples,
            names=tuple(self.data.names[number] for number in self.examples.tolist()),
            places=self.places,
            regions=regions,
            channels=self.channels,
            shown=shown,
            notes=(*self.notes, *notes),
        )


def regions_of(
    subject: Subject, inputs: Inputs, layer: str, places: Sequence[tuple[int, ...]]
) -> tuple[Tensor | None, tuple[str, ...]]:
    """The part of each picture (top, left, bottom, right) that a unit of a layer sees, one unit per picture, and a note where
    that is not known; None where examples are no pictures."""
    if inputs.value.ndim != 4:
        return None, ()
    try:
        fields = receptive_fields(subject, inputs, layer)
    except NotAnswerable as error:
        return None, (f"What part of the input the unit sees is not known: {error}",)
    return torch.tensor([fields.box(place) for place in places]), ()


def unit_examples(subject: Subject, query: Unit, k: int, what: str) -> UnitExamples:
    """Find the ``k`` examples that excite a unit most; equal ones in the order of the data.

    Without an index it is the channel with the strongest response of all. Data is read a batch at a time, and what cannot
    be read is left out.
    """
    data, layer, index = asked_unit(subject, query)
    return examples_of(subject, data, layer, index, k, what)


def asked_unit(subject: Subject, query: Unit) -> tuple[DataSet, UnitLayer, Index | None]:
    """The data, the layer and the unit that are asked about; a class is a unit of the layer that returns the scores."""
    if query.data is None or (query.layer is None) == (query.target is None):
        raise UsageError(
            "name data to look in, and a layer or a class: Unit('blocks.3', 5, data=[…]), Unit(target=7, data=[…])"
        )
    data = data_set(subject, query.data)
    one = data.inputs([0])
    if query.layer is not None:
        return data, layer_at(subject, one, query.layer), query.index
    target = resolve(subject, one, Decision(one, query.target))
    assert target.index is not None
    place = tuple(target.index[0].tolist())
    return data, layer_at(subject, one, _output_layer(subject, one)), place[0] if len(place) == 1 else place


def _output_layer(subject: Subject, one: Inputs) -> str:
    scores = subject.run(one, original=True).scores
    known = [layer.name for layer in subject.layers(one) if layer.shape == tuple(scores.shape[1:])]
    for name in reversed(known):
        activation = subject.run(one, capture=(name,), original=True).activations[name]
        if torch.equal(activation.cpu().to(scores), scores):
            return name
    raise NotAnswerable(
        "no layer of its own returns the scores, so a class is no unit of a layer; name a layer, or ask occlusion"
    )


def examples_of(
    subject: Subject, data: DataSet, layer: UnitLayer, index: Index | None, k: int, what: str
) -> UnitExamples:
    """The same for a layer and data that are known."""
    if index is not None:
        layer.check(index)
    if isinstance(index, tuple) and len(index) != len(layer.shape):
        raise UsageError(f"a unit of layer {layer.name!r} is a channel, or an index into {layer.shape}, not {index}")
    if index is None and not fits_budget(len(data) * layer.channels * 4):
        raise UsageError(
            f"{layer.channels} channels are too many for so much data; name one of {layer.name!r} by its index"
        )
    peaks = _Peaks(layer, index, k)
    walk(subject, data, [peaks], what)
    values = torch.cat(peaks.values)
    channel, totals = 0, None
    if index is None:
        totals = values.amax(0)
        index = channel = int(totals.argmax())
    examples, places = peaks.table.examples[channel], peaks.table.places[channel]
    full = tuple(index if isinstance(index, tuple) else placed(layer, index, place) for place in places.tolist())
    return UnitExamples(data, layer, index, values[:, channel], examples, full, totals)


def data_set(subject: Subject, data: Any) -> DataSet:
    """Data by the names of its files, or numbered; rows of plain tensors are read as one."""
    if not isinstance(data, list | tuple) or subject.task.modality is Modality.TENSOR:
        return DataSet(subject, subject.prepare(data), ["example"])
    names = [
        Path(raw).name if isinstance(raw, os.PathLike) else f"example #{number}" for number, raw in enumerate(data)
    ]
    return DataSet(subject, data, names)


def left_out(data: DataSet) -> tuple[str, ...]:
    """A note that names the inputs that could not be read."""
    if not data.failed:
        return ()
    named = "; ".join(f"{name}: {reason}" for name, reason in list(data.failed.items())[:3])
    more = "; …" if len(data.failed) > 3 else ""
    total = len(data.failed) + len(data)
    return (f"{len(data.failed)} of {total} inputs cannot be read and are left out ({named}{more}).",)


def placed(layer: UnitLayer, channel: int, place: int) -> tuple[int, ...]:
    """The index into a layer's output of a place of a channel, counted row by row.

    The outermost axis may be longer than that of the layer's first example, as texts are.
    """
    index: list[int] = []
    for side in reversed(layer.extent[1:]):
        place, number = divmod(place, side)
        index.insert(0, number)
    outermost = [place] if layer.extent else []
    index = [*outermost, *index]
    return (*index[: layer.axis], channel, *index[layer.axis :])


@dataclass
class _Peaks:
    """What a unit, or every channel, responds with at its strongest place, while the data passes by."""

    layer: UnitLayer
    index: Index | None
    k: int
    done: int = 0
    values: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.table = Strongest(self.layer.channels if self.index is None else 1, self.k)

    def take(self, seen: Seen) -> None:
        values, codes = self._peaks(seen)
        self.table.add(values, codes)
        self.values.append(values)
        self.done += len(values)

    def _peaks(self, seen: Seen) -> tuple[Tensor, Tensor]:
        if isinstance(self.index, tuple):
            channel, place = self._flat(self.index)
            number = torch.arange(seen.first, seen.first + len(seen.places))
            return seen.places[:, channel, place, None], code(number, torch.tensor(place))[:, None]
        values, codes = seen.peaks()
        chosen: slice | Sequence[int] = slice(None) if self.index is None else [self.index]
        return values[:, chosen], codes[:, chosen]

    def _flat(self, index: tuple[int, ...]) -> tuple[int, int]:
        axis, place = self.layer.axis, 0
        for number, side in zip((*index[:axis], *index[axis + 1 :]), self.layer.extent, strict=True):
            place = place * side + number
        return index[axis], place
