"""Comprehensiveness: how much of the score goes when the features that a map puts first are erased?"""

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
class Comprehensiveness:
    """The explained quantity of the whole example minus that without its most relevant features, averaged over ``shares``
    of them (deyoung2020eraser): high is good.

    A share is rounded up to whole features. The paper erases 1, 5, 10, 20 and 50 % of the words of a text, and asks about
    a probability. A linear model's contributions reach the highest value that any map can.
    """

    spec: ClassVar = Spec(
        id="comprehensiveness",
        title="Comprehensiveness",
        question="How much of the score goes when the features that a map puts first are taken away?",
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
            "What is left may be unlike anything the network was trained on: a score can fall for that reason alone. "
            "Compare with the control rows, and with sufficiency."
        ),
        alternatives=("sufficiency", "deletion"),
    )

    shares: Annotated[
        tuple[float, ...], Proportions(), "shares of the features that are erased, most relevant first"
    ] = (*(0.01, 0.05, 0.1, 0.2, 0.5),)
    cover: Annotated[Baseline, "the baseline that stands where a feature is erased"] = "zero"
    features: ErasedTogether = None
    random_maps: RandomMaps = 1

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        lines = [line for _, line in walked(self._walk(case) for case in asked.cases(self.random_maps))]
        return verdict(
            self.spec.id,
            asked,
            [(line[:, :1] - line[:, 1:]).mean(1) for line in lines],
            curves=lines,
            protocol=(
                f"The shares {', '.join(map(str, self.shares))} of the features, most relevant first, were erased by the "
                f"baseline '{self.cover}'; the value is the mean fall of the explained score."
            ),
        )

    def _walk(self, case: Case) -> Walk:
        """From the whole to what is left without each share."""
        features = erasable(case, self.features)
        gone = torch.tensor([0, *at_least(self.shares, features.counts()[0])])
        return Walk(game_of(case, features, self.cover), orders(case, features), gone)
