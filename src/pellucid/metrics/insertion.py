"""Insertion: restore what a map calls relevant, most relevant first, and measure the area under the rising score."""

from typing import Annotated, ClassVar, Union

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
class Insertion:
    """The area under the explained quantity as features are restored, most relevant first: high is good.

    It begins with everything erased, by a blur in pictures as in the paper (petsiuk2018rise), else by the task's default
    baseline. The share of restored features runs from 0 to 1 in ``steps`` even steps; the area is a mean height, in the
    unit of the quantity. Ask about a probability to have it between 0 and 1 as in the paper, which restores single pixels
    in 224 steps.
    """

    spec: ClassVar = Spec(
        id="insertion",
        title="Insertion",
        question="How fast does the score rise when what a map calls important is restored first?",
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
            "What stands before the restoring decides: a blurred picture still shows much, and sharp pixels on it are unlike "
            "anything the network was trained on. Compare with the control rows, and with deletion."
        ),
        alternatives=("deletion", "region-perturbation"),
    )

    steps: Annotated[int, Ge(1), "stages in which features are restored"] = 50
    cover: Annotated[
        Union[Baseline, None],
        "the baseline that stands where a feature is not yet restored; None: a blur in pictures, else the task's default",
    ] = None
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
            protocol=(
                f"Features were restored in {self.steps} steps, most relevant first, on the baseline "
                f"'{self._cover(subject)}'; the value is the mean of the explained score along the way."
            ),
        )

    def _walk(self, case: Case) -> Walk:
        features = erasable(case, self.features)
        shown = stages(features.counts()[0], self.steps)
        return Walk(game_of(case, features, self._cover(case.subject)), orders(case, features), shown, restoring=True)

    def _cover(self, subject: Subject) -> Baseline:
        if self.cover is not None:
            return self.cover
        offered = subject.task.baselines()
        return "blur" if "blur" in offered else offered[0]
