"""Deconvnet: send the score back through the network turned around, rectified again wherever the network rectifies."""

from typing import ClassVar

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.rectifiers import deconvolved, rectified_map
from pellucid.results.attribution import Attribution


@method
class Deconvnet:
    """Scores are what the explained quantity projects back onto the point: transposed filters, pooling undone by its
    switches, and at every rectifier the positive part of the signal, whatever was rectified on the way forward.

    Rectifiers are ReLU, ReLU6, and clamps, thresholds and maxima at 0, as modules or functions, reused or in place. All
    other operations, leaky and smooth activations among them, pass the signal by their own derivative; a network
    without any rectifier is refused. ``quality["cosine_random_last_layer"]`` says how alike the map is to the one with
    random weights in the last layer (zeiler2014visualizing, adebayo2018sanity), and a note says where it is the same for
    all inputs, as it is without max pooling (springenberg2015striving).
    """

    spec: ClassVar = Spec(
        id="deconvnet",
        title="Deconvnet projection",
        question="Which pattern of the input does the network read for this answer, projected back through its filters?",
        scopes={Scope.EXPLAINABILITY, Scope.DECOMPOSABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER},
        needs={Access.GRADIENTS, Access.WEIGHTS},
        points={Point.INPUT, Point.LAYER},
        cost="2 B",
        references=("zeiler2014visualizing", "springenberg2015striving", "adebayo2018sanity"),
        serves=("A2",),
        caveat=(
            "It shows what excites the network's filters, and depends only weakly on the class that was asked for: maps "
            "for other classes, and of networks with a random last layer, look much the same. Without max pooling it may "
            "not depend on the input either."
        ),
        alternatives=("gradient", "integrated-gradients", "occlusion"),
    )

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        return rectified_map(subject, query, deconvolved, masked=False)
