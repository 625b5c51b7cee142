"""Exact Shapley values: every coalition of features is asked about once."""

from typing import Annotated, ClassVar, Union

from annotated_types import Ge, Le
from torch import Generator

from pellucid.core.errors import NotAnswerable
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.coalitions import Game, HiddenBy, ShownTogether
from pellucid.engine.playing import Games, Shares
from pellucid.engine.shapley import coalitions, shapley_values
from pellucid.results.attribution import Attribution


@method
class ExactShapley:
    """Each feature scores what it adds to the explained quantity, averaged over all orders in which features can come.

    Scores sum to the rise from everything hidden to everything shown; a feature that never changes anything scores 0,
    and features that always change the same score the same (``shapley1953value``). All ``2^n`` coalitions are asked
    about, so there is no sampling error; more than ``budget`` are refused.
    """

    spec: ClassVar = Spec(
        id="exact-shapley",
        title="Exact Shapley values",
        question="What does each feature add to the score, on average over all orders in which features come in?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AFFECTED_PERSON, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"complete", "perturbation"},
        cost="2^n F for n features: 4096 F for 12",
        references=("shapley1953value", "lundberg2017unified"),
        serves=("A9",),
        caveat=(
            "Most coalitions are inputs that nobody has seen, and what stands for a hidden feature decides as much as "
            "the network: another baseline, other scores."
        ),
        alternatives=("kernel-shap", "permutation-shap"),
    )

    baseline: HiddenBy = None
    features: ShownTogether = None
    budget: Annotated[int, Ge(2), Le(2**20), "most coalitions per example that may be asked about"] = 2**16
    segments: Annotated[Union[int, None], Ge(1), "number of parts of a picture; None: the task's default"] = None

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        games = Games.of(subject, query, self.features, self.baseline, "exact-shapley", segments=self.segments)
        most = max(game.features for game in games.games)
        if 2**most > self.budget:
            raise NotAnswerable(
                f"{most} features have 2^{most} coalitions, more than the budget of {self.budget}; "
                "ask kernel-shap or permutation-shap, or group the features"
            )
        return games.shared(subject, query, _share)


def _share(game: Game, source: Generator) -> Shares:
    return Shares(shapley_values(game(coalitions(game.features))))
