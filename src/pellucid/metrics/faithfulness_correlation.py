"""Faithfulness correlation: does the relevance of random sets of features go with what the score loses without them?"""

from typing import Annotated, ClassVar

from annotated_types import Ge
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.erasing import game_of, relevances
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.engine.perturb import Baseline
from pellucid.engine.subsets import ErasedParts, Subsets, correlations, falls, parts, subsets
from pellucid.results.evaluation import Evaluation


@method
class FaithfulnessCorrelation:
    """Pearson's correlation of ``Σ a`` over a set of ``size`` features with the fall of the explained quantity when they
    are erased together, over random sets (bhatt2020evaluating): 1 is best.

    The sets are the same for every map, and the model is asked about each once. Examples with no more features than
    ``size`` lose all but one. A picture of more than 196 pixels is erased in 14 × 14 cells: random sets of its single
    pixels all do much the same to a network, and no map is told from chance. 0 where the map or the model does not vary
    over the sets, as for a constant map or an example with a single feature.
    """

    spec: ClassVar = Spec(
        id="faithfulness-correlation",
        title="Faithfulness correlation",
        question="Does what a map gives to a set of features go with what the score loses without them?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation", "stochastic"},
        cost="subsets F, whatever the number of maps",
        references=("bhatt2020evaluating",),
        serves=("A11",),
        caveat=(
            "One size of set sees one scale: a map can be right about single features and wrong about many, or the other "
            "way round. Sets of many small features, like single pixels, differ little from each other: chance decides."
        ),
        alternatives=("sensitivity-n", "faithfulness-estimate"),
    )

    size: Annotated[int | None, Ge(1), "features that are erased together; None: a fifth of them"] = None
    subsets: Subsets = 100
    cover: Annotated[Baseline, "the baseline that stands where a feature is erased"] = "zero"
    features: ErasedParts = None
    seed: Annotated[int, "seed of the sets and of the random control"] = 0
    random_maps: RandomMaps = 20

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query, self.seed)
        size = "a fifth of the features" if self.size is None else f"{self.size} features"
        return verdict(
            self.spec.id,
            asked,
            [self._correlations(case) for case in asked.cases(self.random_maps)],
            protocol=(
                f"At most {self.subsets} random sets of {size}, the same for every row, were erased by the baseline "
                f"'{self.cover}'; the value is the correlation of their relevance with the fall of the explained score."
            ),
        )

    def _correlations(self, case: Case) -> Tensor:
        features = parts(case, self.features)
        (number,) = features.counts()
        size = max(1, min(round(number / 5) if self.size is None else self.size, number - 1))
        erased = subsets(number, size, self.subsets, case.draws(self.spec.id))
        lost = falls(game_of(case, features, self.cover), erased)
        return correlations(relevances(case, features) @ erased.double().T, lost)
