"""LayerCAM: weight each place of each channel by its own gradient, where that is positive."""

from typing import ClassVar

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Point, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.class_activation import FinalRelu, LayerName, class_activation, read_gradient
from pellucid.results.attribution import Attribution


@method
class LayerCam:
    """The map is Σₖ relu(gₖ) ⊙ Aₖ, with gₖ = ∂score/∂Aₖ at each position of a layer's channel Aₖ (jiang2021layercam).

    Because each place has its own weight, early layers with fine maps can be read too. The paper's rescaling by tanh,
    which is for adding up maps of several layers, is left out: one layer is read.
    """

    spec: ClassVar = Spec(
        id="layer-cam",
        title="LayerCAM",
        question="Which places of a layer, also of an early and fine one, raise the score?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.GRADIENTS, Access.ACTIVATIONS},
        points={Point.INPUT, Point.LAYER},
        modalities={Modality.IMAGE, Modality.SEQUENCE, Modality.TEXT, Modality.TENSOR},
        properties={"sensitivity"},
        cost="1 B, of which the backward half ends at the layer",
        references=("jiang2021layercam",),
        serves=("A9", "A10"),
        caveat=(
            "It drops every place where the gradient is negative, so evidence against the class cannot be seen, "
            "and the map of early layers shows edges rather than objects."
        ),
        alternatives=("integrated-gradients", "occlusion"),
    )

    layer: LayerName = None
    final_relu: FinalRelu = None

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        found = read_gradient(subject, query, self.layer)
        contributions = found.gradient.clamp(min=0) * found.activation
        return class_activation(subject, query, found, contributions, self.final_relu)
