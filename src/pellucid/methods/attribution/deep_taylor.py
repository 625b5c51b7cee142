"""Deep Taylor decomposition: each rectifier's relevance, expanded around a root of it, neuron by neuron."""

import dataclasses
from typing import Annotated, ClassVar, Literal, Union

import torch
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.domains import require_rectified
from pellucid.engine.redistribution import Redistribution, redistribute, relevance_attribution
from pellucid.engine.relevance_operations import BIAS
from pellucid.engine.rules import Composite, Norm, WSquare, ZBox, ZPlus
from pellucid.engine.targets import resolve
from pellucid.results.attribution import Attribution

Bound = Union[float, Tensor, None]
# Every denominator is a sum of terms that are not negative, so ε has only 0/0 to prevent.
_EPSILON = 1e-12
_POSITIVE = 1 - 1e-4


@method
class DeepTaylor:
    """Scores are never negative and sum to the score, if that is positive and no bias is (montavon2017explaining).

    The root that a rectifier is expanded around lies where its inputs may be: not below zero behind other rectifiers (the z⁺
    rule), between ``low`` and ``high`` at the input (zᴮ; by default the bounds that the task names), anywhere where the
    input has no bounds (w²). A value of the input beyond its bounds moves them. The decomposition assumes biases that are not
    positive; positive ones ``absorb`` their share, or are left out, so that all relevance goes on. Anything but rectifiers,
    maxima, sums and maps with weights is refused by name.

    ``quality["positive"]`` is the share of all relevance that has the sign of the score: 1 where the decomposition is
    consistent. With a foil that of the foil is subtracted.
    """

    spec: ClassVar = Spec(
        id="deep-taylor",
        title="Deep Taylor decomposition",
        question="Which elements made the score, if every rectifier is expanded around the nearest point where it is silent?",
        scopes={Scope.EXPLAINABILITY, Scope.DECOMPOSABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL, Dimension.DECOMPOSABILITY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.WEIGHTS, Access.ACTIVATIONS},
        points={Point.INPUT, Point.LAYER},
        properties={"conservative"},
        cost="1 to 3 B",
        references=("montavon2017explaining",),
        serves=("A5",),
        caveat=(
            "What speaks against the class is not shown: negative weights only dampen, so maps of different classes look "
            "alike."
        ),
        alternatives=("lrp", "integrated-gradients", "occlusion"),
    )

    low: Annotated[Bound, "lowest value of the input; None: the task's, if it has bounds"] = None
    high: Annotated[Bound, "highest value of the input; None: the task's, if it has bounds"] = None
    biases: Annotated[Literal["absorb", "ignore"], "what becomes of the share of positive biases"] = "absorb"

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise UsageError("deep-taylor: give both low= and high=, or neither")

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        bounds = self._bounds(subject, inputs)
        first = WSquare(_EPSILON, zero_bias=True) if bounds is None else ZBox(stabilizer=_EPSILON)
        middle = ZPlus(_EPSILON, zero_bias=self.biases == "ignore")
        composite = Composite("deep-taylor", middle, middle, first, first, Norm(_EPSILON, "positive"))
        found = redistribute(
            subject, inputs, target, composite, at=query.at, bounds=bounds or (None, None), inspect=require_rectified
        )
        answer = relevance_attribution(subject, inputs, query, target, found)
        answer = dataclasses.replace(answer, quality={**answer.quality, "positive": _positive(answer)})
        return dataclasses.replace(answer, notes=(*answer.notes, *_notes(query, answer, found)))

    def _bounds(self, subject: Subject, inputs: Inputs) -> tuple[Tensor, Tensor] | None:
        given = subject.task.bounds(inputs) if self.low is None else (self.low, self.high)
        if given is None:
            return None
        low, high = (torch.as_tensor(bound).to(inputs.value) for bound in given)
        return torch.minimum(low, inputs.value), torch.maximum(high, inputs.value)


def _positive(answer: Attribution) -> Tensor:
    scores = answer.scores.flatten(1).double() * answer.value.double().sign()[:, None]
    return scores.clamp(min=0).sum(1) / scores.abs().sum(1).clamp(min=torch.finfo(torch.float64).tiny)


def _notes(query: Decision, answer: Attribution, found: Redistribution) -> list[str]:
    notes = []
    if BIAS in found.absorbed and bool((found.absorbed[BIAS].abs() > 1e-6 * answer.value.abs()).any()):
        notes.append("Some biases are positive, against what the decomposition assumes: they absorb their share.")
    if query.foil is None and bool((answer.value < 0).any()):
        notes.append("A negative score has no evidence to decompose: its map shows what would speak for the class.")
    if query.foil is not None:
        notes.append("The foil's decomposition is subtracted, so the map has both signs.")
    elif bool((answer.quality["positive"] < _POSITIVE).any()):
        notes.append("Some relevance has not the sign of the score: the decomposition is not consistent here.")
    return notes
