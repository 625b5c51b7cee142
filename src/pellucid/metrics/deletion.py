"""Deletion: erase what a map calls relevant, most relevant first, and measure the area under the falling score."""

from typing import Annotated, ClassVar

from annotated_types import Ge

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.erasing import ErasedTogether, Walk, area_under, erasable, game_of, orders, stages, walked
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.engine.perturb import Baseline
from pellucid.results.evaluation import Evaluation


@method
class Deletion:
    """The area under the explained quantity as features are erased, most relevant first: low is good.

    The share of erased features runs from 0 to 1 in ``steps`` even steps; the area is a mean height, in the unit of the
    quantity. Ask about a probability to have it between 0 and 1 as in the paper, which erases single pixels, in 224 steps,
    to zero (petsiuk2018rise). Equal sets of erased features are asked once.
    """

    spec: ClassVar = Spec(
        id="deletion",
        title="Deletion",
        question="How fast does the score fall when what a map calls important is erased first?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation"},
        cost="steps F per map and control row",
        references=("petsiuk2018rise",),
        serves=("A11",),
        caveat=(
            "Half-erased inputs are unlike anything the network was trained on: a score can fall for that reason alone. "
            "Compare with the control rows, and with insertion."
        ),
        alternatives=("insertion", "region-perturbation"),
    )

    steps: Annotated[int, Ge(1), "stages in which features are erased"] = 50
    cover: Annotated[Baseline, "the baseline that stands where a feature is erased"] = "zero"
    features: ErasedTogether = None
    random_maps: RandomMaps = 1

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        areas, lines = [], []
        for share, line in walked(self._walk(case) for case in asked.cases(self.random_maps)):
            areas.append(area_under(line, share))
            lines.append(line)
        return verdict(
            self.spec.id,
            asked,
            areas,
            curves=lines,
            higher_is_better=False,
            protocol=(
                f"Features were erased in {self.steps} steps, most relevant first, by the baseline '{self.cover}'; the value "
                "is the mean of the explained score along the way."
            ),
        )

    def _walk(self, case: Case) -> Walk:
        features = erasable(case, self.features)
        gone = stages(features.counts()[0], self.steps)
        return Walk(game_of(case, features, self.cover), orders(case, features), gone)
