"""DeepLIFT: explain the score's difference to that of a baseline by differences of every operation in between."""

import dataclasses
from typing import Annotated, ClassVar, Literal

import torch

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.attributing import attribution
from pellucid.engine.multipliers import Rescale, contributions
from pellucid.engine.perturb import Baseline, baseline_value, with_padding
from pellucid.engine.reveal_cancel import RevealCancel
from pellucid.engine.targets import resolve
from pellucid.results.attribution import Attribution

_CLOSED = 1e-3
_ROUNDING = 1000
_RULES = {"rescale": Rescale, "reveal-cancel": RevealCancel}


@method
class DeepLift:
    """Scores sum to the difference between the score of the input and of the baseline.

    Each operation hands what it accounts for to its inputs in proportion to what their changes, from the baseline's run
    to the input's, did to its output: linear operations by their weights, element-wise functions by Δout/Δin, products
    of two values half and half, maxima by the winners of both runs, and everything else (softmax, layer norm) by its
    derivative averaged between both runs. Every call counts on its own, so functional, reused and in-place operations
    are right. With ``rule="reveal-cancel"`` element-wise functions treat the positive and the negative part of what a
    linear map brings them apart, which shows inputs that cancel each other (shrikumar2017learning).

    ``residual`` is what the scores miss of the difference. It is rounding, except where a mask or an index that the
    network makes from its input differs between both runs and no rule accounts for that, or where an operation with many
    kinks is averaged; ``converged`` says whether it is below 0.1 % of the difference. A network that computes other
    operations for the baseline is refused. ``baseline`` is as in integrated gradients, as is what it means at a layer.
    """

    spec: ClassVar = Spec(
        id="deeplift",
        title="DeepLIFT",
        question="How did each element's difference to a neutral baseline become the score's difference?",
        scopes={Scope.EXPLAINABILITY, Scope.DECOMPOSABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER},
        needs={Access.GRADIENTS, Access.WEIGHTS},
        points={Point.INPUT, Point.LAYER},
        properties={"complete"},
        cost="1 B and 1 F (rescale)",
        references=("shrikumar2017learning",),
        serves=("A9",),
        caveat=(
            "The answer depends on the baseline and on how the network is written: two networks that compute the same "
            "function may get different scores."
        ),
        alternatives=("integrated-gradients", "occlusion", "lime"),
    )

    baseline: Annotated[Baseline | None, "what the input is compared with; None: the task's default"] = None
    rule: Annotated[Literal["rescale", "reveal-cancel"], "how element-wise functions share out their change"] = (
        "rescale"
    )

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        wanted = subject.task.baselines()[0] if self.baseline is None else self.baseline
        reference = with_padding(inputs, baseline_value(subject, inputs, wanted))
        found = contributions(subject, inputs, reference, target, query.at, _RULES[self.rule])
        answer = attribution(
            subject, inputs, query, target, found.scores, found.values, quality={"baseline": found.lowest}
        )
        rise = found.values.double() - found.lowest.double()
        residual = rise - answer.scores.flatten(1).sum(1, dtype=torch.float64)
        rounding = _ROUNDING * torch.finfo(found.scores.dtype).eps * answer.scores.flatten(1).abs().sum(1)
        converged = residual.abs() <= torch.maximum(_CLOSED * rise.abs(), rounding)
        return dataclasses.replace(answer, residual=residual.to(found.scores.dtype), converged=converged)
