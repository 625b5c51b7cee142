"""Max-sensitivity: how much an explanation can change where its input hardly does."""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.disturbing import Copies, Radius, disturbed
from pellucid.engine.judged import Case, Judged, RandomMaps, judged, verdict
from pellucid.engine.reasking import about_points, relative_changes
from pellucid.results.evaluation import Evaluation


@method
class MaxSensitivity:
    """The largest ``‖Φ(x') − Φ(x)‖ / ‖Φ(x)‖`` over disturbed copies ``x'`` of the input: low is good.

    Copies are uniform in a box around the input (in the L∞ ball of ``radius``, yeh2019fidelity); every method explains
    the same ones, for the same target, in one call. A map of zeros counts as one of norm 1. What a stochastic method
    draws anew for every copy is part of its sensitivity. Of maps without any sense the random one changes by about √2, while
    the constant one never changes: stable is not true.
    """

    spec: ClassVar = Spec(
        id="max-sensitivity",
        title="Max-sensitivity",
        question="How much can the explanation change when the input hardly does?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation", "stochastic"},
        cost="copies explanations by each method",
        references=("yeh2019fidelity",),
        serves=("A11",),
        caveat=(
            "The largest of a few draws is a lower bound of the largest change. A map that never looks at the network is "
            "perfectly stable: read it beside a metric of faithfulness."
        ),
        alternatives=("local-lipschitz", "relative-stability"),
    )

    copies: Copies = 10
    radius: Radius = 0.02
    random_maps: RandomMaps = 5
    seed: Annotated[int, "seed of the copies and of the random control"] = 0

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query, self.seed)
        return verdict(
            self.spec.id,
            asked,
            [self._largest(asked, case) for case in asked.cases(self.random_maps)],
            higher_is_better=False,
            protocol=(
                f"The value is the largest relative change of the map over {self.copies} copies whose elements moved by at "
                f"most {self.radius:.3g} of their range."
            ),
        )

    def _largest(self, asked: Judged, case: Case) -> Tensor:
        points = disturbed(case, self.copies, self.radius)
        changes = [relative_changes(before, after) for before, after in about_points(asked, case, points)]
        return torch.stack(changes).amax(1)
