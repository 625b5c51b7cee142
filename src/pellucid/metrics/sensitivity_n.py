"""Sensitivity-n: faithfulness correlation for sets of every size, from single features to most of them."""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.erasing import game_of, relevances
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.engine.perturb import Baseline
from pellucid.engine.subsets import ErasedParts, Proportions, Subsets, correlations, falls, parts, subsets
from pellucid.results.evaluation import Evaluation


@method
class SensitivityN:
    """Pearson's correlation of ``Σ a`` over sets of n features with the fall of the explained quantity when they are
    erased together, for several n (ancona2018towards): 1 is best, and a linear model's contributions have it for all n.

    The curve is the correlation at each of ``shares`` of an example's features (at least one, never all), so that
    examples of different size can be averaged; the value is its mean. The sets are the same for every map, and the model
    is asked about each once. A picture of more than 196 pixels is erased in 14 × 14 cells: random sets of its single
    pixels all do much the same to a network, and no map is told from chance. 0 where the map or the model does not vary
    over the sets of a size, as for a constant map or an example with a single feature.
    """

    spec: ClassVar = Spec(
        id="sensitivity-n",
        title="Sensitivity-n",
        question="Do the scores of a map add up to what the score loses without these features, however many they are?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation", "stochastic"},
        cost="subsets F for each of shares, whatever the number of maps",
        references=("ancona2018towards",),
        serves=("A11",),
        caveat=(
            "It asks whether scores are contributions to a sum; a gradient, which is a rate, fails it for a linear model "
            "even though it says all there is to say."
        ),
        alternatives=("faithfulness-correlation", "infidelity"),
    )

    shares: Annotated[tuple[float, ...], Proportions(), "shares of the features that are erased together"] = (
        *(0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8),
    )
    subsets: Subsets = 100
    cover: Annotated[Baseline, "the baseline that stands where a feature is erased"] = "zero"
    features: ErasedParts = None
    seed: Annotated[int, "seed of the sets and of the random control"] = 0
    random_maps: RandomMaps = 20

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query, self.seed)
        lines = [self._curve(case) for case in asked.cases(self.random_maps)]
        return verdict(
            self.spec.id,
            asked,
            [line.mean(1) for line in lines],
            curves=lines,
            protocol=(
                f"At most {self.subsets} random sets of each of the shares {', '.join(map(str, self.shares))} of the "
                f"features, the same for every row, were erased by the baseline '{self.cover}'; the value is the mean over "
                "shares of the correlation of their relevance with the fall of the explained score."
            ),
        )

    def _curve(self, case: Case) -> Tensor:
        """The correlation at each share, ``[rows, shares]``."""
        features = parts(case, self.features)
        (number,) = features.counts()
        game, relevance, source = (
            game_of(case, features, self.cover),
            relevances(case, features),
            case.draws(self.spec.id),
        )
        found = []
        for share in self.shares:
            erased = subsets(number, max(1, min(round(share * number), number - 1)), self.subsets, source)
            found.append(correlations(relevance @ erased.double().T, falls(game, erased)))
        return torch.stack(found, 1)
