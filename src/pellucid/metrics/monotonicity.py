"""Monotonicity: restore features, least relevant first; does the score ever fall?"""

from typing import Annotated, ClassVar, Literal, Union

from annotated_types import Ge
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.erasing import ErasedTogether, Walk, erasable, game_of, orders, stages, walked
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.engine.perturb import Baseline
from pellucid.results.evaluation import Evaluation


@method
class Monotonicity:
    """1 where the explained quantity never falls as features are restored in ascending order of relevance, else 0.

    It begins with everything erased; the mean over examples is the share of examples that an answer ranks so
    (arya2019one). On large inputs no order may pass: ``measure="steps"`` is the share of steps in which the quantity does
    not fall. A fall within ``tolerance`` of the largest magnitude along the way counts as rounding.
    """

    spec: ClassVar = Spec(
        id="monotonicity",
        title="Monotonicity",
        question="Does the score never fall when features are restored from the least to the most relevant?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation"},
        cost="steps F per map and control row",
        references=("arya2019one",),
        serves=("A11",),
        caveat=(
            "A true map fails where a feature speaks against the score, because restoring it must lower the score. Judge it "
            "beside the control rows; where all rows are 0 the measure of steps says more."
        ),
        alternatives=("insertion", "faithfulness-estimate"),
    )

    steps: Annotated[int, Ge(1), "stages in which features are restored"] = 50
    measure: Annotated[
        Literal["example", "steps"], "example: 1 where the score never falls; steps: the share of steps without a fall"
    ] = "example"
    tolerance: Annotated[float, Ge(0), "fall that counts as rounding, relative to the largest score on the way"] = 1e-5
    cover: Annotated[
        Union[Baseline, None], "the baseline that stands where a feature is not yet restored; None: the task's default"
    ] = None
    features: ErasedTogether = None
    random_maps: RandomMaps = 1

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        lines = [line for _, line in walked(self._walk(case) for case in asked.cases(self.random_maps))]
        told = (
            "1 where the explained score never fell"
            if self.measure == "example"
            else "the share of steps without a fall"
        )
        return verdict(
            self.spec.id,
            asked,
            [self._value(line) for line in lines],
            curves=lines,
            protocol=(
                f"Features were restored in {self.steps} steps, least relevant first, on the baseline "
                f"'{self._cover(subject)}'; the value is {told}."
            ),
        )

    def _value(self, line: Tensor) -> Tensor:
        held = line.diff(dim=1) >= -self.tolerance * line.abs().amax(1, keepdim=True)
        return (held.all(1) if self.measure == "example" else held).double().reshape(len(line), -1).mean(1)

    def _walk(self, case: Case) -> Walk:
        features = erasable(case, self.features)
        shown = stages(features.counts()[0], self.steps)
        game = game_of(case, features, self._cover(case.subject))
        return Walk(game, orders(case, features, ascending=True), shown, restoring=True)

    def _cover(self, subject: Subject) -> Baseline:
        return subject.task.baselines()[0] if self.cover is None else self.cover
