"""Pixel flipping: turn what a map calls relevant into its opposite, most relevant first, and watch the score."""

from typing import Annotated, ClassVar, Union

from annotated_types import Ge

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Features, Subject
from pellucid.engine.erasing import ErasedTogether, Walk, area_under, erasable, game_of, orders, stages, walked
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.engine.perturb import Baseline
from pellucid.engine.quantus import Compat, area_of_unit_steps, darkest
from pellucid.results.evaluation import Evaluation


@method
class PixelFlipping:
    """The mean height of the explained quantity as features are flipped, most relevant first: low is good.

    A flipped pixel takes its opposite between black and white, as in a negative; words, columns and elements take the task's
    default baseline (bach2015pixel). The share of flipped features runs from 0 to 1 in ``steps`` even steps; the
    paper flips pixels one by one, which takes as many steps as there are pixels. ``curve`` holds the score along the way.

    ``compat="quantus"`` flips single elements, channels apart, to the smallest value of their picture, leaves the unchanged
    input out of the curve and adds up its area in steps of one, so that more steps give larger values.
    """

    spec: ClassVar = Spec(
        id="pixel-flipping",
        title="Pixel flipping",
        question="How fast does the score fall when what a map calls relevant is turned into its opposite?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation"},
        cost="steps F per map and control row",
        references=("bach2015pixel",),
        serves=("A11",),
        caveat=(
            "The opposite of a medium grey is a medium grey: flipping such a pixel erases nothing. Name another cover "
            "where inputs are not nearly binary."
        ),
        alternatives=("deletion", "region-perturbation"),
    )

    steps: Annotated[int, Ge(1), "stages in which features are flipped"] = 50
    cover: Annotated[
        Union[Baseline, None],
        "the baseline that a flipped feature takes; None: its negative in pictures, else the task's default",
    ] = None
    features: ErasedTogether = None
    compat: Compat = None
    random_maps: RandomMaps = 1

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        areas, lines = [], []
        for share, line in walked(self._walk(case) for case in asked.cases(self.random_maps)):
            areas.append(area_of_unit_steps(line) if self.compat else area_under(line, share))
            lines.append(line)
        return verdict(
            self.spec.id,
            asked,
            areas,
            curves=lines,
            higher_is_better=False,
            protocol=self._protocol(),
        )

    def _walk(self, case: Case) -> Walk:
        features = self._features(case)
        gone = stages(features.counts()[0], self.steps)
        return Walk(game_of(case, features, self._cover(case)), orders(case, features), gone)

    def _features(self, case: Case) -> Features:
        return erasable(case, "elements" if self.compat and self.features is None else self.features)

    def _cover(self, case: Case) -> Baseline:
        if self.cover is not None:
            return self.cover
        if self.compat:
            return darkest(case.inputs)
        bounds = case.subject.task.bounds(case.inputs)
        if bounds is None or case.subject.task.modality is not Modality.IMAGE:
            return case.subject.task.baselines()[0]
        low, high = (bound.to(case.inputs.value) for bound in bounds)
        return low + high - case.inputs.value

    def _protocol(self) -> str:
        told = (
            "their picture's smallest value"
            if self.compat
            else "their opposite (the default baseline if not a picture)"
        )
        told = told if self.cover is None else f"the baseline '{self.cover}'"
        value = (
            "the area under the explained score, as quantus adds it up" if self.compat else "the mean explained score"
        )
        return f"Features were flipped to {told} in {self.steps} steps, most relevant first; the value is {value}."
