"""Feature ablation: hide one feature at a time, and see how far the score falls."""

from typing import Annotated, ClassVar, Union

import torch
from annotated_types import Ge
from torch import Generator

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.coalitions import Game, HiddenBy
from pellucid.engine.perturb import Grouping
from pellucid.engine.playing import Games, Shares
from pellucid.results.attribution import Attribution


@method
class FeatureAblation:
    """Each feature scores the fall of the explained quantity when it alone is hidden.

    A feature may be a group of elements, such as a superpixel or all columns of a kind: these are hidden together, and
    share the fall evenly. Scores do not add up to anything: what either of two features can do alone scores for none.
    """

    spec: ClassVar = Spec(
        id="feature-ablation",
        title="Feature ablation",
        question="How far does the score fall when this feature alone is hidden?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AFFECTED_PERSON, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation"},
        cost="1 F per feature: 50 F on a picture",
        references=("zeiler2014visualizing",),
        serves=("A3", "A9"),
        caveat="It takes one feature away at a time: where one can stand in for another, neither seems to matter.",
        alternatives=("occlusion", "kernel-shap"),
    )

    baseline: HiddenBy = None
    features: Annotated[Grouping, "what is hidden together; None: superpixels, words, columns or elements"] = None
    segments: Annotated[Union[int, None], Ge(1), "number of parts of a picture; None: the task's default"] = None

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        games = Games.of(subject, query, self.features, self.baseline, "feature-ablation", segments=self.segments)
        return games.shared(subject, query, _share, complete=False)


def _share(game: Game, source: Generator) -> Shares:
    _, everything = game.ends()
    return Shares(everything - game(~torch.eye(game.features, dtype=torch.bool)))
