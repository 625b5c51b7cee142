"""XGrad-CAM: weight each channel of a layer by its gradients, averaged with its activation as the weight."""

from typing import ClassVar

import torch

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Point, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.class_activation import FinalRelu, LayerName, class_activation, read_gradient
from pellucid.results.attribution import Attribution


@method
class XgradCam:
    """The map is Σₖ wₖ Aₖ with wₖ = Σ gₖ ⊙ Aₖ / Σ Aₖ over positions, gₖ = ∂score/∂Aₖ of a layer's channel Aₖ (fu2020axiom).

    These weights are those that come nearest to two axioms: the map sums up to the score (conservation), and a channel
    contributes the fall of the score without it (sensitivity). Both hold exactly for ReLU networks without biases from the
    layer on, the latter if no rectifier switches. ``quality["total"]`` is the sum at the layer, before the final ReLU.
    """

    spec: ClassVar = Spec(
        id="xgrad-cam",
        title="XGrad-CAM",
        question="Which regions hold the channels that make up the score, each counted as far as it contributes?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.GRADIENTS, Access.ACTIVATIONS},
        points={Point.INPUT, Point.LAYER},
        modalities={Modality.IMAGE, Modality.SEQUENCE, Modality.TEXT, Modality.TENSOR},
        properties={"sensitivity"},
        cost="1 B, of which the backward half ends at the layer",
        references=("fu2020axiom",),
        serves=("A9", "A10"),
        caveat=(
            "It is as coarse as the layer. The weights divide by the sum of a channel: where activations have "
            "both signs, as before a rectifier, that sum can be near zero and its channel dominates the map; read "
            "a layer after its activation."
        ),
        alternatives=("integrated-gradients", "occlusion"),
    )

    layer: LayerName = None
    final_relu: FinalRelu = None

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        found = read_gradient(subject, query, self.layer)
        amount = found.total(found.activation)
        weights = found.total(found.gradient * found.activation) / amount
        contributions = torch.where(amount == 0, 0.0, weights * found.activation)
        total = {"total": contributions.flatten(1).sum(1)}
        return class_activation(subject, query, found, contributions, self.final_relu, quality=total)
