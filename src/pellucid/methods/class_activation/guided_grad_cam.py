"""Guided Grad-CAM: guided backpropagation where Grad-CAM sees the class."""

import dataclasses
from typing import ClassVar

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.class_activation import LayerName
from pellucid.engine.perturb import position_axes
from pellucid.methods.attribution.guided_backprop import GuidedBackprop
from pellucid.methods.class_activation.grad_cam import GradCam
from pellucid.results.attribution import Attribution


@method
class GuidedGradCam:
    """Scores are those of guided backpropagation, each times the map of Grad-CAM at its position (selvaraju2017grad).

    The map is cut off below zero, also with a foil: what is shown lies where the target is seen rather than the foil. Notes
    and ``quality`` are those of both methods.
    """

    spec: ClassVar = Spec(
        id="guided-grad-cam",
        title="Guided Grad-CAM",
        question="Which fine details lie in the regions that raise the score?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.GRADIENTS, Access.ACTIVATIONS, Access.WEIGHTS},
        modalities={Modality.IMAGE, Modality.SEQUENCE, Modality.TEXT, Modality.TENSOR},
        cost="3 B",
        references=("selvaraju2017grad", "springenberg2015striving"),
        serves=("A9", "A10"),
        caveat=(
            "The details come from guided backpropagation, which draws edges whatever the class; only the regions, as "
            "coarse as the layer, are chosen by it. A sharp picture is no evidence that its details mattered."
        ),
        alternatives=("integrated-gradients", "occlusion"),
    )

    layer: LayerName = None

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        question = dataclasses.replace(query, inputs=inputs)
        regions = GradCam(layer=self.layer, final_relu=True)(subject, question)
        details = GuidedBackprop()(subject, question)
        channels = tuple(set(range(1, inputs.value.ndim)) - set(position_axes(subject, inputs)))
        seen = regions.scores.sum(channels, keepdim=True) if channels else regions.scores
        return dataclasses.replace(details, scores=details.scores * seen, notes=(*details.notes, *regions.notes))
