"""Rank accuracy: how many of the highest scores lie on what is known to be the reason?"""

from typing import ClassVar

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.judged import RandomMaps, judged, verdict
from pellucid.engine.located import Pooling, by_position, masks_of, share_inside
from pellucid.results.evaluation import Evaluation


@method
class RankAccuracy:
    """The share of the K positions with the highest scores that lie inside the mask, which has K positions
    (arras2022clevr): 1 is best.

    Among equal scores the choice is fair: a map that knows nothing, such as a constant one, scores the share of the
    picture that the mask covers.
    """

    spec: ClassVar = Spec(
        id="rank-accuracy",
        title="Relevance rank accuracy",
        question="Do the highest scores of the map cover the object?",
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
        alternatives=("mass-accuracy", "top-k-intersection"),
    )

    pooling: Pooling = "sum"
    random_maps: RandomMaps = 20

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        masks = masks_of(asked)
        return verdict(
            self.spec.id,
            asked,
            [
                share_inside(by_position(case, self.pooling), masks[case.row].flatten(), int(masks[case.row].sum()))
                for case in asked.cases(self.random_maps)
            ],
            protocol=(
                f"The value is the share of the highest scores, by the {self.pooling} over channels and as many as the mask "
                "has positions, that lie inside the mask."
            ),
        )
