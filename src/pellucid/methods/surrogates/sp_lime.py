"""SP-LIME: a few cases, with their explanations, that together show what the network goes by over many."""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, Union

import torch
from annotated_types import Ge
from torch import Tensor

from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Decision, Population
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.attributing import Explainer
from pellucid.engine.coverage import cover, importance
from pellucid.methods.surrogates.lime import Lime
from pellucid.results.attribution import Attribution
from pellucid.results.picks import Picks

Cases = Union[Sequence[Any], Tensor, Inputs]


@method
class SpLime:
    """Every case is explained by ``explain``; then up to ``budget`` cases are picked that cover the important features.

    Features are words, whatever their case and place, or columns. A feature's importance is ``√Σ|W|`` over its scores
    ``W`` in all cases (several places of a word in one text are summed first), and a case covers the features that its
    explanation gives a score other than 0: explanations should be sparse, as ``Lime(keep=…)`` makes them. Each pick adds
    most to the importance covered, ties go to the first case, and no case is picked that adds nothing
    (``ribeiro2016should``). Only the scores are held while the cases pass by; picked cases are explained once more.
    """

    spec: ClassVar = Spec(
        id="sp-lime",
        title="SP-LIME",
        question="Which few cases show, together, what the network goes by over all of them?",
        scopes={Scope.EXPLAINABILITY, Scope.TRANSPARENCY},
        dimensions={Dimension.BY_EXAMPLE, Dimension.TEXTUAL},
        view=View.POPULATION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AUDITOR},
        needs={Access.OUTPUTS},  # and what the explaining method needs
        modalities={Modality.TEXT, Modality.TABULAR},
        cost="once the explaining method per case, and once more per pick: 301 F each",
        references=("ribeiro2016should",),
        serves=("A6",),
        caveat=(
            "It covers what is frequent in these cases and strong in their explanations: what goes wrong seldom, or is "
            "explained badly, is not picked."
        ),
        alternatives=("lime",),
    )

    budget: Annotated[int, Ge(1), "number of cases to pick, at most"] = 10
    explain: Annotated[Explainer, "what explains each case; sparse explanations tell cases apart"] = Lime(
        samples=300, keep=6
    )

    def __call__(self, subject: Subject, query: Population) -> Picks:
        data = query.data if isinstance(query.data, list | tuple | Tensor | Inputs) else subject.prepare(query.data)
        if not len(data):
            raise BadInput("there are no cases to pick from")
        scored = _Scored()
        refused: list[str] = []
        for number in range(len(data)):  # one by one: beside a longer text each pass would cost as much as that one's
            try:
                scored.add(_by_name(self._asked(subject, data, query, [number])))
            except NotAnswerable as error:
                scored.add({})
                refused.append(str(error))
            report(number + 1, len(data), "sp-lime")
        if not scored.places:
            raise NotAnswerable(
                refused[0] if refused else "no feature scores anything in any case: nothing tells them apart"
            )
        worth = importance(scored.rows, len(scored.places))
        picked, covered = cover(scored.rows, worth, self.budget)
        return Picks(
            picked=torch.tensor(picked),
            covered=torch.tensor(covered, dtype=torch.float64) / worth.sum(),
            names=tuple(scored.places),
            importance=worth,
            total=scored.summed(lambda score: score),
            occurrences=scored.summed(lambda score: 1.0).long(),
            explanations=self._asked(subject, data, query, picked),
            cases=len(data),
            notes=tuple(self._notes(picked, len(data), refused)),
        )

    def _asked(self, subject: Subject, data: Cases, query: Population, numbers: list[int]) -> Attribution:
        inputs = _some(data, numbers)
        target = query.target.tolist() if isinstance(query.target, Tensor) else query.target
        if isinstance(target, list):
            if len(target) != len(data):
                raise UsageError(f"{len(target)} targets for {len(data)} cases; give one for all or one per case")
            target = [target[number] for number in numbers]
        answer = self.explain(subject, Decision(inputs, target=target, of=query.of))
        assert isinstance(answer, Attribution)
        return answer

    def _notes(self, picked: list[int], cases: int, refused: list[str]) -> Iterator[str]:
        if refused:
            yield f"{len(refused)} of {cases} cases could not be explained and count as empty: {refused[0]}"
        if len(picked) < min(self.budget, cases):
            yield f"{len(picked)} cases show every feature that scores anything: no further one is picked."


def _some(data: Cases, numbers: list[int]) -> Any:
    if isinstance(data, Inputs):
        return data.rows(torch.tensor(numbers))
    return data[torch.tensor(numbers)] if isinstance(data, Tensor) else [data[number] for number in numbers]


class _Scored:
    """Scores by case and feature, as far as they are not 0; features are numbered as they come."""

    def __init__(self) -> None:
        self.rows: list[dict[int, float]] = []
        self.places: dict[str, int] = {}

    def add(self, scores: dict[str, float]) -> None:
        self.rows.append({self.places.setdefault(name, len(self.places)): score for name, score in scores.items()})

    def summed(self, of: Callable[[float], float]) -> Tensor:
        """The sum over cases of what is made of each score: ``[features]``."""
        found = torch.zeros(len(self.places), dtype=torch.float64)
        for row in self.rows:
            for place, score in row.items():
                found[place] += of(score)
        return found


def _by_name(answer: Attribution) -> dict[str, float]:
    """The scores of one case that are not 0 up to rounding, of places with the same word (in small letters) together."""
    if answer.features.labels is None:
        raise NotAnswerable(f"features without names ({answer.features.kind}) cannot be matched across cases")
    found: dict[str, float] = {}
    for label, score in zip(answer.features.labels[0], answer.by_feature()[0].tolist(), strict=True):
        found[label.casefold()] = found.get(label.casefold(), 0.0) + score
    rounding = 1e-9 * max(map(abs, found.values()), default=0.0)
    return {name: score for name, score in found.items() if abs(score) > rounding}
