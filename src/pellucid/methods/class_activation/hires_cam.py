"""HiResCAM: the gradient of the score times the activation, place by place."""

from typing import Annotated, ClassVar

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Point, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.class_activation import LayerName, class_activation, read_gradient
from pellucid.results.attribution import Attribution


@method
class HiresCam:
    """The map is Σₖ gₖ ⊙ Aₖ, with gₖ = ∂score/∂Aₖ at each position of a layer's channel Aₖ (draelos2020use).

    Where the score is linear in the layer (one linear map, or a global average before it) the map shows exactly what each
    place contributes, and sums up to the score without its bias: ``quality["total"]`` is that sum at the layer. There is
    no final ReLU unless it is asked for: negative scores are places that speak against the class.
    """

    spec: ClassVar = Spec(
        id="hires-cam",
        title="HiResCAM",
        question="How much does each place of the layer, as it is, contribute to the score?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.GRADIENTS, Access.ACTIVATIONS},
        points={Point.INPUT, Point.LAYER},
        modalities={Modality.IMAGE, Modality.SEQUENCE, Modality.TEXT, Modality.TENSOR},
        properties={"sensitivity"},
        cost="1 B, of which the backward half ends at the layer",
        references=("draelos2020use",),
        serves=("A9", "A10"),
        caveat=(
            "It is as coarse as the layer. That it shows what the score was made of holds only where little but "
            "linear maps follows the layer; before further layers it is a first-order guess."
        ),
        alternatives=("integrated-gradients", "occlusion"),
    )

    layer: LayerName = None
    final_relu: Annotated[bool, "keep only what raises the score"] = False

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        found = read_gradient(subject, query, self.layer)
        contributions = found.gradient * found.activation
        total = {"total": contributions.flatten(1).sum(1)}
        return class_activation(subject, query, found, contributions, self.final_relu, quality=total)
