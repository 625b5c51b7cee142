"""Permutation SHAP: let features come in, in random orders and the reverse of each, and see what every one adds."""

from typing import Annotated, ClassVar, Union

import torch
from annotated_types import Ge, Gt
from torch import Generator, Tensor

from pellucid.core.errors import UsageError
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.averaging import Running
from pellucid.engine.coalitions import Game, HiddenBy, ShownTogether
from pellucid.engine.playing import Games, Shares, ran_out
from pellucid.engine.shapley import coalitions, shapley_values
from pellucid.results.attribution import Attribution

_ROUND = 4


@method
class PermutationShap:
    """Scores estimate Shapley values by what each feature adds in random orders, each followed by its reverse.

    Every order accounts for the whole rise from everything hidden to everything shown, and so do the scores. An order
    and its reverse (``mitchell2022sampling``) cancel interactions of pairs: games without larger ones come out exactly.
    Unlike a regression it assumes nothing of the game, and is free of bias for any number of orders.

    The interval is Student's over the pairs of orders (``castro2009polynomial``). Pairs are added until the largest half
    interval is at most ``tolerance`` times the largest score, or another would exceed ``budget``: then ``converged`` is
    False.
    """

    spec: ClassVar = Spec(
        id="permutation-shap",
        title="Permutation SHAP",
        question="What does each feature add to the score, on average over random orders in which features come in?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AFFECTED_PERSON, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"complete", "perturbation", "stochastic"},
        cost="2 F per feature and pair of orders: at most 2048 F",
        references=("castro2009polynomial", "mitchell2022sampling"),
        serves=("A9",),
        caveat=(
            "Most coalitions are inputs that nobody has seen, and what stands for a hidden feature decides as much as "
            "the network: another baseline, other scores."
        ),
        alternatives=("exact-shapley", "kernel-shap"),
    )

    baseline: HiddenBy = None
    features: ShownTogether = None
    tolerance: Annotated[float, Gt(0), "largest half interval at which to stop, as a share of the largest score"] = 0.05
    budget: Annotated[int, Ge(2), "most coalitions per example that may be asked about"] = 2048
    seed: Annotated[int, "seed of the draws"] = 0
    segments: Annotated[Union[int, None], Ge(1), "number of parts of a picture; None: the task's default"] = None

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        games = Games.of(subject, query, self.features, self.baseline, "permutation-shap", self.seed, self.segments)
        return games.shared(subject, query, self._share)

    def _share(self, game: Game, source: Generator) -> Shares:
        per_pair = 2 * (game.features - 1)
        if self.budget < 2 * per_pair + 2:
            raise UsageError(
                f"permutation-shap(budget={self.budget}) is too small for an interval over two orders of "
                f"{game.features} features and their reverses; give {2 * per_pair + 2} or more, or group the features"
            )
        average = Running(torch.zeros(game.features))
        game.ends()
        while True:
            known = game.asked
            for gains in _gains(game, _ROUND if average.count else 2, source):
                average.add(gains)
            half_width = average.half_width()
            if bool(half_width.max() <= self.tolerance * average.mean.abs().max()):
                return Shares(average.mean, half_width, True)
            if game.asked == known and 2**game.features <= self.budget:
                # Every order now walks over coalitions that are known: the rest of them gives the values themselves.
                return Shares(shapley_values(game(coalitions(game.features))), torch.zeros(game.features), True)
            if game.asked == known or game.asked + _ROUND * per_pair > self.budget:
                return Shares(average.mean, half_width, False, ran_out(self.budget))


def _gains(game: Game, pairs: int, source: Generator) -> Tensor:
    """What each feature adds, ``[pairs, features]``: the mean of a random order and its reverse."""
    orders = torch.stack([torch.randperm(game.features, generator=source) for _ in range(pairs)])
    both = torch.stack([orders, orders.flip(1)], 1).flatten(0, 1)
    place = both.argsort(1)
    masks = place[:, None] < torch.arange(game.features + 1)[:, None]
    worth = game(masks.flatten(0, 1)).view(len(both), -1)
    return worth.diff(dim=1).gather(1, place).view(pairs, 2, -1).mean(1)
