"""Captum's DeepLift, LRP, GuidedBackprop and Deconvolution."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from torch import Tensor, nn

from pellucid.compat.captum.asking import Attribution, delta, refused
from pellucid.compat.captum.relevance_rules import COMPOSITE, rules_of
from pellucid.core.errors import UsageError
from pellucid.engine.gradients import point_value
from pellucid.engine.multipliers import Rescale, contributions
from pellucid.engine.redistribution import redistribute
from pellucid.methods.attribution.deconvnet import Deconvnet
from pellucid.methods.attribution.guided_backprop import GuidedBackprop as NativeGuidedBackprop

_EPS = 1e-10


class DeepLift(Attribution):
    """The rise above a baseline, handed back by what every operation's inputs did to its output.

    Captum's ``eps`` says below which change of an input it takes the gradient instead; here the size of rounding says that.
    """

    def __init__(self, model: nn.Module, multiply_by_inputs: bool = True, eps: float = _EPS) -> None:
        super().__init__(model)
        self.model, self._multiplies = model, multiply_by_inputs
        refused("DeepLift", "eps", eps, _EPS, "small changes are told from rounding by the precision of the numbers")

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
        return_convergence_delta: bool = False,
        custom_attribution_func: Callable[..., tuple[Tensor, ...]] | None = None,
    ) -> Any:
        """Scores in the shapes of the inputs, and where asked for what they miss of the rise, ``[batch]``.

        ``custom_attribution_func(multipliers, inputs, baselines)``, or of the first of these, makes the scores of tuples of
        tensors.
        """
        asked = self.asked(inputs, target, additional_forward_args)
        end, start = point_value(asked.subject, asked.inputs), asked.baseline(baselines)
        found = contributions(asked.subject, asked.inputs, start, asked.target, "input", Rescale)
        if custom_attribution_func is None:
            attributions = asked.out(found.scores if self._multiplies else found.multipliers)
        else:
            known = [asked.layout.split(tensor.to(asked.device)) for tensor in (found.multipliers, end, start)]
            attributions = custom_attribution_func(*known[: len(signature(custom_attribution_func).parameters)])
            attributions = attributions[0] if asked.layout.single else attributions
        return (attributions, delta(asked, attributions, end, start)) if return_convergence_delta else attributions


class LRP(Attribution):
    """Relevance by the ε-rule with ε = 1e-9, or by the rule that a module holds as ``rule``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        if not isinstance(model, nn.Module):
            raise UsageError("LRP reads rules from the layers of a module; give the module itself")
        self.model = model

    @property
    def multiplies_by_inputs(self) -> bool:
        return True

    def has_convergence_delta(self) -> bool:
        return True

    def compute_convergence_delta(self, attributions: Any, output: Tensor) -> Tensor:  # type: ignore[override]
        """The explained output less the sum of the scores, ``[batch]``."""
        parts = (attributions,) if isinstance(attributions, Tensor) else attributions
        return output.flatten() - sum(part.reshape(len(part), -1).sum(1) for part in parts)

    def attribute(
        self,
        inputs: Any,
        target: Any = None,
        additional_forward_args: Any = None,
        return_convergence_delta: bool = False,
        verbose: bool = False,
    ) -> Any:
        """Scores in the shapes of the inputs, and where asked for what of the output does not arrive, ``[batch]``."""
        refused("LRP", "verbose", verbose, False, "ask natively what each layer did: pl.methods.LRP")
        asked = self.asked(inputs, target, additional_forward_args)
        rules = rules_of(asked.packed, [layer.name for layer in asked.subject.layers(asked.inputs)])
        found = redistribute(asked.subject, asked.inputs, asked.target, COMPOSITE, rules=rules)
        attributions = asked.out(found.scores)
        if not return_convergence_delta:
            return attributions
        return attributions, self.compute_convergence_delta(attributions, found.value.to(found.scores))


class GuidedBackprop(Attribution):
    """The gradient, of which only what is positive passes each rectifier, and only where that let its input through."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.model = model

    def attribute(self, inputs: Any, target: Any = None, additional_forward_args: Any = None) -> Any:
        """Scores in the shapes of the inputs."""
        asked = self.asked(inputs, target, additional_forward_args)
        return asked.out(NativeGuidedBackprop()(asked.subject, asked.decision()).scores)


class Deconvolution(Attribution):
    """The output projected back through the network, rectified again at every rectifier."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.model = model

    def attribute(self, inputs: Any, target: Any = None, additional_forward_args: Any = None) -> Any:
        """Scores in the shapes of the inputs."""
        asked = self.asked(inputs, target, additional_forward_args)
        return asked.out(Deconvnet()(asked.subject, asked.decision()).scores)
