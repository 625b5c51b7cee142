"""Iterative removal of features (IROF): remove superpixels by their mean relevance, and measure the area over the score."""

import dataclasses
from typing import Annotated, ClassVar, Union

import torch
from annotated_types import Ge
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Features, Subject
from pellucid.engine.erasing import Walk, area_under, erasable, game_of, ranked, relevances, stages, walked
from pellucid.engine.judged import Case, Judged, RandomMaps, judged, verdict
from pellucid.engine.perturb import Baseline, Grouping
from pellucid.engine.quantus import Compat, area_of_unit_steps, mean_value, superpixels
from pellucid.results.evaluation import Evaluation

_OF_CLASSES = ("score", "logit", "probability", "log-probability")


@method
class Irof:
    """The area over ``f(xₖ)/f(x₀)`` as superpixels are removed, those with the highest mean relevance first: high is good.

    0 where nothing changes, 1 where the first removal leaves nothing. ``f`` is the class probability even if the decision
    asks for a score, logit or log-probability, because a ratio of these says nothing; with a foil it is the probability of
    the class if only these two were possible. Other quantities are read as they are and must be positive. Removed is what
    takes the mean colour of its picture; words, columns and positions take the task's default baseline (rieger2020irof).

    ``compat="quantus"`` cuts pictures as quantus does, removes to the mean of all channels, and gives ``K`` minus the area
    under the ratio from its first removal on in steps of one, ``K`` superpixels: 1 where nothing changes.
    """

    spec: ClassVar = Spec(
        id="irof",
        title="IROF: iterative removal of features",
        question="How much of the class probability is lost when superpixels go, most relevant first?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation"},
        cost="1 F per superpixel, map and control row",
        references=("rieger2020irof",),
        serves=("A11",),
        caveat=(
            "Superpixels follow edges: a map that is right about pixels and one that is right about the segment they lie in "
            "get the same value."
        ),
        alternatives=("region-perturbation", "road"),
    )

    segments: Annotated[int, Ge(1), "superpixels of a picture; the paper takes 300"] = 50
    cover: Annotated[
        Union[Baseline, None],
        "the baseline that stands where a feature is removed; None: mean in pictures, else the task's default",
    ] = None
    features: Annotated[Grouping, "what is removed together; None: superpixels, words, columns or elements"] = None
    compat: Compat = None
    random_maps: RandomMaps = 1

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        versus = asked.target.foil is not None and _is_class(asked)
        areas, lines = [], []
        for share, line in walked(self._walk(case) for case in asked.cases(self.random_maps)):
            height = line.sigmoid() if versus else line
            ratio = height / _positive(height[:, :1])
            kept = area_of_unit_steps(ratio) if self.compat else area_under(ratio, share)
            areas.append((ratio.shape[1] - 1 if self.compat else 1) - kept)
            lines.append(ratio)
        value = "the area over what remains of the score" + (", as quantus adds it up" if self.compat else "")
        return verdict(
            self.spec.id,
            asked,
            areas,
            curves=lines,
            protocol=f"All features were removed one by one, the highest mean relevance first; the value is {value}.",
        )

    def _walk(self, case: Case) -> Walk:
        features = self._features(case)
        number = features.counts()[0]
        inside = features.segments.expand(case.inputs.value.shape)
        sizes = torch.bincount(inside[inside >= 0], minlength=number)
        order = ranked(relevances(case, features) / sizes)
        game = game_of(_by_probability(case), features, self._cover(case))
        return Walk(game, order, stages(number, number))

    def _features(self, case: Case) -> Features:
        if self.features is None and case.subject.task.modality is Modality.IMAGE:
            return superpixels(case.inputs) if self.compat else erasable(case, "superpixels", self.segments)
        return erasable(case, self.features)

    def _cover(self, case: Case) -> Baseline:
        if self.cover is not None:
            return self.cover
        if self.compat:
            return mean_value(case.inputs)
        return case.subject.task.baselines()[0]


def _is_class(asked: Case | Judged) -> bool:
    """Whether what is explained is read from the probabilities of classes."""
    return asked.subject.task.output != "value" and asked.target.of in _OF_CLASSES


def _by_probability(case: Case) -> Case:
    """The same case, asked about the probability of its class; against a foil about the logarithm of their ratio."""
    if not _is_class(case):
        return case
    of = "probability" if case.target.foil is None else "log-probability"
    return dataclasses.replace(case, target=dataclasses.replace(case.target, of=of))


def _positive(start: Tensor) -> Tensor:
    if not bool((start > 0).all()):
        raise NotAnswerable(
            f"IROF divides by what is explained of the unchanged input, which is {float(start.min()):.4g}; ask about a "
            "quantity that is positive, such as of='probability'"
        )
    return start
