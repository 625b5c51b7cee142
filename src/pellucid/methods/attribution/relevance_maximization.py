"""Relevance maximisation: the examples that a channel matters most for, and what of each speaks through it."""

import dataclasses
from typing import Annotated, ClassVar, Literal, Union

import torch
from annotated_types import Ge
from torch import Tensor

from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Decision, Unit
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.crossings import Crossing, crossings
from pellucid.engine.gradients import point_value
from pellucid.engine.redistribution import Redistribution, redistribute, relevance_attribution
from pellucid.engine.rules import composite
from pellucid.engine.taping import taped
from pellucid.engine.targets import Target, resolve
from pellucid.results.attribution import Attribution
from pellucid.results.unit_report import UnitReport

Index = Union[int, tuple[int, ...]]
RELEVANCE, ACTIVATION = "relevance", "activation"


@method
class RelevanceMaximization:
    """Of the data, the examples whose predicted class (or the unit's ``target``) owes most to a channel (achtibat2023from).

    ``relevance`` is that of the channel's output, by the rules of ``composite``, over its places by their sum or their
    largest; ``activation`` stands beside it, because what a channel responds to most is not what it is used for most. The
    maps are conditional: only relevance that passes through the channel goes on to the input. Those of all channels of a
    layer add up to the plain map.

    Without an index the channel with the largest relevance over all data is reported, and every channel's is told.
    """

    spec: ClassVar = Spec(
        id="relevance-maximization",
        title="Relevance maximisation (concept relevance)",
        question="For which examples is this channel used most, and what in them speaks through it?",
        scopes={Scope.DECOMPOSABILITY, Scope.TRANSPARENCY},
        dimensions={Dimension.DECOMPOSABILITY, Dimension.VISUAL, Dimension.BY_EXAMPLE},
        view=View.MODEL,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.WEIGHTS, Access.ACTIVATIONS},
        cost="1 F and 1 B per example of the data, and 2 B per example shown",
        references=("achtibat2023from",),
        serves=("A9", "B3"),
        caveat=(
            "It shows what a channel is used for in this data; with other data or other classes it may be used otherwise. A "
            "channel need not stand for anything that people have a word for."
        ),
        alternatives=("lrp", "occlusion"),
    )

    composite: Annotated[str, "epsilon, epsilon-plus, epsilon-plus-flat, epsilon-gamma-box or epsilon-alpha2-beta1"] = (
        "epsilon-plus"
    )
    over: Annotated[Literal["sum", "max"], "how a channel's places are taken together"] = "sum"
    examples: Annotated[int, Ge(1), "how many examples are shown"] = 8

    def __post_init__(self) -> None:
        composite(self.composite)

    def __call__(self, subject: Subject, query: Unit) -> UnitReport:
        if query.layer is None or query.data is None:
            raise UsageError("name a layer and data to look in: Unit('blocks.3', index=5, data=[…])")
        inputs = subject.prepare(query.data)
        target = resolve(subject, inputs, Decision(inputs, query.target))
        layer = _layer(subject, inputs, query.layer)
        relevance, activation = self._measured(subject, inputs, target, layer, query.index)
        totals = None
        index = query.index
        if index is None:
            totals = relevance.sum(0)
            index = int(totals.argmax())
            relevance, activation = relevance[:, index], activation[:, index]
        chosen = relevance.argsort(descending=True, stable=True)[: self.examples]
        maps, regions = self._shown(subject, inputs.rows(chosen), target.rows(chosen), layer, index)
        return UnitReport(
            layer=query.layer,
            index=index,
            measures={RELEVANCE: relevance, ACTIVATION: activation},
            examples=chosen,
            maps=maps,
            regions=regions,
            channels=totals,
        )

    def _measured(
        self, subject: Subject, inputs: Inputs, target: Target, layer: Crossing, index: Index | None
    ) -> tuple[Tensor, Tensor]:
        """Relevance and activation of the unit, ``[examples]``, or of every channel, ``[examples, channels]``."""
        found: list[tuple[Tensor, Tensor]] = []
        size = max(1, subject.batch_size(inputs) // 2)
        for start in range(0, len(inputs), size):
            rows = slice(start, start + size)
            passing = self._redistributed(subject, inputs.rows(rows), target.rows(rows), at=layer.name).scores
            values = point_value(subject, inputs.rows(rows), layer.name)
            real = _real(inputs.rows(rows), layer)
            found.append((self._over(passing, layer, index, real), self._over(values, layer, index, real)))
            report(min(start + size, len(inputs)), len(inputs), "relevance maximisation")
        relevance, activation = zip(*found, strict=True)
        return torch.cat(relevance), torch.cat(activation)

    def _over(self, values: Tensor, layer: Crossing, index: Index | None, real: Tensor | None) -> Tensor:
        if real is not None:
            values = values.masked_fill(~real, 0 if self.over == "sum" else -torch.inf)
        if index is None:
            places = values.movedim(layer.axis + 1, 1).flatten(2) if values.ndim > 2 else values[:, :, None]
        else:
            places = values[(slice(None), *_slices(layer, index))].reshape(len(values), -1)
        return places.double().sum(-1) if self.over == "sum" else places.double().amax(-1)

    def _shown(
        self, subject: Subject, inputs: Inputs, target: Target, layer: Crossing, index: Index
    ) -> tuple[Attribution, Tensor | None]:
        """The conditional map of each example, and the region that the unit's strongest place sees."""
        unit = torch.zeros(layer.shape)
        unit[_slices(layer, index)] = 1
        asked = Decision(inputs)
        found = self._redistributed(subject, inputs, target, conditions={layer.name: unit[None]})
        maps = dataclasses.replace(relevance_attribution(subject, inputs, asked, target, found), query=asked)
        if inputs.value.ndim != 4:
            return maps, None
        regions = []
        for row in range(len(inputs)):
            one, aim = inputs.rows(slice(row, row + 1)), target.rows(slice(row, row + 1))
            passing = self._redistributed(subject, one, aim, at=layer.name).scores[0]
            places = torch.where(unit > 0, passing, -torch.inf).flatten()
            strongest = torch.zeros_like(places)
            strongest[places.argmax()] = 1
            condition = {layer.name: strongest.view(1, *layer.shape)}
            regions.append(_box(self._redistributed(subject, one, aim, conditions=condition).scores[0]))
        return maps, torch.stack(regions)

    def _redistributed(self, subject: Subject, inputs: Inputs, target: Target, **more: object) -> Redistribution:
        return redistribute(subject, inputs, target, composite(self.composite), **more)  # type: ignore[arg-type]


def _layer(subject: Subject, inputs: Inputs, name: str) -> Crossing:
    """The layer with its axis of channels, seen in the pass of one example."""
    with taped(subject, inputs.rows(slice(0, 1))) as (tape, run):
        if name in tape.marks and tape.marks[name].place is None:
            raise NotAnswerable(
                f"layer {name!r} returns no tensor of channels; name one inside it, or ask lrp or occlusion"
            )
        (layer,) = crossings(tape, run.scores, (name,))
    return layer


def _real(inputs: Inputs, layer: Crossing) -> Tensor | None:
    """Where a layer's output is of real positions, not of padding; None where it has no positions."""
    if inputs.mask is None or len(layer.shape) != 2 or layer.shape[1 - layer.axis] != inputs.mask.shape[1]:
        return None
    return inputs.mask.unsqueeze(layer.axis + 1)


def _slices(layer: Crossing, index: Index) -> tuple[int | slice, ...]:
    """An index into the layer's output, without the batch axis, that picks the unit."""
    whole: tuple[int | slice, ...] = (*[slice(None)] * layer.axis, index) if isinstance(index, int) else index
    pairs = zip(whole, layer.shape, strict=False)
    outside = any(isinstance(number, int) and not 0 <= number < side for number, side in pairs)
    if len(whole) > len(layer.shape) or outside:
        known = f"channels 0 to {layer.channels - 1}" if isinstance(index, int) else f"an output of {layer.shape}"
        raise UsageError(f"layer {layer.name!r} has {known}, and no unit {index}")
    return whole


def _box(scores: Tensor) -> Tensor:
    """Top, left, bottom and right of what is not zero in a map ``[channels, height, width]``."""
    seen = scores.abs().sum(0) > 0
    rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
    if not len(rows):
        return torch.zeros(4, dtype=torch.long)
    return torch.stack([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
