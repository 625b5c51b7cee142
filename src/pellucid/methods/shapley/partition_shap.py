"""Partition SHAP: divide the rise among groups of features, then within each group, down a hierarchy (Owen values)."""

import heapq
import itertools
from dataclasses import dataclass
from typing import Annotated, ClassVar, Union

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.coalitions import Game, HiddenBy, ShownTogether
from pellucid.engine.hierarchies import Joins, checked, joins, members
from pellucid.engine.playing import Games, Shares
from pellucid.results.attribution import Attribution

_AT_ONCE = 32


@dataclass(frozen=True)
class _Part:
    """A group in one context: ``rise`` is what it adds to the features that are there, which counts ``weight``."""

    group: int
    context: Tensor
    weight: float
    rise: float


@method
class PartitionShap:
    """Scores are Owen values on a hierarchy of features: Shapley values of orders in which no group is torn apart.

    At every step of the hierarchy the rise of a group is divided between its two parts by what each adds before and
    after the other; within a part the other is there half of the time (``owen1977values`` on nested unions of two). A
    balanced hierarchy of ``n`` features takes about ``n²`` coalitions instead of ``2^n``.

    Groups of largest rise are divided first. Where the ``budget`` runs out, what is left of a group is divided evenly
    among its features and ``converged`` is False: scores always sum to the rise from everything hidden to everything
    shown.
    """

    spec: ClassVar = Spec(
        id="partition-shap",
        title="Partition SHAP (Owen values)",
        question="What does each group of features add to the score, and within it each part?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AFFECTED_PERSON, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"complete", "perturbation"},
        cost="about n² F for n features: at most 1024 F",
        references=("owen1977values", "lundberg2017unified"),
        serves=("A9",),
        caveat=(
            "The hierarchy is a choice: features of different groups hardly get the chance to stand in for each other, "
            "and parts that were not divided look alike because they were not looked at."
        ),
        alternatives=("kernel-shap", "permutation-shap"),
    )

    baseline: HiddenBy = None
    features: ShownTogether = None
    hierarchy: Annotated[
        Union[Tensor, None],
        "the two groups that each step joins, or a linkage of scipy; None: neighbours, in tables correlated columns",
    ] = None
    budget: Annotated[int, Ge(2), "most coalitions per example that may be asked about"] = 1024
    segments: Annotated[Union[int, None], Ge(1), "number of parts of a picture; None: the task's default"] = None

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        games = Games.of(subject, query, self.features, self.baseline, "partition-shap", segments=self.segments)

        def share(game: Game, source: Generator) -> Shares:
            if self.hierarchy is not None:
                return self._share(game, checked(self.hierarchy, game.features))
            return self._share(game, joins(subject, games.inputs, games.features, game.row))

        return games.shared(subject, query, share)

    def _share(self, game: Game, tree: Joins) -> Shares:
        held, waiting = members(tree, game.features), _Waiting(game.features)
        nothing, everything = game.ends()
        waiting.add(_Part(len(held) - 1, torch.zeros(game.features, dtype=torch.bool), 1.0, everything - nothing))
        while len(waiting) and game.asked + 2 <= self.budget:
            # Only the largest quarter at a time: what they turn out to hold decides which groups come next.
            number = min(max(1, len(waiting) // 4), _AT_ONCE, (self.budget - game.asked) // 2)
            for part in _divided(game, tree, held, waiting.largest(number)):
                waiting.add(part)
        scores, undivided = waiting.scores, waiting.largest(len(waiting))
        for part in undivided:
            inside = held[part.group]
            scores[inside] += part.weight * part.rise / int(inside.sum())
        return Shares(scores, converged=not undivided, note=_left(self.budget) if undivided else "")


class _Waiting:
    """Groups that are still to be divided, and the scores of the features that were reached."""

    def __init__(self, features: int) -> None:
        self.scores = torch.zeros(features, dtype=torch.float64)
        self._met = itertools.count()
        self._groups: list[tuple[float, int, _Part]] = []

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, part: _Part) -> None:
        """A feature scores at once; a group waits, the largest of equals the one that was met first."""
        if part.group < len(self.scores):
            self.scores[part.group] += part.weight * part.rise
        else:
            heapq.heappush(self._groups, (-abs(part.weight * part.rise), next(self._met), part))

    def largest(self, number: int) -> list[_Part]:
        """The groups of largest rise, which wait no longer."""
        return [heapq.heappop(self._groups)[2] for _ in range(min(number, len(self._groups)))]


def _left(budget: int) -> str:
    return f"The budget of {budget} coalitions ran out: what was left of groups is divided evenly among their features."


def _divided(game: Game, tree: Joins, held: Tensor, parts: list[_Part]) -> list[_Part]:
    """Both halves of every part, each without and with the other."""
    pairs = [tree[part.group - game.features].tolist() for part in parts]
    contexts = torch.stack([part.context for part in parts])
    left, right = (held[[pair[side] for pair in pairs]] for side in (0, 1))
    base, first, second = game(torch.cat([contexts, contexts | left, contexts | right])).chunk(3)
    found = []
    for number, (part, (one, other)) in enumerate(zip(parts, pairs, strict=True)):
        half, context = part.weight / 2, part.context
        alone, beside = float(first[number] - base[number]), float(second[number] - base[number])
        found += [
            _Part(one, context, half, alone),
            _Part(one, context | held[other], half, part.rise - beside),
            _Part(other, context, half, beside),
            _Part(other, context | held[one], half, part.rise - alone),
        ]
    return found
