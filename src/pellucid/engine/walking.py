"""One pass of a data set through a subject, from which several layers are kept or summed up."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable, SubjectFailed, UsageError, nearest
from pellucid.core.meter import report
from pellucid.core.seeds import generator
from pellucid.core.spec import Access
from pellucid.core.subject import Inputs, Layer, Subject
from pellucid.engine.batching import in_batches
from pellucid.engine.dataset import DataSet
from pellucid.engine.strongest import peaks
from pellucid.engine.units import UnitLayer, layers_at


@dataclass(frozen=True)
class Seen:
    """What a pass shows of one layer for one batch: ``places`` ``[batch, channels, places]``, float32, on the CPU.

    ``first`` is the number of the first example, ``digests`` are theirs; ``valid`` ``[batch, places]`` is True where a
    place is no padding, None where none is.
    """

    places: Tensor
    first: int
    digests: Sequence[str]
    valid: Tensor | None = None

    def after(self, done: int) -> "Seen":
        """Without the examples before number ``done``."""
        skip = max(done - self.first, 0)
        valid = None if self.valid is None else self.valid[skip:]
        return Seen(self.places[skip:], self.first + skip, self.digests[skip:], valid)

    def drawn(self, number: int | None, seed: int) -> Iterator[tuple[int, Tensor]]:
        """Each example's number and ``number`` of its places at random (all, where it has no more), ascending.

        The draw depends on the example's content, the seed and how many places there are, so channels, layers of one
        size and runs see the same places.
        """
        for row, content in enumerate(self.digests):
            places = self.places.shape[2] if self.valid is None else int(self.valid[row].sum())
            chosen = torch.arange(places)
            if number is not None and number < places:
                source = generator(seed, "places", torch.frombuffer(bytearray(content.encode()), dtype=torch.uint8))
                chosen = torch.randperm(places, generator=source)[:number].sort().values
            yield row, chosen if self.valid is None else self.valid[row].nonzero()[chosen, 0]

    def valid_places(self) -> Tensor:
        """The places of all examples that are no padding, ``[rows, channels]``."""
        rows = self.places.movedim(1, 2)
        return rows.flatten(0, 1) if self.valid is None else rows[self.valid]

    def means(self) -> Tensor:
        """The mean of each channel over the places of each example, ``[batch, channels]``."""
        if self.valid is None:
            return self.places.double().mean(2).float()
        weights = self.valid[:, None].double()
        return ((self.places * weights).sum(2) / weights.sum(2)).float()

    def peaks(self) -> tuple[Tensor, Tensor]:
        """The strongest place of each channel in each example and its code, both ``[batch, channels]``."""
        places = self.places if self.valid is None else self.places.masked_fill(~self.valid[:, None], -torch.inf)
        return peaks(places, self.first)

    def lowest(self) -> Tensor:
        """The smallest value of each channel, ``[channels]``."""
        places = self.places if self.valid is None else self.places.masked_fill(~self.valid[:, None], torch.inf)
        return places.amin(2).amin(0)


class Sink(Protocol):
    """Where what a pass shows of a layer goes."""

    @property
    def layer(self) -> UnitLayer:
        """The layer."""

    @property
    def done(self) -> int:
        """How many examples it has, from the first on; it is shown the next one only."""

    def take(self, seen: Seen) -> None:
        """Take in the next examples."""


def walk(subject: Subject, data: DataSet, sinks: Sequence[Sink], what: str) -> None:
    """Show each sink the examples that it does not have, in one pass that ends at the last layer that is asked for.

    Batches begin at the same examples wherever the walk starts, so one that was interrupted ends with the same bits.
    """
    if all(sink.done == len(data) for sink in sinks):
        return
    size = subject.batch_size(data.inputs([0]))
    for first, inputs in data.batches(size, min(sink.done for sink in sinks)):
        report(first, len(data), what)
        wanted = [sink for sink in sinks if sink.done < first + len(inputs)]

        def show(rows: slice, first: int = first, inputs: Inputs = inputs, wanted: list[Sink] = wanted) -> Tensor:
            part = inputs.rows(rows)
            run = subject.run(part, capture=[sink.layer.name for sink in wanted], partial=True)
            for sink in wanted:
                sink.take(
                    _seen(data, sink.layer, run.activations[sink.layer.name], part, first + rows.start).after(sink.done)
                )
            return torch.empty(0)

        in_batches(len(inputs), len(inputs), show)
    report(len(data), len(data), what)


def _seen(data: DataSet, layer: UnitLayer, activation: Tensor, inputs: Inputs, first: int) -> Seen:
    if len(activation) != len(inputs):
        raise NotAnswerable(
            f"layer {layer.name!r} answers {len(inputs)} examples with {len(activation)} rows and does not keep them apart; "
            "name other layers"
        )
    places = layer.places(activation.detach()).float().cpu()
    mask = _valid(places, inputs)
    if not bool(places.sum().isfinite()):  # which costs far less than to look at every value
        _check_finite(data, layer, places, first, mask)
    return Seen(places, first, data.digests[first : first + len(inputs)], mask)


def _check_finite(data: DataSet, layer: UnitLayer, places: Tensor, first: int, mask: Tensor | None) -> None:
    finite = places.isfinite().all(1) if mask is None else places.isfinite().all(1) | ~mask
    for row in (~finite.all(1)).nonzero()[:, 0].tolist():
        raise SubjectFailed(
            f"layer {layer.name!r} gives NaN or infinite values for {data.names[first + row]}; leave that input or layer out"
        )


def _valid(places: Tensor, inputs: Inputs) -> Tensor | None:
    return inputs.mask if inputs.mask is not None and inputs.mask.shape[1] == places.shape[2] else None


def channel_means(layer: UnitLayer, activation: Tensor, inputs: Inputs) -> Tensor:
    """The mean of each channel over the places of each example that are no padding, ``[batch, channels]``."""
    places = layer.places(activation.detach()).float().cpu()
    return Seen(places, 0, (), _valid(places, inputs)).means()


def as_it_is(subject: Subject) -> Subject:
    """The subject with its weights as they are now.

    What a subject knows of itself, its fingerprint among it, may be older: weights that are written to through ``.data`` do
    not count their changes.
    """
    return subject if subject.module is None else subject.with_module(subject.module)


def layers_named(subject: Subject, inputs: Inputs, patterns: Sequence[str]) -> list[UnitLayer]:
    """The layers that :func:`layer_names` finds, with their shapes for these inputs."""
    return layers_at(subject, inputs, layer_names(subject, inputs, patterns))


def layer_names(subject: Subject, inputs: Inputs, patterns: Sequence[str]) -> list[str]:
    """The names of the layers that patterns mean, in the order of the network.

    In a pattern ``*`` and ``?`` stand for anything between two dots, and ``**`` for anything at all; it means those layers it
    matches that have channels. A plain name means itself.
    """
    if Access.ACTIVATIONS not in subject.offers:
        raise NotAnswerable(
            f"{subject.name} shows its outputs only, so its layers cannot be read; give the network itself"
        )
    known = subject.layers(inputs.rows(slice(0, 1)))
    named = [name for pattern in patterns for name in _matched(pattern, known, subject.name)]
    order = {layer.name: number for number, layer in enumerate(known)}
    return sorted(dict.fromkeys(named), key=lambda name: order.get(name.partition("#")[0], len(order)))


def _matched(pattern: str, known: Sequence[Layer], subject: str) -> list[str]:
    if not set(pattern) & set("*?"):
        return [pattern]
    signs = {"**": ".*", "*": "[^.]*", "?": "[^.]"}
    expression = "".join(signs.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*|\?)", pattern))
    found = [layer.name for layer in known if layer.shape and re.fullmatch(expression, layer.name)]
    if not found:
        names = [layer.name for layer in known if layer.shape]
        raise UsageError(f"no layer of {subject} matches {pattern!r}; {nearest(pattern, names)}")
    return found
