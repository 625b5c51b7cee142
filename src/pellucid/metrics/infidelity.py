"""Infidelity: how far is what a map says of a change of the input from what the change does to the score?"""

from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.batching import evaluate
from pellucid.engine.disturbances import noise, removals
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.engine.perturb import Baseline
from pellucid.results.evaluation import Evaluation


@method
class Infidelity:
    """``E[(Iᵀφ − (f(x) − f(x − I)))²]`` over random changes ``I`` of the input (yeh2019fidelity): low is good, 0 for the
    gradient of a linear model.

    The changes, the same for every map, are normal noise, or the removal of a random square of a picture (elsewhere of a
    run of words or columns), which a baseline replaces. A map says ``Iᵀφ`` of a change if its scores are rates, like
    gradients. Scores that are contributions, like those of occlusion, LRP or Shapley values, say the sum over the elements
    that were removed (``scores="contributions"``). With ``scaled``, each map is first multiplied by the one number, 0 or
    more, that suits it best, as in the authors' own experiments: maps of any unit and the control rows can then be
    compared, and a map that knows nothing scores ``E[(f(x) − f(x − I))²]``. The value is in the squared unit of the
    explained quantity.
    """

    spec: ClassVar = Spec(
        id="infidelity",
        title="Infidelity",
        question="How far is what a map says of a change of the input from what the change does to the score?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation", "stochastic"},
        cost="draws F, whatever the number of maps",
        references=("yeh2019fidelity",),
        serves=("A11",),
        caveat=(
            "It favours maps that are made for the kind of change it draws: small noise favours gradients, removals favour "
            "maps by removal. Independent noise on every pixel of a photograph does what no map foresees, and tells none "
            "from chance: ask about squares there."
        ),
        alternatives=("sensitivity-n", "faithfulness-correlation"),
    )

    perturbation: Annotated[
        Literal["noise", "square"], "normal noise everywhere, or the removal of a random square"
    ] = "noise"
    scores: Annotated[
        Literal["rates", "contributions"],
        "what a score is: a change per unit of input, or an element's part of the score",
    ] = "rates"
    scaled: Annotated[bool, "whether each map is first multiplied by the number of 0 or more that suits it best"] = True
    spread: Annotated[float, Gt(0), "standard deviation of the noise, as a share of the example's range"] = 0.2
    side: Annotated[
        int | None, Ge(1), "side of the square in pixels, or length of the run; None: half of each axis"
    ] = None
    cover: Annotated[Baseline, "the baseline that stands where a square is removed"] = "zero"
    draws: Annotated[int, Ge(2), "random changes of each example"] = 100
    seed: Annotated[int, "seed of the changes and of the random control"] = 0
    random_maps: RandomMaps = 20

    def __post_init__(self) -> None:
        if self.scores == "contributions" and self.perturbation == "noise":
            raise UsageError(
                "infidelity: contributions say what an element's removal costs, not what noise does; "
                "use perturbation='square' or scores='rates'"
            )

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query, self.seed)
        changes = (
            f"changes by noise of {self.spread} of the example's range"
            if self.perturbation == "noise"
            else f"removals of a square or run by the baseline '{self.cover}'"
        )
        return verdict(
            self.spec.id,
            asked,
            [self._errors(case) for case in asked.cases(self.random_maps)],
            higher_is_better=False,
            protocol=(
                f"{self.draws} {changes}, the same for every row; scores are read as {self.scores}"
                f"{', each map scaled as suits it best' if self.scaled else ''}; the value is the mean squared error."
            ),
        )

    def _errors(self, case: Case) -> Tensor:
        """The squared error of each map about each change, ``[draws, rows]``."""
        changes, point = self._changes(case), case.inputs.value
        ends = torch.cat([torch.zeros_like(point), changes])
        rows = torch.zeros(len(ends), dtype=torch.long)
        values = evaluate(case.subject, case.inputs, case.target, rows, lambda part: point - ends[part])
        fall = (values[0] - values[1:])[:, None]
        said = self._said(changes, case.maps)
        if self.scaled:
            size = said.square().sum(0)
            said = said * ((said * fall).sum(0) / size.where(size > 0, torch.ones_like(size))).clamp(min=0)
        return (said - fall).square()

    def _changes(self, case: Case) -> Tensor:
        source = case.draws(self.spec.id)
        if self.perturbation == "noise":
            return noise(case, self.spread, self.draws, source)
        return removals(case, self.side, self.cover, self.draws, source)

    def _said(self, changes: Tensor, maps: Tensor) -> Tensor:
        """What each map says of each change, ``[draws, rows]``."""
        weights = changes.flatten(1) if self.scores == "rates" else changes.flatten(1) != 0
        every = maps.flatten(1).T
        return torch.cat([part.double() @ every for part in weights.split(16)])
