"""Remove and debias (ROAD): removed pixels become means of their neighbours, so that the holes themselves tell nothing."""

from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.batching import evaluate
from pellucid.engine.erasing import erasable, orders
from pellucid.engine.imputation import imputed
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.engine.targets import Predicted
from pellucid.results.evaluation import Evaluation

_DIRECTIONS = {"most": (False,), "least": (True,), "between": (False, True)}


@method
class Road:
    """The share of ``percentages`` at which a picture is still given its class when so many of its pixels are removed.

    Removed pixels are imputed: each becomes the weighted mean of its neighbours, removed or not, plus a little noise, so
    that unlike black squares they do not show where they were (rong2022consistent). The most relevant pixels go first and a
    low value is good; with ``order="least"`` the least relevant go first and a high value is good; ``"between"`` is the
    second minus the first. Over many examples the value is the paper's accuracy, averaged over percentages; ``curve`` holds
    it at each percentage, that of the whole picture first.
    """

    spec: ClassVar = Spec(
        id="road",
        title="ROAD: remove and debias",
        question="Is the class still recognised when relevant pixels are replaced by what their neighbours suggest?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        modalities={Modality.IMAGE},
        properties={"perturbation", "stochastic"},
        cost="1 F and a sparse linear system per percentage, map and control row",
        references=("rong2022consistent",),
        serves=("A11",),
        caveat=(
            "A network may guess a smooth object from its surroundings, and a picture is either recognised or not: values of "
            "few examples are coarse. measure='score' follows the explained quantity instead."
        ),
        alternatives=("region-perturbation", "irof"),
    )

    percentages: Annotated[tuple[int, ...], MinLen(1), "percentages of pixels that are removed"] = (
        *range(10, 100, 10),
    )
    order: Annotated[
        Literal["most", "least", "between"], "pixels that are removed first; between: the area between both"
    ] = "most"
    measure: Annotated[
        Literal["accuracy", "score"], "accuracy: whether the class is still predicted; score: the explained quantity"
    ] = "accuracy"
    noise: Annotated[float, Ge(0), "standard deviation of the noise on imputed pixels, in the model's own space"] = 0.01
    seed: Annotated[int, "seed of the noise and of the random control"] = 0
    random_maps: RandomMaps = 1

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query, self.seed)
        if self.measure == "accuracy" and (asked.target.index is None or subject.task.output == "value"):
            raise NotAnswerable("what is explained is no class that could be predicted; ask measure='score'")
        lines = [self._line(case) for case in asked.cases(self.random_maps)]
        recognised = "the share of them at which the class is still predicted"
        value = recognised if self.measure == "accuracy" else "the mean explained score"
        return verdict(
            self.spec.id,
            asked,
            [line[:, 1:].mean(1) for line in lines],
            curves=lines,
            higher_is_better=self.order != "most",
            protocol=(
                f"{', '.join(map(str, self.percentages))} % of the pixels were removed, {_TOLD[self.order]}, and imputed "
                f"from their neighbours; the value is {value}."
            ),
        )

    def _line(self, case: Case) -> Tensor:
        """What is measured of the whole picture and at each percentage: ``[rows, 1 + percentages]``."""
        pixels = erasable(case, "pixels")
        lines = [self._heights(case, orders(case, pixels, ascending=up)) for up in _DIRECTIONS[self.order]]
        return lines[0] if len(lines) == 1 else lines[1] - lines[0]

    def _heights(self, case: Case, order: Tensor) -> Tensor:
        number = order.shape[1]
        gone = torch.tensor([0, *(min(number * percent // 100, number - 1) for percent in self.percentages)])
        removed = (order.argsort(dim=1)[:, None, :] < gone[None, :, None]).flatten(0, 1)
        picture = case.inputs.value[0]
        noise = self.noise * torch.randn(picture.shape, generator=case.draws(self.spec.id), dtype=torch.float64)
        removed, places = removed.unique(dim=0, return_inverse=True)
        found = evaluate(
            case.subject,
            case.inputs,
            Predicted(case.target) if self.measure == "accuracy" else case.target,
            torch.zeros(len(removed), dtype=torch.long),
            lambda part: imputed(picture, removed[part], noise),
        )
        return found[places].view(len(order), len(gone))


_TOLD = {
    "most": "most relevant first",
    "least": "least relevant first",
    "between": "least relevant first and on another copy most relevant first",
}
