"""The gradient: how fast the score changes with each element of the input."""

from typing import Annotated, ClassVar, Literal

from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.attributing import attribution, once_per_position
from pellucid.engine.gradients import gradients
from pellucid.engine.perturb import position_axes
from pellucid.engine.targets import resolve
from pellucid.results.attribution import Attribution


@method
class Gradient:
    """Scores are the partial derivatives of the explained quantity, or their sizes.

    ``values="maximum"`` is the saliency map as it was first drawn (simonyan2014deep): the largest size among the channels
    of a position (colours, embedding dimensions, characters), which every channel then has, and which counts once.
    """

    spec: ClassVar = Spec(
        id="gradient",
        title="Gradient (sensitivity map)",
        question="Which elements would change the score fastest if they changed a little?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER},
        needs={Access.GRADIENTS},
        points={Point.INPUT, Point.LAYER},
        properties={"sensitivity"},
        cost="1 B",
        references=("simonyan2014deep",),
        serves=("A1", "A10"),
        caveat="It says what would change the score, not what made it: a clear object can have a small gradient.",
        alternatives=("occlusion", "lime"),
    )

    values: Annotated[
        Literal["signed", "absolute", "maximum"], "derivatives, their sizes, or the largest size over the channels"
    ] = "signed"

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        if self.values == "maximum" and query.at != "input":
            raise NotAnswerable("the largest size over channels is of the input; at a layer ask values='absolute'")
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        found = gradients(subject, inputs, target, query.at)
        if self.values != "maximum":
            scores = found.gradient.abs() if self.values == "absolute" else found.gradient
            return attribution(subject, inputs, query, target, scores, found.values)
        scores, features = _largest(subject, inputs, found.gradient), once_per_position(subject, inputs)
        return attribution(subject, inputs, query, target, scores, found.values, features)


def _largest(subject: Subject, inputs: Inputs, gradient: Tensor) -> Tensor:
    """The largest size among the channels of each position, in the shape of the gradient."""
    channels = [axis for axis in range(1, gradient.ndim) if axis not in position_axes(subject, inputs)]
    sizes = gradient.abs()
    return sizes.amax(channels, keepdim=True).expand_as(gradient).clone() if channels else sizes
