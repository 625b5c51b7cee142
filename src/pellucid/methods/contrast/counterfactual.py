"""Counterfactuals: the smallest change of the input that changes the decision."""

from typing import Annotated, ClassVar, Literal, Union

from annotated_types import Ge, Gt
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.counterfactual_search import nearest
from pellucid.engine.goals import goal
from pellucid.engine.outcomes import Limits, counterfactuals
from pellucid.engine.search_space import Names, Norm, SearchSpace, search_space
from pellucid.engine.targets import resolve
from pellucid.results.counterfactual import Counterfactuals

Kind = Literal["wachter", "diverse", "pertinent-negative", "pertinent-positive", "region-swap"]


@method
class Counterfactual:
    """What is found is asked again: only inputs that the subject itself answers as wanted count as found.

    The target is what the example is decided as, the foil what it should be instead; without a foil any other class will
    do. Of a value, or of a class with a probability to reach (``Decision(of="probability")``), ``wanted`` says what has to
    be reached.
    """

    spec: ClassVar = Spec(
        id="counterfactual",
        title="Counterfactual",
        question="What would have to be different for the decision to be another one?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.TEXTUAL, Dimension.BY_EXAMPLE},
        view=View.DECISION,
        askers={Asker.AFFECTED_PERSON, Asker.DOMAIN_EXPERT, Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        modalities={Modality.TABULAR, Modality.IMAGE, Modality.TENSOR},
        cost="some 1,000 F or B, at most the budget",
        references=("wachter2017counterfactual",),
        serves=("A13",),
        caveat=(
            "It is about the model, not about the world: a person who changes what it names need not be better off. Many "
            "others are as near. In pictures the nearest one is often noise that no eye sees."
        ),
        alternatives=("occlusion",),
    )

    kind: Annotated[Kind, "what is looked for"] = "wachter"
    wanted: Annotated[Union[float, None], "what a value has to reach, or the new class has to have at least"] = None
    norm: Annotated[Norm, "how changes add up: l1 prefers few, l2 small ones"] = "l1"
    weights: Annotated[
        Union[Literal["mad", "none"], Tensor],
        "what a change by one unit costs: 1 / MAD of reference rows, 1, or a tensor",
    ] = "mad"
    immutable: Annotated[
        Union[Names, Tensor], "features that stay, separated by commas; or a tensor, True where elements do"
    ] = None
    increasing: Annotated[Names, "features that may only increase, separated by commas"] = None
    decreasing: Annotated[Names, "features that may only decrease, separated by commas"] = None
    max_changes: Annotated[Union[int, None], Ge(1), "most features that may change; None: any number"] = None
    budget: Annotated[int, Ge(2), "most passes per example"] = 20_000
    seconds: Annotated[Union[float, None], Gt(0), "longest time per example; None: no limit"] = 60.0

    def __call__(self, subject: Subject, query: Decision) -> Counterfactuals:
        inputs = subject.prepare(query.inputs)
        if not inputs.value.is_floating_point():
            raise NotAnswerable(
                f"{subject.name} reads whole numbers that stand for something; they cannot be moved a little"
            )
        target = resolve(subject, inputs, query)
        found = []
        for row in range(len(inputs)):
            one = inputs.rows(slice(row, row + 1))
            asked = target.rows(slice(row, row + 1))
            run = subject.run(one, capture=asked.capture, original=True)
            wish = goal(asked, run, self.wanted)
            space, features = self._space(subject, one)
            found.append(nearest(subject, one, wish, space, features, self._limits()))
        return counterfactuals(subject, inputs, query, target, found, self.kind, self.wanted, self._measure())

    def _space(self, subject: Subject, one: Inputs) -> tuple[SearchSpace, Features]:
        return search_space(subject, one, self.norm, self.weights, self.immutable, self.increasing, self.decreasing)

    def _limits(self) -> Limits:
        return Limits(self.budget, self.seconds, self.max_changes)

    def _measure(self) -> str:
        return f"{self.norm.upper()} norm"
