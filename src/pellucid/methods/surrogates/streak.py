"""STREAK: a few parts that together carry the score, chosen while all parts pass by once."""

import math
from typing import Annotated, ClassVar, Union

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.attributing import attribution
from pellucid.engine.coalitions import Game, draws_of, hidden_point, players
from pellucid.engine.perturb import Baseline, Grouping
from pellucid.engine.streaming import Selection, streak
from pellucid.engine.targets import resolve
from pellucid.results.attribution import Attribution


@method
class Streak:
    """``k`` features are chosen so that the explained quantity is high with only them shown; each scores its gain.

    The value of a set is the quantity with only its features shown, less that with none. Features pass by once, in an
    order drawn at random. Beside them grow several sets, one for each threshold ``(1 − ε)^i`` in the range that the best
    single feature allows; a set takes a feature that brings at least the ``k``-th part of its threshold. The best of
    these sets, or the best single feature, is filled up to ``k`` from the other sets and from what passed by
    (``elenberg2017streaming``). The paper takes the likelihood of the class: ask ``Decision(of="probability")`` for that.

    A chosen feature scores what it brings to those chosen before it, all others 0: the scores sum to the value of the
    set. ``quality`` holds that ``value``; ``alone``, the best single feature's; ``gamma``, the share of the value that its
    features have one by one, at most 1, which is an upper bound of the submodularity ratio; ``guarantee``, the share of
    the best possible value that the paper promises before filling up if the ratio were ``gamma`` and the quantity could
    only rise; ``evaluations``, the sets asked about; ``memory``, the places for features in all sets that stood side by
    side.
    """

    spec: ClassVar = Spec(
        id="streak",
        title="STREAK",
        question="Which few parts, shown alone, carry the score?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AFFECTED_PERSON, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation", "stochastic"},
        cost="about 4 F per feature: 200 F for 50 superpixels",
        references=("elenberg2017streaming",),
        serves=("A7",),
        caveat=(
            "The parts suffice on an empty ground, which the network may never have seen; other parts may do as well, and "
            "another order of passing by can choose them."
        ),
        alternatives=("lime",),
    )

    k: Annotated[int, Ge(1), "number of features chosen"] = 5
    epsilon: Annotated[float, Gt(0), Lt(1), "how far apart the thresholds lie; the larger, the fewer sets"] = 0.5
    segments: Annotated[Union[int, None], Ge(1), "number of superpixels wanted; None: the task's default"] = None
    features: Annotated[Grouping, "what is shown together; None: superpixels, words, columns or elements"] = None
    baseline: Annotated[
        Union[Baseline, None], "what stands where nothing is shown; None: grey in a picture, else the task's default"
    ] = None
    seed: Annotated[int, "seed of the order in which features pass by"] = 0

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        features = players(subject, inputs, self.features, self.segments)
        hidden = hidden_point(subject, inputs, features, _ground(subject, inputs, self.baseline), self.seed)
        target = resolve(subject, inputs, query)
        games = [Game(subject, inputs, target, features, hidden, row, "streak") for row in range(len(inputs))]
        found = [self._chosen(game, inputs, row) for row, game in enumerate(games)]
        coefficients = [_gains(selection, game.features) for selection, game in zip(found, games, strict=True)]
        values = torch.tensor([game.ends()[1] for game in games], dtype=inputs.value.dtype)
        return attribution(
            subject,
            inputs,
            query,
            target,
            features.spread(coefficients, inputs.value),
            values,
            features,
            quality=_quality(found, games, self.k, self.epsilon),
        )

    def _chosen(self, game: Game, inputs: Inputs, row: int) -> Selection:
        nothing, _ = game.ends()

        def value(sets: list[frozenset[int]]) -> list[float]:
            masks = torch.zeros(len(sets), game.features, dtype=torch.bool)
            for mask, members in zip(masks, sets, strict=True):
                mask[list(members)] = True
            return (game(masks) - nothing).tolist()

        order = torch.randperm(game.features, generator=draws_of(inputs, row, self.seed, "streak"))
        return streak(order.tolist(), value, min(self.k, game.features), self.epsilon)


def _ground(subject: Subject, inputs: Inputs, baseline: Baseline | None) -> Baseline | None:
    bounds = subject.task.bounds(inputs) if baseline is None and subject.task.modality is Modality.IMAGE else None
    return baseline if bounds is None else ((bounds[0] + bounds[1]) / 2).to(inputs.value)


def _gains(selection: Selection, features: int) -> Tensor:
    return torch.zeros(features, dtype=torch.float64).index_copy_(
        0, torch.tensor(selection.items), torch.tensor(selection.gains, dtype=torch.float64)
    )


def _quality(found: list[Selection], games: list[Game], k: int, epsilon: float) -> dict[str, Tensor]:
    ratios = [_ratio(selection) for selection in found]
    told = {
        "value": [selection.value for selection in found],
        "alone": [max(selection.singles) for selection in found],
        "gamma": ratios,
        "guarantee": [_guarantee(ratio, epsilon) for ratio in ratios],
        "evaluations": [float(game.asked) for game in games],
        "memory": [float(selection.sets * k) for selection in found],
    }
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in told.items()}


def _ratio(selection: Selection) -> float:
    """What the chosen features bring one by one, as a share of what they bring together."""
    together = selection.value
    alone = sum(selection.singles[item] for item in selection.items)
    return min(1.0, max(0.0, alone / together)) if together > 0 else 0.0


def _guarantee(gamma: float, epsilon: float) -> float:
    fall = math.exp(-gamma / 2)
    return (1 - epsilon) * gamma / 2 * (3 - fall - 2 * math.sqrt(2 - fall))
