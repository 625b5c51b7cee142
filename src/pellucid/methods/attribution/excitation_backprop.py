"""Excitation backpropagation: the chance that a walk from the class down the network, over excitatory weights, ends here."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.attributing import attribution
from pellucid.engine.domains import require_additive
from pellucid.engine.redistribution import Redistribution, redistribute
from pellucid.engine.rules import Composite, Norm, Rule, ZMinus, ZPlus
from pellucid.engine.targets import Target, resolve
from pellucid.results.attribution import Attribution

_EPSILON = 1e-12
_EXCITED = ZPlus(_EPSILON, zero_bias=True)
_INHIBITED = ZMinus(_EPSILON, zero_bias=True)


@method
class ExcitationBackprop:
    """Scores are marginal winning probabilities: they are not negative, and sum to 1 (zhang2018top).

    A walk starts at the class and goes from each unit to one that excites it, with a chance in proportion to activation
    times weight where that is positive; biases take no part. ``reaching`` is the share of walks that arrive; the others end
    at units that nothing excites.

    A contrast takes from each probability that of another walk, so that scores sum to 0: with a foil that from the foil,
    with ``contrastive`` that from the class with all weights of its last layer negated.
    """

    spec: ClassVar = Spec(
        id="excitation-backprop",
        title="Excitation backpropagation",
        question="Where does a walk from the class end, if it follows what excites each unit?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER},
        needs={Access.WEIGHTS, Access.ACTIVATIONS},
        points={Point.INPUT, Point.LAYER},
        cost="1 to 3 B; twice that with a contrast",
        references=("zhang2018top",),
        serves=("A9", "A10"),
        caveat=(
            "Without a contrast maps of different classes look alike. At the input of a picture maps are speckled: the "
            "paper reads them at a layer behind rectifiers."
        ),
        alternatives=("lrp", "integrated-gradients", "occlusion"),
    )

    contrastive: Annotated[bool, "take away the map of the class with the weights of its last layer negated"] = False

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        if query.of not in ("score", "logit") and not target.capture:
            raise NotAnswerable(f"a walk starts at a score or a unit, not at a {query.of}; ask of='score'")
        if self.contrastive and target.foil is not None:
            raise UsageError("contrastive is a contrast already; leave it or the foil out")
        found = _walks(subject, inputs, dataclasses.replace(target, foil=None), query.at)
        scores, value = _probabilities(found), found.value
        if target.foil is not None:
            other = _walks(subject, inputs, dataclasses.replace(target, index=target.foil, foil=None), query.at)
            scores, value = scores - _probabilities(other), value - other.value
        elif self.contrastive:
            dual = _walks(subject, inputs, target, query.at, {_last_layer(found): _INHIBITED})
            scores = scores - _probabilities(dual)
        arriving = torch.where(found.value == 0, 0, found.reaching)
        answer = attribution(subject, inputs, query, target, scores, value, reaching=arriving)
        silent = () if bool(arriving.all()) else ("Nothing that can be followed excites what is asked about.",)
        return dataclasses.replace(answer, notes=(*answer.notes, *silent))


def _walks(
    subject: Subject, inputs: Inputs, target: Target, at: str, rules: Mapping[str, Rule] | None = None
) -> Redistribution:
    """Where walks end, times the value that they start with."""
    composite = Composite("excitation-backprop", _EXCITED, _EXCITED, sum=Norm(_EPSILON, "positive"))
    return redistribute(subject, inputs, target, composite, rules=rules, at=at, inspect=require_additive)


def _probabilities(found: Redistribution) -> Tensor:
    """Of the walks that arrive, the share at each element; nothing where none do."""
    total = found.scores.flatten(1).double().sum(1).view(-1, *[1] * (found.scores.ndim - 1))
    return torch.where(total == 0, 0, found.scores / total).to(found.scores.dtype)


def _last_layer(found: Redistribution) -> str:
    """The place of the last map with weights before the score."""
    places = [layer.place for layer in found.parts[0].layers if layer.rule]
    if not places or places.count(places[0]) > 1:
        raise NotAnswerable("the last layer before the score cannot be told by its place; ask with a foil instead")
    return places[0]
