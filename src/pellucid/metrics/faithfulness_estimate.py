"""Faithfulness estimate: does the relevance of each feature go with what the score loses when it alone is erased?"""

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
from pellucid.engine.subsets import ErasedParts, correlations, falls, parts
from pellucid.results.evaluation import Evaluation


@method
class FaithfulnessEstimate:
    """Pearson's correlation of the features' relevance with the fall of the explained quantity when each of them alone is
    erased (alvarezmelis2018towards): 1 is best.

    A picture of more than 196 pixels is erased in 14 × 14 cells, because each feature is one model call and a single pixel
    of many moves hardly any score. The paper asks about a probability. 0 where the map or the model does not vary over
    the features, as for a constant map or an example with a single feature.
    """

    spec: ClassVar = Spec(
        id="faithfulness-estimate",
        title="Faithfulness estimate",
        question="Does what a map gives to each feature go with what the score loses without it?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation"},
        cost="1 F per feature, whatever the number of maps",
        references=("alvarezmelis2018towards",),
        serves=("A11",),
        caveat=(
            "Features are erased one by one: of two that each suffice neither seems to matter, so that a map which names "
            "both is called wrong. An ablation map of the same features is right by definition."
        ),
        alternatives=("faithfulness-correlation", "sensitivity-n"),
    )

    cover: Annotated[Baseline, "the baseline that stands where a feature is erased"] = "zero"
    features: ErasedParts = None
    random_maps: RandomMaps = 20

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        return verdict(
            self.spec.id,
            asked,
            [self._correlations(case) for case in asked.cases(self.random_maps)],
            protocol=(
                f"Each feature alone was erased by the baseline '{self.cover}'; the value is the correlation of the "
                "features' relevance with the fall of the explained score."
            ),
        )

    def _correlations(self, case: Case) -> Tensor:
        features = parts(case, self.features)
        (number,) = features.counts()
        lost = falls(game_of(case, features, self.cover), torch.eye(number, dtype=torch.bool))
        return correlations(relevances(case, features), lost)
