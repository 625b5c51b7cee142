"""Local Lipschitz constant: how fast an explanation changes with its input, at worst."""

from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.disturbing import Copies, Radius, disturbed
from pellucid.engine.judged import Case, Judged, RandomMaps, judged, verdict
from pellucid.engine.reasking import about_points
from pellucid.results.evaluation import Evaluation


@method
class LocalLipschitz:
    """The largest ``‖Φ(x) − Φ(x')‖₂ / ‖x − x'‖₂`` over disturbed copies ``x'`` of the input: low is good.

    Copies are uniform in a box around the input; every method explains the same ones, for the same target, in one
    call (alvarezmelis2018robustness, which searches the neighbourhood instead of drawing from it). With
    ``compat="quantus"`` every map is divided by its largest absolute score first, as quantus does by default.
    """

    spec: ClassVar = Spec(
        id="local-lipschitz",
        title="Local Lipschitz constant",
        question="How fast does the explanation change with the input, at worst?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation", "stochastic"},
        cost="copies explanations by each method",
        references=("alvarezmelis2018robustness",),
        serves=("A11",),
        caveat=(
            "It has the unit of the scores: methods whose scores are larger look less stable. Max-sensitivity has no unit. "
            "The largest of a few draws is a lower bound."
        ),
        alternatives=("max-sensitivity", "relative-stability"),
    )

    copies: Copies = 10
    radius: Radius = 0.02
    random_maps: RandomMaps = 5
    compat: Annotated[Literal["quantus"] | None, "whose convention is followed; None: the paper's"] = None
    seed: Annotated[int, "seed of the copies and of the random control"] = 0

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query, self.seed)
        return verdict(
            self.spec.id,
            asked,
            [self._largest(asked, case) for case in asked.cases(self.random_maps)],
            higher_is_better=False,
            protocol=(
                f"The value is the largest change of the map by the change of the input, over {self.copies} copies whose "
                f"elements moved by at most {self.radius:.3g} of their range."
            ),
        )

    def _largest(self, asked: Judged, case: Case) -> Tensor:
        points = disturbed(case, self.copies, self.radius)
        moved = (points - case.inputs.value).double().flatten(1).norm(dim=1)
        found = []
        for before, after in about_points(asked, case, points):
            if self.compat == "quantus":
                before, after = _scaled(before[None])[0], _scaled(after)
            changed = (after - before).flatten(1).norm(dim=1)
            found.append(torch.where(moved > 0, changed / moved, torch.zeros_like(changed)).max())
        return torch.stack(found)


def _scaled(maps: Tensor) -> Tensor:
    largest = maps.abs().flatten(1).amax(1).view(-1, *[1] * (maps.ndim - 1))
    return maps / torch.where(largest > 0, largest, torch.ones_like(largest))
