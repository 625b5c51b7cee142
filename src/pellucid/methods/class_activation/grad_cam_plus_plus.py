"""Grad-CAM++: weight each channel by its positive gradients, so that several objects count alike."""

from typing import ClassVar

import torch
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Point, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.class_activation import FinalRelu, LayerName, class_activation, read_gradient
from pellucid.results.attribution import Attribution


@method
class GradCamPlusPlus:
    """The map is Σₖ wₖ Aₖ with wₖ = Σ αₖ relu(gₖ) over positions, gₖ = ∂score/∂Aₖ of a layer's channel Aₖ.

    αₖ = g² / (2 g² + g³ Σ Aₖ) = 1 / (2 + g Σ Aₖ) at each position: the paper's quotient of second and third derivatives of
    exp(score), where the score is piecewise linear in the layer (chattopadhay2018grad). The factor exp(score), one per
    example, is left out: it would only overflow. Where a denominator is not positive a note says so.
    """

    spec: ClassVar = Spec(
        id="grad-cam-plus-plus",
        title="Grad-CAM++",
        question="Which regions hold channels that raise the score, however small or many the regions are?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.GRADIENTS, Access.ACTIVATIONS},
        points={Point.INPUT, Point.LAYER},
        modalities={Modality.IMAGE, Modality.SEQUENCE, Modality.TEXT, Modality.TENSOR},
        properties={"sensitivity"},
        cost="1 B, of which the backward half ends at the layer",
        references=("chattopadhay2018grad",),
        serves=("A9", "A10"),
        caveat=(
            "It is as coarse as the layer and sees only what raises the score. Its weights assume activations "
            "that are not negative and a score that is piecewise linear from the layer on; elsewhere they can "
            "change their sign."
        ),
        alternatives=("integrated-gradients", "occlusion"),
    )

    layer: LayerName = None
    final_relu: FinalRelu = None

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        found = read_gradient(subject, query, self.layer)
        gradient = found.gradient
        denominators = 2 + gradient * found.total(found.activation)
        weights = found.total(torch.where(gradient > 0, gradient / denominators, 0.0))
        contributions = weights * found.activation
        notes = _doubts(denominators[gradient > 0])
        return class_activation(subject, query, found, contributions, self.final_relu, notes)


def _doubts(denominators: Tensor) -> tuple[str, ...]:
    wrong = int((denominators <= 0).sum())
    if not wrong:
        return ()
    return (
        f"{wrong} of {len(denominators)} weights have a denominator that is not positive, because activations are "
        "negative: their sign means nothing; read a layer after its activation.",
    )
