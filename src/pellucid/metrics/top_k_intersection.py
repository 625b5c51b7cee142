"""Top-k intersection: how many of the k highest scores lie on what is known to be the reason?"""

from typing import Annotated, ClassVar

from annotated_types import Ge
from torch import Tensor

from pellucid.core.errors import BadInput
from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.engine.located import Pooling, by_position, masks_of, share_inside
from pellucid.results.evaluation import Evaluation


@method
class TopKIntersection:
    """The share of the ``k`` positions with the highest scores that lie inside the mask (theiner2022interpretable): 1 is
    best, if the mask has that many.

    By default k is 2 % of an example's positions, which are the paper's 1000 of a picture of 224 × 224. With
    ``relative``, the share is divided by the share of the picture that the mask covers (the paper's concept influence):
    above 1 the map favours it. Among equal scores the choice is fair.
    """

    spec: ClassVar = Spec(
        id="top-k-intersection",
        title="Top-k intersection",
        question="Do the few highest scores of the map lie on the object?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        cost="none",
        references=("theiner2022interpretable",),
        serves=("A11",),
        caveat=(
            "It asks whether a map points at what people would name. A network that goes by something else, and a map that "
            "says so, both score badly."
        ),
        alternatives=("rank-accuracy", "pointing-game"),
    )

    k: Annotated[int | None, Ge(1), "how many of the highest scores; None: 2 % of the positions"] = None
    relative: Annotated[bool, "whether chance, the share of the picture that the mask covers, is 1"] = False
    pooling: Pooling = "sum"
    random_maps: RandomMaps = 20

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        masks = masks_of(asked)
        return verdict(
            self.spec.id,
            asked,
            [self._shares(case, masks[case.row].flatten()) for case in asked.cases(self.random_maps)],
            protocol=(
                f"The value is the share of the {'highest 2 % of' if self.k is None else self.k} scores, by the "
                f"{self.pooling} over channels, that lie inside the mask"
                f"{', relative to the share that the mask covers' if self.relative else ''}."
            ),
        )

    def _shares(self, case: Case, inside: Tensor) -> Tensor:
        number = len(inside)
        largest = max(1, round(0.02 * number)) if self.k is None else self.k
        if largest > number:
            raise BadInput(f"an example has {number} positions, fewer than k={largest}; name a smaller k")
        found = share_inside(by_position(case, self.pooling), inside, largest)
        return found / inside.double().mean() if self.relative else found
