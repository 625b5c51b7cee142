"""Input invariance: a shift of the input that the model does not notice must not change the explanation."""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.disturbing import moving, ranges, real_elements
from pellucid.engine.judged import Case, Judged, RandomMaps, judged, verdict
from pellucid.engine.reasking import about, relative_changes
from pellucid.engine.shifting import Shifted
from pellucid.results.evaluation import Evaluation


@method
class InputInvariance:
    """``‖Φ'(x + s) − Φ(x)‖ / ‖Φ(x)‖``, where Φ' explains ``f'(x) = f(x − s)``: 0 for an invariant explanation
    (kindermans2019unreliability).

    Both models answer the same, ``f'(x + s) = f(x)``, and differ in nothing but an offset of what they read. The shift is
    the same share of its range for every element; padding stays. The gradient is invariant; gradient × input is not, and
    what starts from a fixed baseline is only as far as the baseline moves along. What a method draws at random depends
    on the input, so it can differ here by its noise. A map of zeros counts as one of norm 1.
    """

    spec: ClassVar = Spec(
        id="input-invariance",
        title="Input invariance",
        question="Does the explanation stay when the input is shifted and the model makes up for it?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        cost="1 explanation by each method",
        references=("kindermans2019unreliability",),
        serves=("A11",),
        caveat=(
            "A method with a meaningful zero (black, no ink, mean row) depends on where zero is by design: to fail says that "
            "this zero was chosen, not that the map is wrong."
        ),
        alternatives=("completeness", "non-sensitivity"),
    )

    shift: Annotated[float, "how far every element is shifted, as a share of the range of its values"] = 0.25
    random_maps: RandomMaps = 5

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        return verdict(
            self.spec.id,
            asked,
            [self._changes(asked, case) for case in asked.cases(self.random_maps)],
            higher_is_better=False,
            protocol=(
                f"Every element was shifted by {self.shift:.3g} of its range, and the model was made to undo it; the value "
                "is the relative change of the map."
            ),
        )

    def _changes(self, asked: Judged, case: Case) -> Tensor:
        point = moving(case)
        shift = (self.shift * ranges(case.subject, case.inputs) * real_elements(case.inputs)).to(point)
        shifted = case.inputs.at(point + shift)
        found = [
            relative_changes(before, after)
            for before, after in about(asked, case, Shifted(case.subject, shift), shifted)
        ]
        return torch.cat(found)
