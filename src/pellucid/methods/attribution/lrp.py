"""Layer-wise relevance propagation: hand the score back through the network, layer by layer, to where it came from."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Union

from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.redistribution import redistribute, relevance_attribution
from pellucid.engine.rules import Composite, Rule, composite
from pellucid.engine.targets import resolve
from pellucid.results.attribution import Attribution

Bound = Union[float, Tensor, None]
Channels = Union[Mapping[str, Union[Sequence[int], Tensor]], None]


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
    the task says. With a foil the relevance of the foil's score is subtracted. A probability is explained from the scores
    before the softmax, which absorbs what they do not account for.

    ``conditions`` lets only the relevance of some channels of a layer go on (achtibat2023from): the maps of all channels of
    a layer add up to the plain map.
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
        references=("bach2015pixel", "montavon2019layerwise", "achtibat2023from"),
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
    sums: Annotated[
        Literal["proportion", "size"],
        "how the sum of two branches divides: as its terms, or as their sizes, which cannot explode where they cancel",
    ] = "proportion"
    conditions: Annotated[Channels, "channels by layer: only relevance through these reaches the input"] = None

    def __post_init__(self) -> None:
        composite(self.composite)

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        found = redistribute(
            subject,
            inputs,
            target,
            self._composite(),
            rules=self.rules,
            at=query.at,
            bounds=self._bounds(subject, inputs),
            conditions=self.conditions,
        )
        return relevance_attribution(subject, inputs, query, target, found)

    def _composite(self) -> Composite:
        chosen = composite(self.composite)
        return dataclasses.replace(chosen, sum=dataclasses.replace(chosen.sum, split=self.sums))

    def _bounds(self, subject: Subject, inputs: Inputs) -> tuple[Bound, Bound]:
        lowest, highest = subject.task.bounds(inputs) or (None, None)
        return lowest if self.low is None else self.low, highest if self.high is None else self.high
