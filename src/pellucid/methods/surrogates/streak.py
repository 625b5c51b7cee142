"""STREAK: a few parts that together carry the score, chosen while all parts pass by once."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Union

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.attributing import attribution
from pellucid.engine.coalitions import Game, draws_of, hidden_point, players
from pellucid.engine.linear import Moments, explained
from pellucid.engine.neighbourhoods import around
from pellucid.engine.perturb import Baseline, Grouping
from pellucid.engine.streaming import Selection, Value, streak
from pellucid.engine.surrogates import surrogates
from pellucid.engine.targets import Several, Target, resolve
from pellucid.results.attribution import Attribution

_NOTE = "Intervals are those of the chosen features and do not count the choice itself."


@method
class Streak:
    """``k`` features are chosen that together carry the explained quantity, with few questions asked.

    By ``mode`` the value of a set is the quantity with only its features shown, less that with none (``likelihood``), or
    the share of variation that a linear model of these features explains among ``samples`` rows around the example, drawn
    and weighed as by LIME (``regression``, which takes the place of its choice of terms). Features pass by once, in an
    order drawn at random. Beside them grow several sets, one for each threshold ``(1 − ε)^i`` in the range that the best
    single feature allows; a set takes a feature that brings at least the ``k``-th part of its threshold. The best of
    these sets, or the best single feature, is filled up to ``k`` from the other sets and from what passed by
    (``elenberg2017streaming``). The paper takes the likelihood of the class: ask ``Decision(of="probability")`` for that.

    A chosen feature scores what it brings to those chosen before it, so that the scores sum to the value of the set; with
    ``regression`` it scores its coefficient in LIME's ridge model of the chosen ones, with an interval that does not count
    the choice. All others score 0.

    ``quality`` holds the ``value``; ``alone``, the best single feature's; ``gamma``, the share of the value that its
    features have one by one, at most 1, which is an upper bound of the submodularity ratio; ``guarantee``, the share of
    the best possible value that the paper promises before filling up if the ratio were ``gamma`` and the quantity could
    only rise; ``evaluations``, how often the network was asked; ``memory``, the places for features in all sets that
    stood side by side.
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
    mode: Annotated[Literal["likelihood", "regression"], "what a set of features is worth"] = "likelihood"
    seed: Annotated[int, "seed of the order in which features pass by"] = 0
    samples: Annotated[int, Ge(2), "rows around the example, with regression"] = 1000
    baseline: Annotated[
        Union[Baseline, None],
        "what stands where nothing is shown; None: grey in a picture, with regression each part's own mean colour; "
        "else the task's default",
    ] = None

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        features = players(subject, inputs, self.features, self.segments)
        regression = self.mode == "regression"
        ground = self.baseline if regression else _ground(subject, inputs, self.baseline)
        hidden = hidden_point(subject, inputs, features, ground, self.seed)
        target = resolve(subject, inputs, query)
        find = self._fitted if regression else self._shown
        found = [find(subject, inputs, target, features, hidden, row) for row in range(len(inputs))]
        answer = attribution(
            subject,
            inputs,
            query,
            target,
            features.spread([one.scores for one in found], inputs.value),
            torch.tensor([one.value for one in found], dtype=inputs.value.dtype),
            features,
            quality=_quality(found, self.k, self.epsilon),
        )
        if not regression:
            return answer
        interval = (tuple(one.low for one in found), tuple(one.high for one in found))
        return dataclasses.replace(answer, interval=interval, notes=(*answer.notes, _NOTE))

    def _streamed(self, inputs: Inputs, row: int, number: int, value: Value) -> Selection:
        order = torch.randperm(number, generator=draws_of(inputs, row, self.seed, "streak"))
        return streak(order.tolist(), value, min(self.k, number), self.epsilon)

    def _shown(
        self, subject: Subject, inputs: Inputs, target: Target, features: Features, hidden: Tensor, row: int
    ) -> "_Found":
        """The choice by what the network makes of sets of features alone."""
        game = Game(subject, inputs, target, features, hidden, row, "streak")
        nothing, everything = game.ends()

        def value(sets: list[frozenset[int]]) -> list[float]:
            masks = torch.zeros(len(sets), game.features, dtype=torch.bool)
            for mask, members in zip(masks, sets, strict=True):
                mask[list(members)] = True
            return (game(masks) - nothing).tolist()

        selection = self._streamed(inputs, row, game.features, value)
        scores = torch.zeros(game.features, dtype=torch.float64)
        scores[list(selection.items)] = torch.tensor(selection.gains, dtype=torch.float64)
        return _Found(selection, scores, scores, scores, everything, game.asked)

    def _fitted(
        self, subject: Subject, inputs: Inputs, target: Target, features: Features, hidden: Tensor, row: int
    ) -> "_Found":
        """The choice by how well linear models of sets of features explain rows around the example."""
        source = draws_of(inputs, row, self.seed, "lime")
        near = around(subject, inputs, features, hidden, row, self.samples, source, "balanced", None)
        selections = []

        def choose(moments: Moments, _: Tensor) -> Tensor:
            def value(sets: list[frozenset[int]]) -> list[float]:
                return [explained(moments, torch.tensor(sorted(members))) for members in sets]

            selections.append(self._streamed(inputs, row, moments.features, value))
            return torch.tensor(sorted(selections[-1].items))

        questions = Several((target.rows(slice(row, row + 1)),))
        (fit,) = surrogates(subject, inputs.rows(slice(row, row + 1)), questions, near, choose)
        return _Found(selections[-1], fit.coefficients, fit.low, fit.high, float(fit.value), fit.rows)


@dataclass(frozen=True)
class _Found:
    """What was chosen of one example, its scores by feature with their interval, and how often the network was asked."""

    selection: Selection
    scores: Tensor
    low: Tensor
    high: Tensor
    value: float
    asked: int


def _ground(subject: Subject, inputs: Inputs, baseline: Baseline | None) -> Baseline | None:
    bounds = subject.task.bounds(inputs) if baseline is None and subject.task.modality is Modality.IMAGE else None
    return baseline if bounds is None else ((bounds[0] + bounds[1]) / 2).to(inputs.value)


def _quality(found: list[_Found], k: int, epsilon: float) -> dict[str, Tensor]:
    ratios = [_ratio(one.selection) for one in found]
    told = {
        "value": [one.selection.value for one in found],
        "alone": [max(one.selection.singles) for one in found],
        "gamma": ratios,
        "guarantee": [_guarantee(ratio, epsilon) for ratio in ratios],
        "evaluations": [float(one.asked) for one in found],
        "memory": [float(one.selection.sets * k) for one in found],
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
