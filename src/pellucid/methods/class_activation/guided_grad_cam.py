"""Guided Grad-CAM: guided backpropagation where Grad-CAM sees the class."""

import dataclasses
from typing import ClassVar

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.attributing import attribution
from pellucid.engine.class_activation import LayerName, map_at_input, read_gradient
from pellucid.engine.targets import again
from pellucid.methods.attribution.guided_backprop import GuidedBackprop
from pellucid.results.attribution import Attribution


@method
class GuidedGradCam:
    """Scores are those of guided backpropagation, each times the map of Grad-CAM at its position (selvaraju2017grad).

    The map is cut off below zero, also with a foil: what is shown lies where the target is seen rather than the foil.
    ``quality`` is that of guided backpropagation alone.
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
        found = read_gradient(subject, query, self.layer)
        regions, silent = map_at_input(found, found.mean(found.gradient) * found.activation, cut=True)
        details = GuidedBackprop()(subject, again(query, found.inputs, found.target))
        scores = details.scores * found.input.over_channels(regions)
        answer = attribution(
            subject, found.inputs, query, found.target, scores, found.values, details.features, quality=details.quality
        )
        return dataclasses.replace(answer, notes=(*answer.notes, found.note, *silent))
