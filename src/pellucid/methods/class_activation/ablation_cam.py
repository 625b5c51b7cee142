"""Ablation-CAM: weight each channel of a layer by how far the score falls without it."""

from typing import Annotated, ClassVar, Literal, Union

import torch
from annotated_types import Ge
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Point, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.batching import evaluate_from
from pellucid.engine.class_activation import FinalRelu, LayerName, Reading, class_activation, read, strongest
from pellucid.results.attribution import Attribution


@method
class AblationCam:
    """The map is Σₖ wₖ Aₖ of a layer's channels Aₖ, with wₖ made from the fall y − yₖ of the score y without channel k.

    A channel is taken away by setting it to zero. ``weight`` is the ``share`` (y − yₖ) / |y| that is lost, or the
    ``slope`` (y − yₖ) / ‖Aₖ‖ of the score along the channel (desai2020ablation, who define the slope and compute the share).
    The share is one of |y|, so that scores below zero do not turn the map over.

    ``channels`` takes away only so many, those with the largest ‖Aₖ‖; the others count nothing. ``quality`` holds the
    ``fall`` for every channel, 0 for those that were not taken away. Only what lies above the layer runs once per channel.
    """

    spec: ClassVar = Spec(
        id="ablation-cam",
        title="Ablation-CAM",
        question="Which regions hold the channels without which the score falls?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.OUTPUTS, Access.ACTIVATIONS},
        points={Point.INPUT, Point.LAYER},
        modalities={Modality.IMAGE, Modality.SEQUENCE, Modality.TEXT, Modality.TENSOR},
        cost="1 F per channel of the layer, of which only the part above the layer is computed",
        references=("desai2020ablation",),
        serves=("A9", "A10"),
        caveat=(
            "It is as coarse as the layer. Channels are taken away one at a time: what several of them say alike hides "
            "in none of them falling. Zero means absent only where activations are not negative."
        ),
        alternatives=("integrated-gradients", "occlusion"),
    )

    layer: LayerName = None
    final_relu: FinalRelu = None
    channels: Annotated[Union[int, None], Ge(1), "most channels that are taken away; None: all"] = None
    weight: Annotated[Literal["share", "slope"], "the share of the score that is lost, or the fall per ‖Aₖ‖"] = "share"

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        found = read(subject, query, self.layer)
        sizes = (found.activation * found.real).flatten(2).norm(dim=2)
        taken, notes = strongest(sizes, self.channels)
        fall = torch.zeros_like(sizes)
        for row, chosen in enumerate(taken):
            active = chosen[sizes[row, chosen] > 0]
            fall[row, active] = _falls(subject, found, row, active).to(fall)
        weights = fall / self._unit(found, sizes)
        contributions, falls = found.weighted(weights), {"fall": fall}
        return class_activation(subject, query, found, contributions, self.final_relu, notes, quality=falls)

    def _unit(self, found: Reading, sizes: Tensor) -> Tensor:
        if self.weight == "slope":
            return torch.where(sizes > 0, sizes, 1.0)
        if not bool(found.values.all()):
            raise NotAnswerable("the score is exactly 0, of which nothing is a share; ask for weight='slope'")
        return found.values.abs()[:, None].to(sizes)


def _falls(subject: Subject, found: Reading, row: int, channels: Tensor) -> Tensor:
    """How far the score of one example falls without each of these channels."""
    if not len(channels):
        return found.values.new_zeros(0)
    whole = found.activation[row : row + 1]

    def without(part: slice) -> Tensor:
        maps = whole.repeat(part.stop - part.start, *[1] * (whole.ndim - 1))
        for number, channel in enumerate(channels[part].tolist()):
            maps[number, channel] = 0
        return found.layout.layer(maps)

    one, target = found.inputs.rows(slice(row, row + 1)), found.target.rows(slice(row, row + 1))
    values = evaluate_from(found.name, subject, one, target, len(channels), without, "ablation-cam")
    return found.values[row].double() - values
