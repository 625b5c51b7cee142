"""Sufficiency: how much of the score is missing when only the features that a map puts first are left?"""

from typing import Annotated, ClassVar

import torch

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.erasing import ErasedTogether, Walk, erasable, game_of, orders, walked
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.engine.perturb import Baseline
from pellucid.engine.subsets import Proportions, at_least
from pellucid.results.evaluation import Evaluation


@method
class Sufficiency:
    """The explained quantity of the whole example minus that with only its most relevant features, averaged over
    ``shares`` of them (deyoung2020eraser): low is good, and below 0 where the rest spoke against it.

    A share is rounded up to whole features. The paper leaves 1, 5, 10, 20 and 50 % of the words of a text, and asks about
    a probability. Quantus calls another thing sufficiency: the share of examples with a similar explanation that are
    given the same class (dasgupta2022framework), which speaks of a set of examples and not of one.
    """

    spec: ClassVar = Spec(
        id="sufficiency",
        title="Sufficiency",
        question="How much of the score is missing when only the features that a map puts first are left?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation"},
        cost="1 F per share, map and control row",
        references=("deyoung2020eraser",),
        serves=("A11",),
        caveat=(
            "A few features alone are unlike anything the network was trained on, so its score may mean little there. "
            "Compare with the control rows, and with comprehensiveness."
        ),
        alternatives=("comprehensiveness", "insertion"),
    )

    shares: Annotated[tuple[float, ...], Proportions(), "shares of the features that are left, most relevant first"] = (
        *(0.01, 0.05, 0.1, 0.2, 0.5),
    )
    cover: Annotated[Baseline, "the baseline that stands where a feature is erased"] = "zero"
    features: ErasedTogether = None
    random_maps: RandomMaps = 1

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        lines = [line for _, line in walked(self._walk(case) for case in asked.cases(self.random_maps))]
        return verdict(
            self.spec.id,
            asked,
            [(line[:, -1:] - line[:, :-1]).mean(1) for line in lines],
            curves=lines,
            higher_is_better=False,
            protocol=(
                f"Only the shares {', '.join(map(str, self.shares))} of the features, most relevant first, were left, the "
                f"others erased by the baseline '{self.cover}'; the value is the mean of what the explained score lacks."
            ),
        )

    def _walk(self, case: Case) -> Walk:
        """From each share alone to the whole."""
        features = erasable(case, self.features)
        (number,) = features.counts()
        shown = torch.tensor([*at_least(self.shares, number), number])
        return Walk(game_of(case, features, self.cover), orders(case, features), shown, restoring=True)
