"""KernelSHAP: Shapley values from some of the coalitions, with intervals, until they are narrow enough."""

import itertools
from collections.abc import Iterator
from typing import Annotated, ClassVar, Union

import torch
from annotated_types import Ge, Gt
from torch import Generator, Tensor

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.coalition_pairs import affordable_pairs, complementary_pairs, halves, least_pairs, rounds
from pellucid.engine.coalition_surrogate import Estimate, shapley_estimate
from pellucid.engine.coalitions import Game, HiddenBy, ShownTogether
from pellucid.engine.playing import Games, Shares, ran_out
from pellucid.engine.shapley import coalitions, kernel_regression, kernel_weights
from pellucid.results.attribution import Attribution

# Time grows with the cube of the pairs in one fit; past this many, fits are pooled.
_BLOCK = 1500


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

    baseline: HiddenBy = None
    features: ShownTogether = None
    tolerance: Annotated[float, Gt(0), "largest half interval at which to stop, as a share of the largest score"] = 0.05
    budget: Annotated[int, Ge(2), "most coalitions per example that may be asked about"] = 2048
    seed: Annotated[int, "seed of the draws"] = 0
    segments: Annotated[Union[int, None], Ge(1), "number of parts of a picture; None: the task's default"] = None

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        games = Games.of(subject, query, self.features, self.baseline, "kernel-shap", self.seed, self.segments)
        return games.shared(subject, query, self._share)

    def _share(self, game: Game, source: Generator) -> Shares:
        if 2**game.features <= self.budget:
            return _enumerated(game)
        most, least = affordable_pairs(game, self.budget, "kernel-shap"), least_pairs(game.features)
        draws, known = complementary_pairs(game.features, source), list[Estimate]()
        for pairs in _blocks(most, least):
            masks = torch.zeros(0, game.features, dtype=torch.bool)
            for number in rounds(least, pairs):
                masks = torch.cat([masks, torch.stack(list(itertools.islice(draws, number - len(masks))))])
                latest = _estimate(game, masks)
                found = _pooled([*known, latest])
                if bool(found.half_width.max() <= self.tolerance * found.mean.abs().max()):
                    return Shares(found.mean, found.half_width, True)
            known.append(latest)
        return Shares(found.mean, found.half_width, False, ran_out(self.budget))


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
    """How many pairs each of the pooled fits gets; a last one that would be too small to weigh anything is left out."""
    yield min(pairs, _BLOCK)
    while (pairs := pairs - _BLOCK) >= 2 * least:
        yield min(pairs, _BLOCK)


def _estimate(game: Game, masks: Tensor) -> Estimate:
    nothing, everything = game.ends()
    known = halves(game, masks)
    found = shapley_estimate(known.masks, known.odd)
    missing = (everything - nothing - found.mean.sum()) / game.features
    return Estimate(found.mean + missing, found.half_width)


def _pooled(estimates: list[Estimate]) -> Estimate:
    """Independent estimates weighted by their precision."""
    if len(estimates) == 1:
        return estimates[0]
    half_widths = torch.stack([one.half_width for one in estimates])
    precision = 1 / half_widths.square().mean(1, keepdim=True)
    share = precision / precision.sum()
    return Estimate(
        (share * torch.stack([one.mean for one in estimates])).sum(0), (share * half_widths).square().sum(0).sqrt()
    )
