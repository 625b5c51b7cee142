"""Captum's IntegratedGradients, at the inputs and at a layer, and LayerConductance."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.compat.captum.asking import LAYER, Asked, Attribution, LayerAttribution, delta, positive, refused
from pellucid.compat.captum.paths import average_gradient, rule
from pellucid.engine.gradients import gradients, point_value


class IntegratedGradients(Attribution):
    """The gradient averaged from baseline to input, times the way between them unless ``multiply_by_inputs`` is False."""

    def __init__(self, forward_func: Callable[..., Any], multiply_by_inputs: bool = True) -> None:
        super().__init__(forward_func)
        self._multiplies = multiply_by_inputs

    @property
    def multiplies_by_inputs(self) -> bool:
        return self._multiplies

    def has_convergence_delta(self) -> bool:
        return True

    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        n_steps: int = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
    ) -> Any:
        """Scores in the shapes of the inputs, and where asked for what they miss of the rise, ``[batch]``."""
        positive(self.get_name(), internal_batch_size=internal_batch_size)
        asked = self.asked(inputs, target, additional_forward_args)
        end, start = point_value(asked.subject, asked.inputs), asked.baseline(baselines)
        scores = _scores(average_gradient(asked, "input", start, end, method, n_steps), end, start, self._multiplies)
        return _with_delta(asked, asked.out(scores), start, return_convergence_delta)


class LayerIntegratedGradients(LayerAttribution):
    """The same on the way from a layer's activation for the baseline to that for the input."""

    def __init__(
        self,
        forward_func: Callable[..., Any],
        layer: nn.Module,
        device_ids: Any = None,
        multiply_by_inputs: bool = True,
    ) -> None:
        super().__init__(forward_func, layer, device_ids)
        self._multiplies = multiply_by_inputs

    @property
    def multiplies_by_inputs(self) -> bool:
        return self._multiplies

    def has_convergence_delta(self) -> bool:
        return True

    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        n_steps: int = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
        attribute_to_layer_input: bool = False,
        grad_kwargs: Any = None,
    ) -> Any:
        """Scores in the shape of the layer, and where asked for what they miss of the rise, ``[batch]``."""
        positive(self.get_name(), internal_batch_size=internal_batch_size)
        refused(self.get_name(), "grad_kwargs", grad_kwargs, None, "leave it out")
        asked = self.asked(inputs, target, additional_forward_args, layer=self.layer, before=attribute_to_layer_input)
        reference = asked.baseline(baselines)
        end = point_value(asked.subject, asked.inputs, LAYER)
        start = point_value(asked.subject, asked.at(reference), LAYER)
        scores = _scores(average_gradient(asked, LAYER, start, end, method, n_steps), end, start, self._multiplies)
        return _with_delta(asked, asked.out_of_layer(scores), reference, return_convergence_delta)


class LayerConductance(LayerAttribution):
    """The part of integrated gradients that flows through each unit of a layer, on the way from baseline to input.

    As captum sums it: over the steps of the way the gradient at the unit, times what the unit does up to the next step.
    """

    @property
    def multiplies_by_inputs(self) -> bool:
        return True

    def has_convergence_delta(self) -> bool:
        return True

    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        n_steps: int = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
        attribute_to_layer_input: bool = False,
        grad_kwargs: Any = None,
    ) -> Any:
        """Scores in the shape of the layer, and where asked for what they miss of the rise, ``[batch]``."""
        positive(self.get_name(), internal_batch_size=internal_batch_size)
        refused(self.get_name(), "grad_kwargs", grad_kwargs, None, "leave it out")
        asked = self.asked(inputs, target, additional_forward_args, layer=self.layer, before=attribute_to_layer_input)
        end, start = point_value(asked.subject, asked.inputs), asked.baseline(baselines)
        places, _ = rule(method, n_steps + 1)
        points = (torch.lerp(start, end, place) for place in places)
        found = (gradients(asked.subject, asked.at(point), asked.target, LAYER) for point in points)
        # A sum, because nothing that is as large as the layer is to be held for every step.
        total = sum(here.gradient.double() * (there.point - here.point) for here, there in pairwise(found))
        scores = torch.as_tensor(total).to(end.dtype)
        return _with_delta(asked, asked.out_of_layer(scores), start, return_convergence_delta)


def _scores(average: Tensor, end: Tensor, start: Tensor, multiplies: bool) -> Tensor:
    return (average * (end - start).double() if multiplies else average).to(end.dtype)


def _with_delta(asked: Asked, attributions: Any, start: Tensor, wanted: bool) -> Any:
    return (attributions, delta(asked, attributions, asked.inputs.value, start)) if wanted else attributions
