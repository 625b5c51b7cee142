"""Guided backpropagation: the gradient, of which only what is positive passes each rectifier."""

from typing import ClassVar

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.rectifiers import guided, rectified_map
from pellucid.results.attribution import Attribution


@method
class GuidedBackprop:
    """Scores are the gradient, but at every rectifier only the positive part of the signal goes on, and only where the
    rectifier let its input through.

    Rectifiers are ReLU, ReLU6, and clamps, thresholds and maxima at 0, as modules or functions, reused or in place. All
    other operations, leaky and smooth activations among them, pass the signal by their own derivative; a network
    without any rectifier is refused. ``quality["cosine_random_last_layer"]`` says how alike the map is to the one with
    random weights in the last layer (springenberg2015striving, adebayo2018sanity).
    """

    spec: ClassVar = Spec(
        id="guided-backprop",
        title="Guided backpropagation",
        question="Which elements excite the units that together raise the score?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER},
        needs={Access.GRADIENTS, Access.WEIGHTS},
        points={Point.INPUT, Point.LAYER},
        cost="2 B",
        references=("springenberg2015striving", "adebayo2018sanity"),
        serves=("A2",),
        caveat=(
            "Sharp, but close to an edge detector: it depends only weakly on the class that was asked for, and survives "
            "a random last layer almost unchanged."
        ),
        alternatives=("gradient", "integrated-gradients", "occlusion"),
    )

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        return rectified_map(subject, query, guided, masked=True)
