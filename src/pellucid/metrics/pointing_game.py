"""Pointing game: does the highest score of a map lie on what is known to be the reason?"""

from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.engine.located import Pooling, by_position, masks_of, share_inside
from pellucid.results.evaluation import Evaluation


@method
class PointingGame:
    """1 where the position with the highest score lies inside the mask or within ``radius`` of it, else 0; the value is the
    share of examples that are hit (zhang2018top).

    Of several positions with the same highest score each counts as its share, so that a constant map scores the share of
    the picture that would be hit. The paper allows 15 pixels in photographs of full size. ``compat="quantus"`` calls it a
    hit if any of them lies inside.
    """

    spec: ClassVar = Spec(
        id="pointing-game",
        title="Pointing game",
        question="Does the highest score of the map lie on the object?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        cost="none",
        references=("zhang2018top",),
        serves=("A11",),
        caveat=(
            "It asks whether a map points at what people would name. A network that goes by something else, and a map that "
            "says so, both score badly."
        ),
        alternatives=("mass-accuracy", "rank-accuracy"),
    )

    radius: Annotated[float, Ge(0), "distance from the mask that still counts as a hit, in pixels or positions"] = 0
    pooling: Pooling = "sum"
    random_maps: RandomMaps = 20
    compat: Annotated[Literal["quantus"] | None, "whose way with ties is used, if not a share for each"] = None

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        masks = masks_of(asked)
        return verdict(
            self.spec.id,
            asked,
            [self._hits(case, masks[case.row]) for case in asked.cases(self.random_maps)],
            protocol=(
                f"The value is the share of examples whose highest score, by the {self.pooling} over channels, lies within "
                f"{self.radius:g} positions of the mask."
            ),
        )

    def _hits(self, case: Case, mask: Tensor) -> Tensor:
        inside = torch.from_numpy(distance_transform_edt(~mask.numpy()) <= self.radius).flatten()
        relevance = by_position(case, self.pooling)
        if self.compat == "quantus":
            return (relevance[:, inside].amax(1) == relevance.amax(1)).double()
        return share_inside(relevance, inside, 1)
