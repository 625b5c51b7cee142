"""Units of a layer: which axis its channels are on, which units there are, and how strongly each responds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Union

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable, UsageError, nearest
from pellucid.core.query import Decision, Unit
from pellucid.core.subject import Inputs, Layer, Run, Subject
from pellucid.engine.crossings import channel_axis
from pellucid.engine.taping import taped
from pellucid.engine.targets import Objective, Target, resolve

Index = Union[int, tuple[int, ...]]
Over = Literal["mean", "max", "sum", "centre"]


@dataclass(frozen=True)
class UnitLayer:
    """A layer that has units: its name, the module's kind, its output's shape without the batch axis, and which axis of
    that holds the channels."""

    name: str
    kind: str
    shape: tuple[int, ...]
    axis: int

    @property
    def channels(self) -> int:
        """How many channels the output has."""
        return self.shape[self.axis]

    @property
    def extent(self) -> tuple[int, ...]:
        """The shape of a channel: empty where a channel is a single number."""
        return self.shape[: self.axis] + self.shape[self.axis + 1 :]

    def check(self, index: Index) -> Index:
        """The index itself; ``UsageError`` with the range where there is no such unit."""
        whole = (index,) if isinstance(index, int) else index
        sides = (self.channels,) if isinstance(index, int) else self.shape
        if len(whole) > len(sides) or any(not 0 <= n < side for n, side in zip(whole, sides, strict=False)):
            known = f"channels 0 to {self.channels - 1}" if isinstance(index, int) else f"an output of {self.shape}"
            raise UsageError(f"layer {self.name!r} has {known}, and no unit {index}")
        return index

    def chosen(self, index: Index | None) -> tuple[Index, ...]:
        """The unit that is named, or every channel where none is."""
        return tuple(range(self.channels)) if index is None else (self.check(index),)

    def places(self, activation: Tensor) -> Tensor:
        """An activation ``[batch, …shape]`` as ``[batch, channels, places]``; other inputs may have other places."""
        moved = activation.movedim(self.axis + 1, 1)
        if moved.shape[1] != self.channels:
            raise NotAnswerable(
                f"layer {self.name!r} has {self.channels} channels for one input and {moved.shape[1]} for another; name a "
                "layer that always has the same"
            )
        return moved.reshape(len(activation), self.channels, -1)

    def values(self, activation: Tensor, index: Index, over: Over = "mean") -> Tensor:
        """How strongly each example excites a unit, ``[batch]``: of a channel its places taken together."""
        return self.each(activation, [index] * len(activation), over)

    def each(self, activation: Tensor, indices: Sequence[Index], over: Over = "mean") -> Tensor:
        """The same for a unit of its own per example."""
        if all(isinstance(index, int) for index in indices):
            rows = torch.arange(len(activation), device=activation.device)
            return self._over(self.places(activation)[rows, torch.tensor(indices, device=activation.device)], over)
        return torch.stack([self._one(row, index, over) for row, index in zip(activation, indices, strict=True)])

    def every(self, activation: Tensor, over: Over = "mean") -> Tensor:
        """The same for all channels, ``[batch, channels]``."""
        places = self.places(activation)
        return self._over(places.flatten(0, 1), over).view(places.shape[:2])

    def _one(self, row: Tensor, index: Index, over: Over) -> Tensor:
        chosen = row.movedim(self.axis, 0)[index] if isinstance(index, int) else row[index]
        return self._over(chosen.reshape(1, -1), over)[0]

    def _over(self, places: Tensor, over: Over) -> Tensor:
        match over:
            case "mean":
                return places.mean(-1)
            case "sum":
                return places.sum(-1)
            case "max":
                return places.amax(-1)
        return places[:, self._centre()] if places.shape[-1] > 1 else places[:, 0]

    def _centre(self) -> int:
        place = 0
        for side in self.extent:
            place = place * side + side // 2
        return place

    def named(self, index: Index) -> str:
        """A unit as it is written on the command line: ``blocks.3/17``."""
        return f"{self.name}/{index if isinstance(index, int) else ','.join(map(str, index))}"


@dataclass(frozen=True)
class Units:
    """How strongly a unit of ``layer`` responds, one unit per example: an objective."""

    layer: UnitLayer
    indices: tuple[Index, ...]
    over: Over = "mean"

    @property
    def capture(self) -> tuple[str, ...]:
        """The layer itself."""
        return (self.layer.name,)

    def rows(self, rows: Tensor | slice) -> "Units":
        """The units of some of the examples, or of repeated ones."""
        numbers = range(len(self.indices))[rows] if isinstance(rows, slice) else rows.tolist()
        return replace(self, indices=tuple(self.indices[number] for number in numbers))

    def __call__(self, run: Run) -> Tensor:
        """``[batch]``, differentiable where the run is."""
        return self.layer.each(run.activations[self.layer.name], self.indices, self.over)

    def strongest(self, run: Run) -> Tensor:
        """Whether each unit is the strongest of its layer, among channels or, where it is named in full, all elements:
        ``[batch]``."""
        activation = run.activations[self.layer.name].detach()
        values = self.layer.each(activation, self.indices, self.over)
        channels = self.layer.every(activation, self.over)
        whole = torch.tensor([not isinstance(index, int) for index in self.indices], device=values.device)
        return values >= torch.where(whole, activation.flatten(1).amax(1), channels.amax(1))


def layer_at(subject: Subject, inputs: Inputs, name: str) -> UnitLayer:
    """A layer by name, with its shape for these inputs.

    Raises ``UsageError`` with the nearest names where there is none, ``NotAnswerable`` where it returns no tensor.
    """
    return layers_at(subject, inputs, [name])[0]


def layers_at(subject: Subject, inputs: Inputs, names: Sequence[str]) -> list[UnitLayer]:
    """The same for several layers, from one pass."""
    one = inputs.rows(slice(0, 1))
    known = {layer.name: layer for layer in subject.layers(one)}
    found = [(name, _known(subject, known, name)) for name in names]
    axes = dict.fromkeys(names, 0)
    wide = [name for name, layer in found if len(layer.shape or ()) > 1]
    if wide:
        with taped(subject, one) as (tape, _):
            axes |= {n: channel_axis(tape, n if n in tape.marks else n.partition("#")[0]) for n in wide}
    return [UnitLayer(n, layer.kind, layer.shape or (), _beside_tokens(one, layer, axes[n])) for n, layer in found]


def _beside_tokens(one: Inputs, layer: Layer, axis: int) -> int:
    """The axis of channels of a layer of tokens ``[tokens, channels]``, which no weights need have made."""
    if one.mask is None or layer.shape is None or len(layer.shape) != 2:
        return axis
    tokens = [side == one.mask.shape[1] for side in layer.shape]
    return tokens.index(False) if sum(tokens) == 1 else axis


def _known(subject: Subject, known: Mapping[str, Layer], name: str) -> Layer:
    plain = name.partition("#")[0]
    if plain not in known:
        raise UsageError(f"{subject.name} has no layer {name!r}; {nearest(name, list(known))}")
    layer = known[plain]
    if layer.shape is None:
        raise NotAnswerable(f"layer {name!r} returns no tensor of channels; name one inside it, or ask occlusion")
    if len(layer.shape) == 0:
        raise NotAnswerable(f"layer {name!r} returns one number per example and has no channels; name another layer")
    return layer


def objective_of(subject: Subject, inputs: Inputs, query: Unit, over: Over = "mean") -> tuple[Objective, str]:
    """What a unit is asked for on each of these inputs, and its name.

    ``target`` is a class: its logit (where the model answers with probabilities, their logarithm; the value where it
    answers with one). Raises ``UsageError`` where the query names neither a unit nor a class, or both.
    """
    if query.target is not None:
        if query.layer is not None or query.index is not None:
            raise UsageError("a unit is either a class (target) or in a layer (layer, index); leave one of them out")
        of = {"logits": "logit", "probabilities": "log-probability", "value": "score"}[subject.task.output]
        target = resolve(subject, inputs, Decision(inputs, query.target, of=of))  # type: ignore[arg-type]
        return target, class_named(target)
    if query.layer is None or query.index is None:
        raise UsageError("name a unit, as in Unit('blocks.3', 17), or a class: Unit(target='Egyptian cat')")
    layer = layer_at(subject, inputs, query.layer)
    return Units(layer, (layer.check(query.index),) * len(inputs), over), layer.named(query.index)


def class_named(target: Target) -> str:
    """The class of the first example in words."""
    assert target.index is not None
    *_, number = target.index[0].tolist()
    return f"class {number}" + (f" ({target.labels[number]})" if number < len(target.labels) else "")
