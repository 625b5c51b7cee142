"""KernelSHAP: Shapley values from some of the coalitions, with intervals, until they are narrow enough."""

import itertools
from collections.abc import Iterator
from typing import Annotated, ClassVar, Union

import torch
from annotated_types import Ge, Gt
from torch import Generator, Tensor

from pellucid.core.errors import UsageError
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.coalition_pairs import complementary_pairs, number_of_pairs
from pellucid.engine.coalition_surrogate import Estimate, shapley_estimate
from pellucid.engine.coalitions import Game
from pellucid.engine.perturb import Baseline, Grouping
from pellucid.engine.playing import Games, Shares
from pellucid.engine.shapley import coalitions, kernel_regression, kernel_weights
from pellucid.results.attribution import Attribution

# Time grows with the cube of the pairs in one fit; past this many, fits are pooled.
_BLOCK = 1500
_SPARE = 4
_GROWTH = 1.5


@method
class KernelShap:
    """Scores estimate Shapley values: what each feature adds, averaged over all orders in which features can come.

    Where ``budget`` allows every coalition the regression of ``lundberg2017unified`` is solved with all of them, and
    the scores are exact. Else coalitions are asked about in complementary pairs, none twice: those of one feature
    first, then all sizes in turn (``musco2025provably``). Differences within pairs cancel all interactions of an even
    number of features; those of odd numbers are not ignored as in a plain regression but modelled, by a Gaussian
    process on coalitions, whose mean has Shapley values in closed form. Additive games come out exactly.

    The interval is that of the process. Pairs are added until the largest half interval is at most ``tolerance`` times
    the largest score, or ``budget`` coalitions have been asked about: then ``converged`` is False. Scores always sum
    to the rise from everything hidden to everything shown.
    """

    spec: ClassVar = Spec(
        id="kernel-shap",
        title="KernelSHAP",
        question="What does each feature add to the score, on average over all orders in which features come in?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AFFECTED_PERSON, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"complete", "perturbation", "stochastic"},
        cost="2 F per pair of coalitions until the tolerance is met: at most 2048 F",
        references=("lundberg2017unified", "musco2025provably", "rasmussen2006gaussian"),
        serves=("A9",),
        caveat=(
            "Most coalitions are inputs that nobody has seen, and what stands for a hidden feature decides as much as "
            "the network: another baseline, other scores."
        ),
        alternatives=("exact-shapley", "permutation-shap", "lime"),
    )

    features: Annotated[Grouping, "what is shown together; None: superpixels, words, columns or elements"] = None
    segments: Annotated[Union[int, None], Ge(1), "number of features wanted, where that is free; None: the task's"] = None
    baseline: Annotated[
        Union[Baseline, None], "what hides a feature; None: its own mean colour in a picture, else the task's default"
    ] = None
    tolerance: Annotated[float, Gt(0), "largest half interval at which to stop, as a share of the largest score"] = 0.05
    budget: Annotated[int, Ge(2), "most coalitions per example that may be asked about"] = 2048
    seed: Annotated[int, "seed of the draws"] = 0

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        games = Games.of(subject, query, self.features, self.baseline, "kernel-shap", self.seed, self.segments)
        return games.shared(subject, query, self._share)

    def _share(self, game: Game, source: Generator) -> Shares:
        most = self.budget // 2 - 1
        if number_of_pairs(game.features) <= most:
            return _enumerated(game)
        least = game.features + _SPARE
        if most < least:
            raise UsageError(
                f"kernel-shap(budget={self.budget}) is too small for {game.features} features; give {2 * least + 2} or "
                "more, or group the features"
            )
        draws, known = complementary_pairs(game.features, source), []
        for pairs in _blocks(most, least):
            masks = torch.zeros(0, game.features, dtype=torch.bool)
            for number in _rounds(least, pairs):
                masks = torch.cat([masks, torch.stack(list(itertools.islice(draws, number - len(masks))))])
                found = _pooled([*known, _estimate(game, masks)])
                if bool(found.half_width.max() <= self.tolerance * found.mean.abs().max()):
                    return Shares(found.mean, found.half_width, True)
            known.append(_estimate(game, masks))
        return Shares(found.mean, found.half_width, False, _ran_out(self.budget))


def _ran_out(budget: int) -> str:
    return f"The budget of {budget} coalitions ran out before the tolerance was met: read the scores with their intervals."


def _enumerated(game: Game) -> Shares:
    """The regression on every coalition but the two ends, which it meets exactly."""
    nothing, everything = game.ends()
    if game.features == 1:
        return _exact(torch.tensor([everything - nothing], dtype=torch.float64))
    masks = coalitions(game.features)[1:-1]
    return _exact(kernel_regression(masks, game(masks), kernel_weights(masks), nothing, everything))


def _exact(scores: Tensor) -> Shares:
    return Shares(scores, torch.zeros_like(scores), True)


def _blocks(pairs: int, least: int) -> Iterator[int]:
    """How many pairs each of the pooled fits gets; a last one of fewer than ``least`` is left out."""
    while pairs >= least:
        yield min(pairs, _BLOCK)
        pairs -= _BLOCK


def _rounds(least: int, most: int) -> Iterator[int]:
    number = min(2 * least, most)
    while number < most:
        yield number
        number = int(number * _GROWTH)
    yield most


def _estimate(game: Game, masks: Tensor) -> Estimate:
    nothing, everything = game.ends()
    shown, hidden = game(torch.cat([masks, ~masks])).chunk(2)
    ends = torch.ones(1, game.features, dtype=torch.bool)
    odd = torch.cat([torch.tensor([everything - nothing], dtype=torch.float64), shown - hidden]) / 2
    found = shapley_estimate(torch.cat([ends, masks]), odd)
    missing = (everything - nothing - found.mean.sum()) / game.features
    return Estimate(found.mean + missing, found.half_width)


def _pooled(estimates: list[Estimate]) -> Estimate:
    """Independent estimates weighted by their precision."""
    precision = [1 / estimate.half_width.square().mean() for estimate in estimates]
    total = torch.stack(precision).sum()
    mean = sum(one.mean * share / total for one, share in zip(estimates, precision, strict=True))
    squares = sum(
        (one.half_width * share / total).square() for one, share in zip(estimates, precision, strict=True)
    )
    return Estimate(mean, squares.sqrt())
