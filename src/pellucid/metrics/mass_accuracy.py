"""Mass accuracy: how much of the positive relevance lies on what is known to be the reason?"""

from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.engine.located import Pooling, by_position, masks_of
from pellucid.results.evaluation import Evaluation


@method
class MassAccuracy:
    """The positive relevance inside the mask as a share of all positive relevance (arras2022clevr): 1 is best.

    A map that knows nothing scores the share of the picture that the mask covers; one without positive relevance 0.
    ``compat="quantus"`` divides signed sums instead, which can lie anywhere where signs cancel, and gives 0 where they
    cancel to nothing.
    """

    spec: ClassVar = Spec(
        id="mass-accuracy",
        title="Relevance mass accuracy",
        question="How much of the positive relevance lies on the object?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        cost="none",
        references=("arras2022clevr",),
        serves=("A11",),
        caveat=(
            "It asks whether a map points at what people would name. A network that goes by something else, and a map that "
            "says so, both score badly."
        ),
        alternatives=("rank-accuracy", "pointing-game"),
    )

    pooling: Pooling = "sum"
    random_maps: RandomMaps = 20
    compat: Annotated[Literal["quantus"] | None, "whose definition is used, if not the paper's"] = None

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        masks = masks_of(asked)
        return verdict(
            self.spec.id,
            asked,
            [self._shares(case, masks[case.row].flatten()) for case in asked.cases(self.random_maps)],
            protocol=(
                f"The value is the share of the {'signed' if self.compat else 'positive'} relevance, by the {self.pooling} "
                "over channels, that lies inside the mask."
            ),
        )

    def _shares(self, case: Case, inside: Tensor) -> Tensor:
        relevance = by_position(case, self.pooling)
        mass = relevance if self.compat == "quantus" else relevance.clamp(min=0)
        whole = mass.sum(1)
        return torch.where(whole == 0, 0.0, mass[:, inside].sum(1) / torch.where(whole == 0, 1.0, whole))
