"""Entropy: how widely an explanation spreads its relevance."""

from typing import ClassVar

import torch
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.erasing import ErasedTogether, erasable, relevances
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.results.evaluation import Evaluation


@method
class Entropy:
    """The Shannon entropy of the shares ``|a|/Σ|a|`` of the features' relevance, in nats: low is simple.

    0 where one feature has all relevance, the logarithm of the number of features where all have the same
    (bhatt2020evaluating). A map of zeros counts as spread evenly. This is not the entropy of the histogram of
    a heatmap.
    """

    spec: ClassVar = Spec(
        id="entropy",
        title="Entropy of relevance",
        question="Does the explanation name few features, or a little of everything?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.SIMULATABILITY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        cost="none",
        references=("bhatt2020evaluating",),
        serves=("A11",),
        caveat="It says nothing about truth: a map with a single wrong pixel is as simple as can be.",
        alternatives=("gini",),
    )

    features: ErasedTogether = None
    random_maps: RandomMaps = 20

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        return verdict(
            self.spec.id,
            asked,
            [self._entropies(case) for case in asked.cases(self.random_maps)],
            higher_is_better=False,
            protocol="The value is the entropy of the shares of relevance, in nats.",
        )

    def _entropies(self, case: Case) -> Tensor:
        sizes = relevances(case, erasable(case, self.features)).abs()
        sizes = torch.where(sizes.sum(1, keepdim=True) > 0, sizes, torch.ones_like(sizes))
        return torch.special.entr(sizes / sizes.sum(1, keepdim=True)).sum(1)
