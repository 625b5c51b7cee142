"""Captum's Saliency and InputXGradient."""

from typing import Any

from pellucid.compat.captum.asking import Attribution
from pellucid.methods.attribution.gradient import Gradient
from pellucid.methods.attribution.input_x_gradient import InputXGradient as NativeInputXGradient


class Saliency(Attribution):
    """The gradient of the output at each element of the inputs, or its size."""

    def attribute(self, inputs: Any, target: Any = None, abs: bool = True, additional_forward_args: Any = None) -> Any:
        """Scores in the shapes of the inputs."""
        asked = self.asked(inputs, target, additional_forward_args)
        answer = Gradient(values="absolute" if abs else "signed")(asked.subject, asked.decision())
        return asked.out(answer.scores)


class InputXGradient(Attribution):
    """Each element of the inputs times the gradient there."""

    @property
    def multiplies_by_inputs(self) -> bool:
        return True

    def attribute(self, inputs: Any, target: Any = None, additional_forward_args: Any = None) -> Any:
        """Scores in the shapes of the inputs."""
        asked = self.asked(inputs, target, additional_forward_args)
        return asked.out(NativeInputXGradient()(asked.subject, asked.decision()).scores)
