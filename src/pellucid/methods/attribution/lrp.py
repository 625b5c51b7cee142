"""Layer-wise relevance propagation: hand the score back through the network, layer by layer, to where it came from."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Union

import torch
from torch import Tensor

from pellucid.core import meter
from pellucid.core.errors import NotAnswerable
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.attributing import attribution
from pellucid.engine.relevance import propagate
from pellucid.engine.relevance_records import Relevance
from pellucid.engine.rules import Rule, composite
from pellucid.engine.tape import Tape
from pellucid.engine.targets import Target, resolve
from pellucid.results.attribution import Attribution

Bound = Union[float, Tensor, None]
_CLOSED = 1e-5
_REACHING = 0.05


@method
class LRP:
    """Scores are relevance: the explained score, redistributed by rules that conserve it, source by source.

    Each operation hands the relevance of its output to its inputs in proportion to what they contributed, by the rule
    that ``composite`` names for its kind and position (``montavon2019layerwise``), or that ``rules`` name for its place
    (``"block.3"``, its second call ``"block.3#1"``, or a pattern such as ``"layer1.*"``). Every call counts on its
    own, so reused, functional and in-place operations are right; an operation without a rule is refused by name.

    What biases, stabilisers and constants absorb is in ``absorbed``, each from its own formula; ``residual`` is what no
    account explains (rounding), ``converged`` tells whether that is below 1e-5 of the score, and ``reaching`` is the
    share of the score that arrives at the point. ``low`` and ``high`` bound the input for the box rule; by default as
    the task says. With a foil the relevance of the foil's score is subtracted.
    """

    spec: ClassVar = Spec(
        id="lrp",
        title="Layer-wise relevance propagation",
        question="Which elements contributed the score, if every layer hands it back to what it came from?",
        scopes={Scope.EXPLAINABILITY, Scope.DECOMPOSABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL, Dimension.DECOMPOSABILITY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AUDITOR},
        needs={Access.WEIGHTS, Access.ACTIVATIONS},
        points={Point.INPUT, Point.LAYER},
        properties={"conservative"},
        cost="1 to 3 B",
        references=("bach2015pixel", "montavon2019layerwise"),
        serves=("A4", "A9", "A10"),
        caveat=(
            "The rules are a choice: other rules share the same score out differently. Where biases absorb much of it, "
            "the colours rank but do not add up."
        ),
        alternatives=("integrated-gradients", "occlusion"),
    )

    composite: Annotated[str, "epsilon, epsilon-plus, epsilon-plus-flat, epsilon-gamma-box or epsilon-alpha2-beta1"] = (
        "epsilon-plus-flat"
    )
    rules: Annotated[Union[Mapping[str, Rule], None], "rules by layer name or pattern, before the composite's"] = None
    low: Annotated[Bound, "lowest value of the input, for the box rule; None: the task's"] = None
    high: Annotated[Bound, "highest value of the input, for the box rule; None: the task's"] = None

    def __post_init__(self) -> None:
        composite(self.composite)

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        if query.of not in ("score", "logit") or subject.task.output == "probabilities":
            wanted = query.of if isinstance(query.of, str) else "a unit"
            raise NotAnswerable(
                f"relevance shares out scores before the softmax, not {wanted} of {subject.task.output}; ask "
                "of='score' of a network that answers with logits or values, or ask integrated-gradients"
            )
        size = max(1, subject.batch_size(inputs) // 2)
        parts = [slice(start, start + size) for start in range(0, len(inputs), size)]
        found = [self._relevance(subject, inputs.rows(part), target.rows(part), query.at) for part in parts]
        return self._attribution(subject, inputs, query, target, found)

    def _relevance(self, subject: Subject, inputs: Inputs, target: Target, at: str) -> Relevance:
        others = [tensor for name, tensor in inputs.tensors.items() if name != inputs.point]
        point = inputs.value.detach().clone()
        with Tape(point, subject.module, constants=others) as tape:
            scores = subject.run(inputs.at(point), original=True).scores
        bounds = self._bounds(subject, inputs)
        layer = "" if at == "input" else at
        found = propagate(tape, scores, _seed(scores, target), composite(self.composite), self.rules, layer, bounds)
        tape.release()
        meter.count(backward=len(inputs))
        return found

    def _bounds(self, subject: Subject, inputs: Inputs) -> tuple[Bound, Bound]:
        lowest, highest = subject.task.bounds(inputs) or (None, None)
        return lowest if self.low is None else self.low, highest if self.high is None else self.high

    def _attribution(
        self, subject: Subject, inputs: Inputs, query: Decision, target: Target, found: list[Relevance]
    ) -> Attribution:
        value, residual = (torch.cat([getattr(part, name) for part in found]) for name in ("value", "residual"))
        sources = list(dict.fromkeys(source for part in found for source in part.absorbed))
        absorbed = {
            source: torch.cat([part.absorbed.get(source, torch.zeros_like(part.value)) for part in found])
            for source in sources
        }
        result = attribution(
            subject,
            inputs,
            query,
            target,
            torch.cat([part.scores for part in found]),
            value,
            residual=residual,
            absorbed=absorbed,
            reaching=torch.cat([part.reaching for part in found]),
            converged=residual.abs() <= _CLOSED * value.abs(),
        )
        return dataclasses.replace(result, notes=(*result.notes, *_notes(result, found)))


def _seed(scores: Tensor, target: Target) -> Tensor:
    """The explained scores at their own places, those of foils negative, zeros elsewhere."""
    assert target.index is not None
    seed = torch.zeros_like(scores)
    rows = torch.arange(len(scores))
    for index, sign in ((target.index, 1), (target.foil, -1)):
        if index is not None:
            place = (rows, *index.unbind(1))
            seed[place] += sign * scores[place]
    return seed


def _notes(result: Attribution, found: list[Relevance]) -> tuple[str, ...]:
    notes: list[Any] = []
    assert result.reaching is not None
    if bool((result.reaching.abs() < _REACHING).any()):
        notes.append("Less than 5 % of the score arrives: the colours rank, but do not add up.")
    flat = result.scores.flatten(1)
    if flat.shape[1] > 1 and bool((flat == flat[:, :1]).all()):
        notes.append(
            "Every element has the same score: a flat first layer cannot tell them apart; ask composite='epsilon'."
        )
    places = sorted({layer.place for part in found for layer in part.layers if layer.cancels})
    if places:
        notes.append(
            f"Branches that nearly cancel meet at {', '.join(places[:3])}: relevance is large and unsure there."
        )
    return tuple(notes)
