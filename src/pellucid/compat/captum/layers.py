"""Captum's LayerActivation, LayerGradCam, GuidedGradCam and NeuronGradient."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from pellucid.compat.captum.asking import LAYER, LayerAttribution, refused
from pellucid.compat.captum.backward_rules import GuidedBackprop
from pellucid.compat.captum.packing import as_tuple
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.engine.gradients import gradients, point_value
from pellucid.methods.attribution.gradient import Gradient


class LayerActivation(LayerAttribution):
    """What a layer returns, or takes."""

    @property
    def multiplies_by_inputs(self) -> bool:
        return True

    def attribute(
        self, inputs: Any, additional_forward_args: Any = None, attribute_to_layer_input: bool = False
    ) -> Any:
        """The activation of the layer for every example: a tensor, or a tuple where the layer has several."""
        asked = self.asked(
            inputs,
            None,
            additional_forward_args,
            layer=self.layer,
            before=attribute_to_layer_input,
            explained=False,
        )
        return asked.out_of_layer(point_value(asked.subject, asked.inputs, LAYER))


class LayerGradCam(LayerAttribution):
    """Each channel of a layer times the mean over positions of its gradient, summed over channels."""

    @property
    def multiplies_by_inputs(self) -> bool:
        return True

    def attribute(
        self,
        inputs: Any,
        target: Any = None,
        additional_forward_args: Any = None,
        attribute_to_layer_input: bool = False,
        relu_attributions: bool = False,
        attr_dim_summation: bool = True,
        grad_kwargs: Any = None,
    ) -> Any:
        """The map of the layer, with one channel unless ``attr_dim_summation`` is False."""
        refused("LayerGradCam", "grad_kwargs", grad_kwargs, None, "leave it out")
        asked = self.asked(inputs, target, additional_forward_args, layer=self.layer, before=attribute_to_layer_input)
        found = gradients(asked.subject, asked.inputs, asked.target, LAYER)
        slopes, points = (asked.out_of_layer(tensor) for tensor in (found.gradient, found.point))
        pairs = [(slopes, points)] if isinstance(points, Tensor) else list(zip(slopes, points, strict=True))
        maps = tuple(_map(slope, point, attr_dim_summation) for slope, point in pairs)
        maps = tuple(one.clamp(min=0) for one in maps) if relu_attributions else maps
        return maps[0] if isinstance(points, Tensor) else maps


class GuidedGradCam(LayerAttribution):
    """Guided backpropagation times the Grad-CAM map of a layer, which is made as large as the input."""

    def __init__(self, model: nn.Module, layer: nn.Module, device_ids: Any = None) -> None:
        super().__init__(model, layer, device_ids)
        self.model = model
        self._map, self._guided = LayerGradCam(model, layer), GuidedBackprop(model)

    def attribute(
        self,
        inputs: Any,
        target: Any = None,
        additional_forward_args: Any = None,
        interpolate_mode: str = "nearest",
        attribute_to_layer_input: bool = False,
    ) -> Any:
        """Scores in the shapes of the inputs."""
        common = {"target": target, "additional_forward_args": additional_forward_args}
        regions = self._map.attribute(
            inputs, **common, attribute_to_layer_input=attribute_to_layer_input, relu_attributions=True
        )
        if not isinstance(regions, Tensor):
            raise NotAnswerable(
                "GuidedGradCam: the layer holds several tensors, which is no one map; name another layer"
            )
        details = as_tuple(self._guided.attribute(inputs, **common), "scores")
        found = tuple(detail * self._enlarged(regions, detail, interpolate_mode) for detail in details)
        return found[0] if isinstance(inputs, Tensor) else found

    def _enlarged(self, regions: Tensor, like: Tensor, mode: str) -> Tensor:
        extent = tuple(like.shape[2:])
        if not extent or regions.ndim != like.ndim:
            raise NotAnswerable(
                f"GuidedGradCam: a map {tuple(regions.shape)} cannot be made as large as the input {tuple(like.shape)}; "
                "name a layer with as many axes, or pass the input as an additional argument"
            )
        try:
            return self.interpolate(regions, extent, mode)
        except (NotImplementedError, ValueError) as error:
            raise UsageError(f"GuidedGradCam: interpolate_mode={mode!r} does not enlarge a map to {extent}") from error


class NeuronGradient(LayerAttribution):
    """The gradient of one unit of a layer, or of what a function makes of the layer, at each element of the inputs."""

    def attribute(
        self,
        inputs: Any,
        neuron_selector: Any,
        additional_forward_args: Any = None,
        attribute_to_neuron_input: bool = False,
    ) -> Any:
        """Scores in the shapes of the inputs."""
        asked = self.asked(
            inputs,
            None,
            additional_forward_args,
            layer=self.layer,
            before=attribute_to_neuron_input,
            neuron=_selecting(neuron_selector),
        )
        return asked.out(Gradient()(asked.subject, asked.decision()).scores)


def _map(slope: Tensor, point: Tensor, summed: bool) -> Tensor:
    weights = slope.mean(tuple(range(2, slope.ndim)), keepdim=True) if slope.ndim > 2 else slope
    return (weights * point).sum(1, keepdim=True) if summed else weights * point


def _selecting(selector: Any) -> Callable[[Any], Tensor]:
    """What a selector of captum's makes of a layer: one number per example."""
    if callable(selector):
        return selector
    index = selector if isinstance(selector, tuple) else (selector,)
    if not index or not all(isinstance(part, int | slice) for part in index):
        raise UsageError(
            f"neuron_selector {selector!r} must be a whole number, a tuple of these and slices, or a function"
        )

    def select(value: Any) -> Tensor:
        if not isinstance(value, Tensor):
            raise UsageError("the layer holds several tensors: give a function of them as neuron_selector")
        if len(index) >= value.ndim:
            raise UsageError(f"neuron_selector {selector!r} has more parts than the layer {tuple(value.shape[1:])}")
        try:
            chosen = value[(slice(None), *index)]
        except IndexError as error:
            raise UsageError(f"neuron_selector {selector!r} is outside the layer {tuple(value.shape[1:])}") from error
        if any(isinstance(part, slice) for part in index):
            return chosen.reshape(len(chosen), -1).sum(1)
        if chosen.ndim > 1:
            raise UsageError(f"neuron_selector {selector!r} names no single unit of the layer {tuple(value.shape[1:])}")
        return chosen

    return select
