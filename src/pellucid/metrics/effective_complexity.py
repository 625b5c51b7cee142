"""Effective complexity: how many features must stay before the score no longer needs the others?"""

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.erasing import ErasedTogether, Walk, erasable, game_of, relevances, stages, walked
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.engine.perturb import Baseline
from pellucid.results.evaluation import Evaluation

# Quantus counts the features above this share of the largest relevance.
_QUANTUS = 1e-5


@method
class EffectiveComplexity:
    """The least number of features, the largest ``|a|`` first, from which on the others can be replaced and the expected
    squared error of the explained quantity stays within ``tolerance``, as a share of its error with all replaced
    (nguyen2020quantitative): low is simple.

    Features come back in at most ``steps`` even steps, so that the number is known up to one of these; the expectation is
    over ``draws`` of the baseline where that is random, like ``uniform``. ``compat="quantus"`` counts the features whose
    ``|a|`` is above 1e-5 of the largest instead, and never asks the model.
    """

    spec: ClassVar = Spec(
        id="effective-complexity",
        title="Effective complexity",
        question="How many of the features that a map puts first does it take to keep the score?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.SIMULATABILITY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation", "stochastic"},
        cost="steps × draws F per map and control row",
        references=("nguyen2020quantitative",),
        serves=("A11",),
        caveat=(
            "A few features together can reach the score by chance and lose it again; the number counts from where it stays. "
            "It depends on what replaces the others: compare with the control rows."
        ),
        alternatives=("sufficiency", "gini"),
    )

    tolerance: Annotated[
        float, Gt(0), Lt(1), "error that is allowed, as a share of that with every feature replaced"
    ] = 0.05
    steps: Annotated[int, Ge(1), "stages in which features come back"] = 50
    cover: Annotated[Baseline, "the baseline that stands where a feature is erased"] = "zero"
    draws: Annotated[int, Ge(1), "draws of the baseline, where it is random"] = 1
    features: ErasedTogether = None
    seed: Annotated[int, "seed of the baseline and of the random control"] = 0
    random_maps: RandomMaps = 1
    compat: Annotated[Literal["quantus"] | None, "whose definition is used, if not the paper's"] = None

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query, self.seed)
        cases = asked.cases(self.random_maps)
        if self.compat == "quantus":
            counts = [self._above(relevances(case, erasable(case, self.features)).abs()) for case in cases]
            protocol = f"The value is the number of features above {_QUANTUS} of the largest absolute relevance."
        else:
            counts = self._needed(cases)
            protocol = (
                f"Features came back in at most {self.steps} steps, largest absolute relevance first, over the baseline "
                f"'{self.cover}'; the value is the number from which on the squared error stays within {self.tolerance} of "
                "that with every feature replaced."
            )
        return verdict(self.spec.id, asked, counts, higher_is_better=False, protocol=protocol)

    def _needed(self, cases: Iterable[Case]) -> list[Tensor]:
        shown: list[Tensor] = []
        lines = [line for _, line in walked(self._walks(cases, shown))]
        found = []
        for place, back in enumerate(shown):
            draws = torch.stack(lines[place * self.draws : (place + 1) * self.draws])
            errors = (draws - draws[..., -1:]).square().mean(0)
            # The last stage shows everything, so that its error is zero.
            beyond = errors > self.tolerance * errors[:, :1]
            found.append(back[(beyond * torch.arange(1, len(back) + 1)).amax(1)].double())
        return found

    def _walks(self, cases: Iterable[Case], shown: list[Tensor]) -> Iterator[Walk]:
        """The features' way back, once per draw; ``shown`` takes down how many are back at each stage of each case."""
        for case in cases:
            features = erasable(case, self.features)
            order = relevances(case, features).abs().argsort(dim=1, descending=True, stable=True)
            shown.append(stages(features.counts()[0], self.steps))
            for draw in range(self.draws):
                game = game_of(case, features, self.cover, int(digest((case.seed, draw))[:12], 16))
                yield Walk(game, order, shown[-1], restoring=True)

    def _above(self, sizes: Tensor) -> Tensor:
        return (sizes > _QUANTUS * sizes.amax(1, keepdim=True)).sum(1).double()
