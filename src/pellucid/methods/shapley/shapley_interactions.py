"""Shapley interactions: what every two features do together, beyond what each does on its own."""

import itertools
from dataclasses import dataclass
from typing import Annotated, ClassVar, Union

import torch
from annotated_types import Ge, Gt
from torch import Generator, Tensor

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.coalition_pairs import Halves, affordable_pairs, complementary_pairs, halves, least_pairs, rounds
from pellucid.engine.coalition_surrogate import PairSurrogate
from pellucid.engine.coalitions import Game, HiddenBy, ShownTogether
from pellucid.engine.playing import Games, notes_of, ran_out
from pellucid.engine.shapley import Index, coalitions, pair_interactions, shapley_values, symmetric
from pellucid.results.interactions import Interactions


@dataclass(frozen=True)
class _Found:
    """The matrix of one example, ``[features, features]``, with what each feature does on its own on the diagonal."""

    matrix: Tensor
    half_width: Tensor
    converged: bool
    note: str = ""


@method
class ShapleyInteractions:
    """Every pair scores how far what one adds depends on the other being there, averaged over the rest.

    ===========  =======================================================  ===========================================
    ``index``    a pair's weight for the others that are there            a feature on its own
    ===========  =======================================================  ===========================================
    ``sii``      as in the Shapley value (``grabisch1999axiomatic``)      its Shapley value less half of its pairs
    ``stii``     few others count more (``sundararajan2020shapley``)      what it adds to nothing
    ``fsii``     half of the others counts most: the best fit by pairs    its Shapley value less half of its pairs
                 under Shapley's kernel (``tsai2023faith``)
    ===========  =======================================================  ===========================================

    All pairs and all features on their own account together for the rise from everything hidden to everything shown.
    Where ``budget`` allows every coalition they are exact. Else coalitions are asked about in complementary pairs and
    modelled as in kernel-shap: intervals are those of the model, and pairs are added until the largest half interval is
    at most ``tolerance`` times the largest entry, or the budget runs out.
    """

    spec: ClassVar = Spec(
        id="shapley-interactions",
        title="Shapley interactions",
        question="Which two features do something together that neither does alone?",
        scopes={Scope.EXPLAINABILITY, Scope.DECOMPOSABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation", "stochastic"},
        cost="2^n F for n features, or 2 F per pair of coalitions: at most 2048 F",
        references=("grabisch1999axiomatic", "sundararajan2020shapley", "tsai2023faith", "rasmussen2006gaussian"),
        serves=("A9",),
        caveat=(
            "What more than two features do together is put on pairs, by each index in its own way; and two words or "
            "patches interact with respect to what hides them."
        ),
        alternatives=("kernel-shap", "exact-shapley"),
    )

    index: Annotated[Index, "how what more than two features do together is put on pairs"] = "fsii"
    baseline: HiddenBy = None
    features: ShownTogether = None
    tolerance: Annotated[float, Gt(0), "largest half interval at which to stop, as a share of the largest entry"] = 0.05
    budget: Annotated[int, Ge(2), "most coalitions per example that may be asked about"] = 2048
    seed: Annotated[int, "seed of the draws"] = 0
    segments: Annotated[Union[int, None], Ge(1), "number of parts of a picture; None: the task's default"] = None

    def __call__(self, subject: Subject, query: Decision) -> Interactions:
        name = "shapley-interactions"
        games = Games.of(subject, query, self.features, self.baseline, name, self.seed, self.segments)
        ends = torch.tensor([game.ends() for game in games.games], dtype=torch.float64)
        found = [self._found(game, source) for game, source in zip(games.games, games.sources, strict=True)]
        most = max(game.features for game in games.games)
        matrix, half_width = torch.zeros(2, len(found), most, most, dtype=torch.float64)
        for row, one in enumerate(found):
            number = len(one.matrix)
            matrix[row, :number, :number], half_width[row, :number, :number] = one.matrix, one.half_width
        accounted = torch.stack([one.matrix.triu().sum() for one in found])
        target, kind = games.target, games.inputs.value.dtype
        return Interactions(
            matrix=matrix.to(kind),
            half_width=half_width.to(kind),
            value=ends[:, 1].to(kind),
            baseline=ends[:, 0].to(kind),
            residual=(ends[:, 1] - ends[:, 0] - accounted).to(kind),
            features=games.features,
            index=self.index,
            target=target.public(target.index),
            foil=target.public(target.foil),
            labels=tuple(target.labels),
            converged=torch.tensor([one.converged for one in found]),
            notes=notes_of(games.games, [one.note for one in found]),
        )

    def _found(self, game: Game, source: Generator) -> _Found:
        if 2**game.features <= self.budget:
            return _exact(game(coalitions(game.features)), self.index)
        most = affordable_pairs(game, self.budget, "shapley-interactions")
        draws, masks = complementary_pairs(game.features, source), torch.zeros(0, game.features, dtype=torch.bool)
        for number in rounds(least_pairs(game.features), most):
            masks = torch.cat([masks, torch.stack(list(itertools.islice(draws, number - len(masks))))])
            found = _estimated(game, halves(game, masks), self.index)
            if bool(found.half_width.max() <= self.tolerance * found.matrix.abs().max()):
                return found
        return _Found(found.matrix, found.half_width, False, ran_out(self.budget))


def _exact(worth: Tensor, index: Index) -> _Found:
    matrix = pair_interactions(worth, index)
    alone = shapley_values(worth) - matrix.sum(1) / 2
    if index == "stii":
        alone = worth[2 ** torch.arange(len(matrix))] - worth[0]
    matrix = matrix + alone.diag()
    return _Found(matrix, torch.zeros_like(matrix), True)


def _estimated(game: Game, known: Halves, index: Index) -> _Found:
    surrogate = PairSurrogate(known.masks, known.odd, known.even, index)
    pairs, values = surrogate.pairs(), surrogate.shapley_values()
    matrix, squares = symmetric(pairs.mean, game.features), symmetric(pairs.half_width.square(), game.features)
    nothing, everything = game.ends()
    each = torch.eye(game.features, dtype=torch.bool)
    first = game(each) - nothing
    match index:
        case "stii":
            alone, unsure = first, torch.zeros_like(first)
        case (
            "sii"
        ):  # along the diagonal, all interactions of a player add up to how what it adds changes from end to end
            alone, unsure = values.mean - (everything - game(~each) - first) / 2, values.half_width.square()
        case "fsii":
            half = surrogate.half_of_pairs()
            alone, unsure = values.mean - half.mean, values.half_width.square() + half.half_width.square()
    return _Found(matrix + alone.diag(), (squares + unsure.diag()).sqrt(), True)
