"""Entropy: how widely an explanation spreads its relevance, or how many shades its heatmap has."""

from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.erasing import ErasedTogether, erasable, relevances
from pellucid.engine.judged import RandomMaps, judged, verdict
from pellucid.results.evaluation import Evaluation


@method
class Entropy:
    """A Shannon entropy of the features' relevance, in nats: low is simple.

    That of ``shares`` is of ``|a|/Σ|a|``: 0 where one feature has all relevance, the logarithm of the number of features
    where all have the same (bhatt2020evaluating); a map of zeros counts as spread evenly. That of the ``histogram``
    (samek2017evaluating) is of how many features fall into each of ``bins`` equal ranges between ±max|a|, the shades of a
    heatmap: 0 where all features have the same relevance, at most the logarithm of the number of bins. The two can order
    maps oppositely.
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
        references=("bhatt2020evaluating", "samek2017evaluating"),
        serves=("A11",),
        caveat="It says nothing about truth: a map with a single wrong pixel is as simple as can be.",
        alternatives=("gini", "file-size"),
    )

    of: Annotated[Literal["shares", "histogram"], "shares of the relevance, or the histogram of the heatmap"] = "shares"
    bins: Annotated[int, Ge(2), "ranges of the histogram"] = 256
    features: ErasedTogether = None
    random_maps: RandomMaps = 20

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        what = "shares of relevance" if self.of == "shares" else f"histogram of relevance in {self.bins} bins"
        relevance = [relevances(case, erasable(case, self.features)) for case in asked.cases(self.random_maps)]
        return verdict(
            self.spec.id,
            asked,
            [self._entropies(rows) for rows in relevance],
            higher_is_better=False,
            protocol=f"The value is the entropy of the {what}, in nats.",
        )

    def _entropies(self, relevance: Tensor) -> Tensor:
        sizes = relevance.abs() if self.of == "shares" else self._histograms(relevance)
        sizes = torch.where(sizes.sum(1, keepdim=True) > 0, sizes, torch.ones_like(sizes))
        return torch.special.entr(sizes / sizes.sum(1, keepdim=True)).sum(1)

    def _histograms(self, relevance: Tensor) -> Tensor:
        """How many features each bin between ±max|a| holds, ``[rows, bins]``."""
        largest = relevance.abs().amax(1, keepdim=True)
        heights = (relevance / torch.where(largest > 0, largest, 1.0) + 1) / 2
        bins = (heights * self.bins).long().clamp(max=self.bins - 1)
        counts = torch.zeros(len(bins), self.bins, dtype=torch.float64)
        return counts.scatter_add_(1, bins, torch.ones_like(relevance))
