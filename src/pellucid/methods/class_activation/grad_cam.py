"""Grad-CAM: weight each channel of a layer by the mean gradient of the score over its positions."""

from typing import ClassVar

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Point, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.class_activation import FinalRelu, LayerName, class_activation, read_gradient
from pellucid.results.attribution import Attribution


@method
class GradCam:
    """The map is Σₖ wₖ Aₖ of a layer's channels Aₖ, with wₖ the mean over positions of ∂score/∂Aₖ (selvaraju2017grad).

    After a global average and one linear map this is the class activation map: wₖ is the class's weight of channel k.
    Scores at a layer are the summands wₖ Aₖ; their sum over channels is the map before its final ReLU.
    """

    spec: ClassVar = Spec(
        id="grad-cam",
        title="Grad-CAM",
        question="Which regions hold the channels that, on average over the map, raise the score?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.GRADIENTS, Access.ACTIVATIONS},
        points={Point.INPUT, Point.LAYER},
        modalities={Modality.IMAGE, Modality.SEQUENCE, Modality.TEXT, Modality.TENSOR},
        properties={"sensitivity"},
        cost="1 B, of which the backward half ends at the layer",
        references=("selvaraju2017grad",),
        serves=("A9", "A10"),
        caveat=(
            "It is as coarse as the layer, and smooth only because it is interpolated. Averaging the gradient "
            "lights up places that the score does not depend on where its gradient differs from place to place; "
            "hires-cam does not average."
        ),
        alternatives=("integrated-gradients", "occlusion"),
    )

    layer: LayerName = None
    final_relu: FinalRelu = None

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        found = read_gradient(subject, query, self.layer)
        weights = found.mean(found.gradient)
        return class_activation(subject, query, found, weights * found.activation, self.final_relu)
