"""Selectivity: remove features, most relevant first, until none is left, and measure the area under the score."""

from typing import Annotated, ClassVar, Union

from annotated_types import Ge

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Features, Subject
from pellucid.engine.erasing import Walk, area_under, erasable, game_of, orders, stages, walked
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.engine.perturb import Baseline, Grouping
from pellucid.engine.quantus import Compat, area_of_unit_steps, darkest, patches
from pellucid.results.evaluation import Evaluation

_QUANTUS_PATCH = 8


@method
class Selectivity:
    """The mean height of the explained quantity as features are removed one by one, most relevant first: low is good.

    Pictures lose square patches, black by default, anything else its words, columns or elements to the task's default
    baseline; the relevance of a patch is the sum of its scores (montavon2018methods). All features go.

    ``compat="quantus"`` takes patches of 8 pixels unless one is named and the smallest value of each picture as black,
    leaves the unchanged input out of the curve and adds up its area in steps of one, so that more patches give larger
    values.
    """

    spec: ClassVar = Spec(
        id="selectivity",
        title="Selectivity",
        question="How fast does the score fall when features are removed one by one, most relevant first?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation"},
        cost="1 F per feature, map and control row",
        references=("montavon2018methods",),
        serves=("A11",),
        caveat=(
            "Black squares are unlike anything the network was trained on: a score can fall for that reason alone. Compare "
            "with the control rows."
        ),
        alternatives=("pixel-flipping", "region-perturbation"),
    )

    patch: Annotated[
        Union[int, None],
        Ge(1),
        "side of a square patch in pixels; None: a seventh of the picture's shorter side, as the paper's 4 of 28",
    ] = None
    cover: Annotated[
        Union[Baseline, None],
        "the baseline that stands where a feature is removed; None: black in pictures, else the task's default",
    ] = None
    features: Annotated[Grouping, "what is removed together, by name; None: patches, words, columns or elements"] = None
    compat: Compat = None
    random_maps: RandomMaps = 1

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        areas, lines = [], []
        for share, line in walked(self._walk(case) for case in asked.cases(self.random_maps)):
            areas.append(area_of_unit_steps(line) if self.compat else area_under(line, share))
            lines.append(line)
        value = (
            "the area under the explained score, as quantus adds it up" if self.compat else "the mean explained score"
        )
        return verdict(
            self.spec.id,
            asked,
            areas,
            curves=lines,
            higher_is_better=False,
            protocol=f"All features were removed one by one, most relevant first; the value is {value}.",
        )

    def _walk(self, case: Case) -> Walk:
        features = self._features(case)
        number = features.counts()[0]
        return Walk(game_of(case, features, self._cover(case)), orders(case, features), stages(number, number))

    def _features(self, case: Case) -> Features:
        if self.features is not None or case.subject.task.modality is not Modality.IMAGE:
            return erasable(case, self.features)
        shorter = min(case.inputs.value.shape[2:])
        return patches(case.inputs, self.patch or (_QUANTUS_PATCH if self.compat else max(1, round(shorter / 7))))

    def _cover(self, case: Case) -> Baseline:
        if self.cover is not None:
            return self.cover
        if self.compat:
            return darkest(case.inputs)
        offered = case.subject.task.baselines()
        return "black" if "black" in offered else offered[0]
