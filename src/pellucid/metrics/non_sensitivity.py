"""Non-sensitivity: what an explanation calls irrelevant should be what the model does not react to."""

import dataclasses
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Features, Subject
from pellucid.engine.coalitions import players
from pellucid.engine.disturbing import redrawn
from pellucid.engine.erasing import game_of, relevances
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.engine.perturb import Grouping
from pellucid.results.evaluation import Evaluation


@method
class NonSensitivity:
    """How many features are either called irrelevant though the model reacts to them, or called relevant though it does
    not: low is good (nguyen2020quantitative).

    A feature is irrelevant where the sizes of its scores sum to 0; the model does not react to it where none of ``draws``
    other values of this feature alone, uniform in the range of values, changes the explained quantity. Both up to
    ``tolerance``: of the largest relevance, and of the quantity or its largest change. With ``compat="quantus"`` a feature
    is replaced by the lowest value of the input, which for a black pixel is no change at all, and the tolerance is
    absolute, of a map divided by its largest score.
    """

    spec: ClassVar = Spec(
        id="non-sensitivity",
        title="Non-sensitivity",
        question="Are the features that the explanation calls irrelevant those that the model ignores?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation", "stochastic"},
        cost="draws F per feature, the same for all maps",
        references=("nguyen2020quantitative",),
        serves=("A11",),
        caveat=(
            "Features are changed one at a time: of two that can stand in for each other the model seems to need neither. "
            "Most networks react to everything a little, and most maps are nowhere exactly 0: then it says nothing."
        ),
        alternatives=("completeness", "sensitivity-n"),
    )

    draws: Annotated[int, Ge(1), "other values of each feature that are tried"] = 2
    tolerance: Annotated[float, Ge(0), "share of the largest up to which a relevance or a reaction counts as none"] = (
        1e-5
    )
    features: Annotated[Grouping, "what is one feature; None: superpixels, words, columns or elements"] = None
    random_maps: RandomMaps = 1
    compat: Annotated[Literal["quantus"] | None, "whose convention is followed; None: the paper's"] = None
    seed: Annotated[int, "seed of the other values and of the random control"] = 0

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query, self.seed)
        return verdict(
            self.spec.id,
            asked,
            [self._disagreements(case) for case in asked.cases(self.random_maps)],
            higher_is_better=False,
            protocol=(
                "The value is the number of features whose relevance is 0 though the model reacts to them, or the other way "
                "round."
            ),
        )

    def _disagreements(self, case: Case) -> Tensor:
        features = players(case.subject, case.inputs, self.features)
        sizes = relevances(dataclasses.replace(case, maps=case.maps.abs()), features)
        reactions, value = self._reactions(case, features)
        if self.compat == "quantus":
            largest = sizes.amax(1, keepdim=True)
            irrelevant = sizes / torch.where(largest > 0, largest, torch.ones_like(largest)) < self.tolerance
            ignored = reactions < self.tolerance
        else:
            irrelevant = sizes <= self.tolerance * sizes.amax(1, keepdim=True)
            ignored = reactions <= self.tolerance * torch.maximum(value.abs(), reactions.max())
        return (irrelevant ^ ignored).sum(1).double()

    def _reactions(self, case: Case, features: Features) -> tuple[Tensor, Tensor]:
        """The largest change of the quantity as each feature alone is changed, ``[features]``, and the quantity."""
        number = features.counts()[0]
        if self.compat == "quantus":
            covers = case.inputs.value.min().expand_as(case.inputs.value)
        else:
            covers = redrawn(case, self.draws)
        masks = torch.cat([torch.ones(1, number, dtype=torch.bool), ~torch.eye(number, dtype=torch.bool)])
        values = torch.stack([game_of(case, features, cover[None])(masks) for cover in covers])
        return (values[:, 1:] - values[:, :1]).abs().amax(0), values[0, 0]
