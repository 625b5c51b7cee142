"""Eigen-CAM: project the activations of a layer on their first principal direction."""

import dataclasses
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Point, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.class_activation import LayerName, class_activation, read
from pellucid.results.attribution import Attribution


@method
class EigenCam:
    """The map is A v: the channels A of a layer, one row per position, on their first right singular vector v.

    Of both signs that v can have it gets the one for which the map is high where the sum of all channels is high; after a
    rectifier the map is then nowhere negative. ``centred`` subtracts from each channel its mean first, as in a principal
    component analysis; the paper does not (muhammad2020eigen). No class enters: the map is the same for all of them.
    """

    spec: ClassVar = Spec(
        id="eigen-cam",
        title="Eigen-CAM",
        question="Where is the layer active in the way that explains most of all its activity?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER},
        needs={Access.OUTPUTS, Access.ACTIVATIONS},
        points={Point.INPUT, Point.LAYER},
        modalities={Modality.IMAGE, Modality.SEQUENCE, Modality.TEXT, Modality.TENSOR},
        cost="1 F",
        references=("muhammad2020eigen",),
        serves=("A9",),
        caveat=(
            "It shows what the layer is busy with, not why the network chose a class: target and foil change nothing in "
            "the map. Its size has no unit of the score."
        ),
        alternatives=("integrated-gradients", "occlusion"),
    )

    layer: LayerName = None
    centred: Annotated[bool, "subtract each channel's mean over positions first"] = False
    final_relu: Annotated[bool, "cut the map off below zero"] = False

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        found = read(subject, query, self.layer)
        if self.centred:
            found = dataclasses.replace(found, activation=found.activation - found.mean(found.activation))
        contributions = found.weighted(_principal_direction((found.activation * found.real).flatten(2).mT))
        note = "The map is of the layer's own activity: it is the same whatever class is asked for."
        return class_activation(subject, query, found, contributions, self.final_relu, (note,))


def _principal_direction(rows: Tensor) -> Tensor:
    """First right singular vectors ``[batch, channels]`` of ``[batch, positions, channels]``, along the rows' sums."""
    direction = torch.linalg.svd(rows.double(), full_matrices=False).Vh[:, 0].to(rows.dtype)
    along = ((rows @ direction[:, :, None])[:, :, 0] * rows.sum(2)).sum(1, keepdim=True)
    return torch.where(along < 0, -direction, direction)
