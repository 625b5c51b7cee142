"""Gini index: how unevenly an explanation divides its relevance."""

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
class Gini:
    """The Gini index ``Σᵢ (2i − n − 1) a₍ᵢ₎ / (n Σ a)`` of the features' absolute relevance in ascending order: high is
    sparse.

    0 where all features have the same, ``1 − 1/n`` where one of n has all (hurley2009comparing); explanations of robust
    networks are sparser by it (chalasani2020concise). A map of zeros counts as spread evenly.
    """

    spec: ClassVar = Spec(
        id="gini",
        title="Gini index of relevance",
        question="Does the explanation rest on few features?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.SIMULATABILITY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        cost="none",
        references=("chalasani2020concise", "hurley2009comparing"),
        serves=("A11",),
        caveat="It says nothing about truth: a map with a single wrong pixel is as sparse as can be.",
        alternatives=("entropy", "effective-complexity"),
    )

    features: ErasedTogether = None
    random_maps: RandomMaps = 20

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        return verdict(
            self.spec.id,
            asked,
            [self._indices(case) for case in asked.cases(self.random_maps)],
            protocol="The value is the Gini index of the features' absolute relevance.",
        )

    def _indices(self, case: Case) -> Tensor:
        sizes = relevances(case, erasable(case, self.features)).abs().sort(dim=1).values
        number, totals = sizes.shape[1], sizes.sum(1)
        weights = 2 * torch.arange(1, number + 1, dtype=torch.float64) - number - 1
        return torch.where(totals > 0, sizes @ weights / (number * totals.clamp(min=1e-300)), 0.0)
