"""Maps of class activation: which layer is read, what it says, and how its maps come to the input."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Any, Union

import torch
from torch import Tensor
from torch.nn import functional

from pellucid.core.errors import NotAnswerable, UsageError, nearest
from pellucid.core.query import Decision, Unit
from pellucid.core.subject import Inputs, Layer, Run, Subject
from pellucid.engine.attributing import attribution
from pellucid.engine.batching import in_batches
from pellucid.engine.gradients import Gradients, differentiated, merged, settled
from pellucid.engine.perturb import position_axes
from pellucid.engine.targets import Target, captured_for, joined, part_of, resolve
from pellucid.results.attribution import Attribution

LayerName = Annotated[Union[str, None], "layer that is read; None: the last with maps like the last convolution's"]
FinalRelu = Annotated[Union[bool, None], "keep only what raises the score; None: yes, unless there is a foil"]

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True)
class Layout:
    """How a layer holds its maps: the shape of one example in it, the extent of a map, and where channels are.

    Channels come first, but last where positions are ``tokens``.
    """

    shape: tuple[int, ...]
    extent: tuple[int, ...]
    tokens: bool = False

    def maps(self, layer: Tensor) -> Tensor:
        """The layer ``[batch, …]`` as maps ``[batch, channels, …extent]``."""
        return (layer.movedim(-1, 1) if self.tokens else layer).reshape(len(layer), -1, *self.extent)

    def layer(self, maps: Tensor) -> Tensor:
        """The inverse of :meth:`maps`."""
        return (maps.movedim(1, -1) if self.tokens else maps).reshape(len(maps), *self.shape)

    def over_channels(self, maps: Tensor) -> Tensor:
        """Each value of maps ``[n, …extent]`` at all channels of its position, as layers ``[n, …]``."""
        channels = math.prod(self.shape) // math.prod(self.extent)
        return self.layer(maps[:, None].expand(-1, channels, *self.extent))

    def evenly(self, maps: Tensor) -> Tensor:
        """Each value of maps ``[n, …extent]`` divided evenly over the channels of its position."""
        return self.over_channels(maps / (math.prod(self.shape) // math.prod(self.extent)))


@dataclass(frozen=True)
class Reading:
    """What one layer says of every example, as maps ``[batch, channels, …extent]``.

    ``values`` ``[batch]`` is the explained quantity; ``real`` ``[batch, 1, …extent]`` is 1 where a position is real and 0
    where it is padding. ``input`` is the layout of the input itself.
    """

    inputs: Inputs
    target: Target
    name: str
    layout: Layout
    input: Layout
    values: Tensor
    activation: Tensor
    real: Tensor

    @property
    def note(self) -> str:
        """What was read, for the answer."""
        size = " × ".join(map(str, self.layout.extent))
        return f"Read at layer {self.name!r}: {self.activation.shape[1]} channels of {size} positions."

    def total(self, amounts: Tensor) -> Tensor:
        """The sum over real positions, which keep their axes."""
        return (amounts * self.real).sum(tuple(range(2, amounts.ndim)), keepdim=True)

    def mean(self, amounts: Tensor) -> Tensor:
        """The mean over real positions, which keep their axes."""
        return self.total(amounts) / self.total(self.real)

    def weighted(self, weights: Tensor) -> Tensor:
        """The activation of each channel times its weight ``[batch, channels]``."""
        return weights.view(*weights.shape, *[1] * (self.activation.ndim - 2)) * self.activation


@dataclass(frozen=True)
class GradientReading(Reading):
    """A reading with the gradient of the explained quantity at the layer, as maps like the activation."""

    gradient: Tensor


def read(subject: Subject, query: Decision, wanted: str | None) -> Reading:
    """Read the layer that is asked about, the one that is ``wanted``, or the last with maps."""
    inputs = subject.prepare(query.inputs)
    name = _chosen(subject, inputs, query, wanted)
    targets: list[Target] = []
    values: list[Tensor] = []

    def work(rows: slice) -> Tensor:
        run = subject.run(inputs.rows(rows), capture=(*captured_for(query), name))
        _check_answers(subject, query, wanted, run)
        target = resolve(subject, inputs.rows(rows), part_of(query, rows, len(inputs)), run.scores)
        values.append(settled(target(run)))
        targets.append(target)
        return settled(run.activations[name])

    activation = in_batches(len(inputs), subject.batch_size(inputs), work)
    layout, at_input = _layouts(subject, inputs, name, activation)
    real = _real(inputs, layout, activation)
    return Reading(inputs, joined(targets), name, layout, at_input, torch.cat(values), layout.maps(activation), real)


def read_gradient(subject: Subject, query: Decision, wanted: str | None) -> GradientReading:
    """The same with gradients: in one pass, of which nothing below the layer is differentiated."""
    inputs = subject.prepare(query.inputs)
    name = _chosen(subject, inputs, query, wanted)
    targets, parts = [], []
    size = max(1, subject.batch_size(inputs) // 2)
    for start in range(0, len(inputs), size):
        rows = slice(start, start + size)
        with torch.enable_grad():
            run = subject.run(inputs.rows(rows), capture=captured_for(query), differentiable=name)
            _check_answers(subject, query, wanted, run)
            target = resolve(subject, inputs.rows(rows), part_of(query, rows, len(inputs)), settled(run.scores))
            values, point = target(run), run.activations[name]
        targets.append(target)
        gradient, _ = differentiated(subject, values, name, point)
        parts.append(Gradients(settled(values), settled(gradient), settled(point)))
    found = merged(parts)
    layout, at_input = _layouts(subject, inputs, name, found.point)
    activation, gradient = layout.maps(found.point), layout.maps(found.gradient)
    real = _real(inputs, layout, activation)
    return GradientReading(inputs, joined(targets), name, layout, at_input, found.values, activation, real, gradient)


def class_activation(
    subject: Subject,
    query: Decision,
    found: Reading,
    contributions: Tensor,
    final_relu: bool | None,
    notes: tuple[str, ...] = (),
    **trust: Any,
) -> Attribution:
    """The attribution of ``contributions`` ``[batch, channels, …extent]`` of the layer's units.

    At the layer these are the scores, 0 at padding. At the input it is their sum over channels, cut off below zero by
    ``final_relu`` (None: unless there is a foil, for which negative scores speak), interpolated between the centres of
    positions and spread evenly over channels.
    """
    contributions = contributions * found.real
    if query.at != "input":
        scores = found.layout.layer(contributions)
    else:
        cut = final_relu if final_relu is not None else found.target.foil is None
        regions, silent = map_at_input(found, contributions, cut)
        scores, notes = found.input.evenly(regions), (*notes, *silent)
    answer = attribution(subject, found.inputs, query, found.target, scores, found.values, **trust)
    return dataclasses.replace(answer, notes=(*answer.notes, found.note, *notes))


def map_at_input(found: Reading, contributions: Tensor, cut: bool) -> tuple[Tensor, tuple[str, ...]]:
    """The map ``[batch, …extent of the input]``, ``cut`` off below zero or not, and what to say of that."""
    coarse = contributions.sum(1)
    silent = _silent(coarse) if cut else ()
    return interpolated(coarse.clamp(min=0) if cut else coarse, found.input.extent), silent


def interpolated(maps: Tensor, extent: tuple[int, ...]) -> Tensor:
    """Maps ``[n, …]`` at another extent, linearly along each axis between the centres of positions."""
    if tuple(maps.shape[1:]) == extent:
        return maps
    return functional.interpolate(maps[:, None], extent, mode=_MODES[len(extent)], align_corners=False)[:, 0]


def strongest(amounts: Tensor, most: int | None) -> tuple[list[Tensor], tuple[str, ...]]:
    """The channels of each example with the largest ``amounts`` ``[batch, channels]``, and a note where some are left out."""
    channels = amounts.shape[1]
    if most is None or most >= channels:
        return [torch.arange(channels)] * len(amounts), ()
    order = amounts.argsort(dim=1, descending=True, stable=True)[:, :most]
    note = f"Only {most} of {channels} channels were tried, the strongest of each example; the others count nothing."
    return list(order.sort(1).values), (note,)


class Layouts:
    """How the layers of a network hold maps of the positions of these inputs, told from their shapes.

    A shape alone does not say where positions are: an axis of positions must be as long as that of a layer made for maps
    (a convolution, a pooling, a norm of maps), or be the axis of the input's own positions.
    """

    def __init__(self, subject: Subject, inputs: Inputs) -> None:
        axes, shape = position_axes(subject, inputs), tuple(inputs.value.shape[1:])
        self._axes = len(axes)
        self.input = Layout(shape, tuple(shape[axis - 1] for axis in axes), tokens=axes == (1,) and len(shape) == 2)
        self._made = {layer.shape for layer in subject.layers(inputs) if layer.shape and _is_made_for_maps(layer)}
        self._extents = {_extent(shape, self._axes) for shape in self._made} - {()}

    def of(self, shape: tuple[int, ...]) -> Layout | None:
        """The layout of a layer that gives ``shape`` per example; None where it holds no maps."""
        if self.input.tokens and len(shape) == 2 and shape[:1] == self.input.extent and shape not in self._made:
            return Layout(shape, shape[:1], tokens=True)
        extent = _extent(shape, self._axes)
        return Layout(shape, extent) if extent in self._extents and self._axes in _MODES else None


def _chosen(subject: Subject, inputs: Inputs, query: Decision, wanted: str | None) -> str:
    if query.at == "input":
        return _last_maps(subject, inputs, query.of) if wanted is None else wanted
    if wanted not in (None, query.at):
        raise UsageError(f"the question is about layer {query.at!r}, but layer={wanted!r} is to be read; leave it out")
    return query.at


def _check_answers(subject: Subject, query: Decision, wanted: str | None, run: Run) -> None:
    at_positions = run.scores.ndim > 2 and not isinstance(query.of, Unit)
    if at_positions and query.at == "input" and wanted is None:
        raise NotAnswerable(
            f"{subject.name} answers at positions, so that its last maps may be the answers themselves; name a layer"
        )


def _layouts(subject: Subject, inputs: Inputs, name: str, layer: Tensor) -> tuple[Layout, Layout]:
    """The layouts of the layer and of the input."""
    layouts, shape = Layouts(subject, inputs), tuple(layer.shape[1:])
    layout = layouts.of(shape)
    if layout is None:
        raise NotAnswerable(
            f"layer {name!r} gives {shape} for an example of {layouts.input.shape}, which is no map of its positions; "
            "name a convolution, or ask integrated-gradients or occlusion"
        )
    return layout, layouts.input


def _last_maps(subject: Subject, inputs: Inputs, of: str | Unit) -> str:
    """The last layer with the extent of the last convolution that has several positions.

    That is the convolution itself or what follows it without pooling: its norm, its activation, the sum of its block.
    For a unit only what lies before the unit's layer counts.
    """
    axes = len(position_axes(subject, inputs))
    layers = list(subject.layers(inputs))
    if isinstance(of, Unit) and of.layer is not None:
        layers = _before(layers, of.layer.partition("#")[0])
    maps = {layer.name: extent for layer in layers if (extent := _extent(layer.shape or (), axes))}
    extents = [maps[layer.name] for layer in layers if layer.name in maps and "conv" in layer.kind.casefold()]
    if not extents:
        raise NotAnswerable(
            f"no convolution of {subject.name} gives maps of the input's positions that could be read; "
            "ask integrated-gradients or occlusion"
        )
    return [name for name, extent in maps.items() if extent == extents[-1]][-1]


def _before(layers: list[Layer], name: str) -> list[Layer]:
    names = [layer.name for layer in layers]
    if name not in names:
        raise UsageError(f"the unit's layer {name!r} is not called; {nearest(name, names)}")
    return [layer for layer in layers[: names.index(name)] if not layer.name.startswith(f"{name}.")]


def _extent(shape: tuple[int, ...], axes: int) -> tuple[int, ...]:
    """The axes of positions of one example ``[channels, …]``, of which surplus ones of size 1 do not count.

    Empty where it has another number of such axes, or a single position.
    """
    extent = shape[1:]
    if len(extent) > axes:
        extent = tuple(size for size in extent if size > 1)
    return extent if len(extent) == axes and math.prod(extent) > 1 else ()


def _is_made_for_maps(layer: Layer) -> bool:
    return "conv" in layer.kind.casefold() or layer.kind.endswith(("1d", "2d", "3d"))


def _real(inputs: Inputs, layout: Layout, like: Tensor) -> Tensor:
    real = like.new_ones(len(like), 1, *layout.extent)
    known = inputs.mask is not None and layout.extent == tuple(inputs.mask.shape[1:])
    return real * inputs.mask[:, None] if known and inputs.mask is not None else real


def _silent(coarse: Tensor) -> tuple[str, ...]:
    nothing = (coarse.flatten(1).amax(1) <= 0).nonzero()[:, 0].tolist()
    if not nothing:
        return ()
    which = "" if len(coarse) == 1 else f" of example{'s' * (len(nothing) > 1)} {', '.join(map(str, nothing))}"
    return (f"Nothing in the map{which} raises the score: cut off below zero it is empty.",)
