"""Score-CAM: weight each channel of a layer by the score that the input keeps when only its map shows."""

from typing import Annotated, ClassVar, Union

import torch
from annotated_types import Ge
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Point, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.batching import evaluate
from pellucid.engine.class_activation import (
    FinalRelu,
    LayerName,
    Reading,
    class_activation,
    interpolated,
    read,
    strongest,
)
from pellucid.engine.perturb import Baseline, baseline_value, with_padding
from pellucid.results.attribution import Attribution


@method
class ScoreCam:
    """The map is Σₖ αₖ Aₖ of a layer's channels Aₖ, with α the softmax over channels of the increase in the score.

    The increase of a channel is the score of the input that shows only where the channel is active, above the score of
    ``baseline``: its map, interpolated to the input and stretched from 0 to 1, fades the input into the baseline
    (wang2020score). A channel that is the same everywhere shows nothing and has no increase.

    ``channels`` tries only so many, those that vary most over positions; the others count nothing. ``quality`` holds the
    ``increase`` of every channel, 0 for those that were not tried.
    """

    spec: ClassVar = Spec(
        id="score-cam",
        title="Score-CAM",
        question="Which regions suffice, when only they are shown, for a high score?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.OUTPUTS, Access.ACTIVATIONS},
        points={Point.INPUT, Point.LAYER},
        modalities={Modality.IMAGE, Modality.SEQUENCE, Modality.TEXT, Modality.TENSOR},
        cost="1 F per channel of the layer: 1280 F for the last maps of efficientnet-lite0",
        references=("wang2020score",),
        serves=("A9", "A10"),
        caveat=(
            "A softmax over logits gives nearly all weight to a few channels, over probabilities nearly the same to all. "
            "All weights are positive: a channel that lowers the score still adds to the map. Faded inputs are unlike "
            "any that the network was trained on."
        ),
        alternatives=("integrated-gradients", "occlusion"),
    )

    layer: LayerName = None
    final_relu: FinalRelu = None
    channels: Annotated[Union[int, None], Ge(1), "most channels that are tried; None: all"] = None
    baseline: Annotated[Baseline, "what the input fades into where a channel is not active"] = "zero"

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        found = read(subject, query, self.layer)
        cover = with_padding(found.inputs, baseline_value(subject, found.inputs, self.baseline))
        deviation = (found.activation - found.mean(found.activation)) * found.real
        variation = deviation.flatten(2).norm(dim=2)
        tried, notes = strongest(variation, self.channels)
        weights, increase = torch.zeros_like(variation), torch.zeros_like(variation)
        for row, chosen in enumerate(tried):
            varying = chosen[variation[row, chosen] > 0]
            increase[row, varying] = _increases(subject, found, cover, row, varying).to(increase)
            weights[row, chosen] = increase[row, chosen].double().softmax(0).to(weights)
        increases = {"increase": increase}
        contributions = found.weighted(weights)
        return class_activation(subject, query, found, contributions, self.final_relu, notes, quality=increases)


def _increases(subject: Subject, found: Reading, cover: Tensor, row: int, channels: Tensor) -> Tensor:
    """How far one example that shows through each of these channels lifts the score above that of the cover."""
    inputs, layout = found.inputs, found.input
    maps = torch.cat([torch.zeros_like(found.activation[row, :1]), found.activation[row, channels]])

    def shown(part: slice) -> Tensor:
        grown = interpolated(maps[part], layout.extent)
        real = grown if inputs.mask is None else grown[:, inputs.mask[row]]
        low, high = (extreme.view(-1, *[1] * (grown.ndim - 1)) for extreme in real.flatten(1).aminmax(dim=1))
        stretched = (grown - low) / (high - low).clamp(min=torch.finfo(grown.dtype).tiny)
        return torch.lerp(cover[row], inputs.value[row], layout.over_channels(stretched).to(cover))

    scores = evaluate(subject, inputs, found.target, torch.full((len(maps),), row), shown, "score-cam")
    return scores[1:] - scores[0]
