"""Linear combination of filters: a unit drawn as the sum of the filters below it that its largest weights read."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.method import method
from pellucid.core.query import Unit
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.batching import evaluate
from pellucid.engine.drawing_units import shape_of
from pellucid.engine.linear_chain import linear_chain
from pellucid.engine.picture_evidence import evidence
from pellucid.engine.units import Units, layer_at
from pellucid.results.feature_images import FeatureImages

KEPT = "share of the unit's squared weights"


@method
class FilterCombination:
    """filter_j = Σ W_ij · filter_i over the ``top`` units i below of the largest weights (lee2008sparse).

    Filters of the first layer are its weights. Signs are kept and nothing is normalised; layer by layer, up to the unit's
    own. Without an index every unit of the layer is drawn. The activation is that of the unit, before its non-linearity, for
    the filter as it is.
    """

    spec: ClassVar = Spec(
        id="filter-combination",
        title="Linear combination of filters",
        question="What does this unit look for, if the layers below it only added up their filters?",
        scopes={Scope.TRANSPARENCY, Scope.DECOMPOSABILITY},
        dimensions={Dimension.DECOMPOSABILITY, Dimension.VISUAL},
        view=View.MODEL,
        askers={Asker.DEVELOPER},
        needs={Access.WEIGHTS, Access.ACTIVATIONS},
        modalities={Modality.IMAGE, Modality.TENSOR, Modality.TABULAR},
        cost="1 F per unit, and some to see that layers are in a chain",
        references=("erhan2009visualizing", "lee2008sparse"),
        serves=("B1",),
        caveat=(
            "The non-linearities between layers are left out: a filter that a saturated or silent unit carries is drawn all "
            "the same, and the higher the layer, the less the sum need have to do with what excites the unit."
        ),
        alternatives=("activation-maximization", "what-if", "response"),
    )

    top: Annotated[int, Ge(1), "how many units below are added up, those with the largest weights"] = 20

    def __call__(self, subject: Subject, query: Unit) -> FeatureImages:
        if query.layer is None or query.target is not None:
            raise UsageError("name a layer and a unit, as in Unit('layers.2', 5); without an index all units are drawn")
        inputs = shape_of(subject, query)
        chain = linear_chain(subject, inputs, query.layer)
        layer = layer_at(subject, inputs, chain.names[-1])
        index = layer.chosen(query.index)
        rows = [unit if isinstance(unit, int) else unit[0] for unit in index]
        filters, kept = combined([weight.double() for weight in chain.weights], self.top)
        images = filters[rows].view(-1, *inputs.value.shape[1:]).to(inputs.value)
        units, names = Units(layer, index), tuple(layer.named(unit) for unit in index)
        shown = inputs.rows(torch.zeros(len(index), dtype=torch.long), images)
        data = None if query.data is None else subject.prepare(query.data)
        return FeatureImages(
            images=images,
            units=names,
            captions=("",) * len(index),
            activations=evaluate(subject, shown, units, torch.arange(len(index)), lambda part: images[part]),
            evidence={**evidence(subject, shown, units, names, data), KEPT: kept[rows]},
        )


def combined(weights: Sequence[Tensor], top: int) -> tuple[Tensor, Tensor]:
    """The filters ``[units, inputs]`` of the last of these layers ``[units, units below]``, and the share of the squares of
    each unit's own weights that was added up, ``[units]``."""
    filters, kept = weights[0], torch.ones(len(weights[0]), dtype=weights[0].dtype)
    for weight in weights[1:]:
        largest = weight.abs().argsort(dim=1, descending=True, stable=True)[:, :top]
        sparse = torch.zeros_like(weight).scatter(1, largest, weight.gather(1, largest))
        filters = sparse @ filters
        kept = sparse.square().sum(1) / weight.square().sum(1)
    return filters, kept
