"""Completeness: the scores of an explanation should sum to what they explain."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.batching import evaluate
from pellucid.engine.judged import Judged, RandomMaps, judged, verdict
from pellucid.engine.perturb import Baseline, baseline_value, with_padding
from pellucid.engine.reasking import method_of, originals
from pellucid.engine.targets import Target
from pellucid.results.attribution import Attribution
from pellucid.results.evaluation import Evaluation


@method
class Completeness:
    """``|Σa − (f(x) − f(x₀))|`` relative to ``|f(x) − f(x₀)|``: 0 for a complete explanation (sundararajan2017axiomatic).

    ``baseline`` None lets every answer be measured by its own claim: the score that it states for its baseline, else the
    baseline in its method's field, else 0 where the method promises to conserve the score itself (as LRP does, with what it
    absorbs on the way), else the task's default baseline, which also holds for the controls. The protocol says which.
    """

    spec: ClassVar = Spec(
        id="completeness",
        title="Completeness",
        question="Do the scores sum to what they explain?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        cost="1 F, and 1 F per baseline",
        references=("sundararajan2017axiomatic",),
        serves=("A11",),
        caveat=(
            "A sum says nothing about its parts: any map can be rescaled to be complete. Methods that do not claim it, such "
            "as gradients or LIME, fail by design."
        ),
        alternatives=("sensitivity-n", "non-sensitivity"),
    )

    baseline: Annotated[Baseline | None, "what the score is compared with; None: what each answer claims"] = None
    random_maps: RandomMaps = 5

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        scores = _Scores(subject, asked.inputs, asked.target)
        value = scores.of_point(asked.inputs.value)
        references, told = zip(*self._references(asked, scores), strict=True)
        found = [
            _relative(map.flatten(1).sum(1), value, reference)
            for map, reference in zip(originals(asked, self.random_maps), references, strict=True)
        ]
        names = (*asked.names, "controls")
        return verdict(
            self.spec.id,
            asked,
            list(torch.stack(found).unbind(1)),
            higher_is_better=False,
            protocol=(
                "The value is what the sum of the scores misses of the rise of the quantity above a reference, as a share of "
                f"this rise. {'; '.join(f'{name}: {text}' for name, text in zip(names, told, strict=False))}."
            ),
        )

    def _references(self, asked: Judged, scores: "_Scores") -> Iterator[tuple[Tensor, str]]:
        """The score that each row's sum starts from, ``[examples]``, and what it is in words."""
        default = asked.subject.task.baselines()[0] if self.baseline is None else self.baseline
        usual = scores.of_baseline(default), f"the baseline {_said(default)}"
        for answer in asked.answers:
            yield usual if self.baseline is not None else _claimed(answer, scores, usual)
        for _ in range(len(asked.controls) - 1 + self.random_maps):
            yield usual


class _Scores:
    """The explained quantity of the examples with another point; the same point is asked about once."""

    def __init__(self, subject: Subject, inputs: Inputs, target: Target) -> None:
        self._subject, self._inputs, self._target = subject, inputs, target
        self._known: dict[str, Tensor] = {}

    def of_baseline(self, baseline: Baseline) -> Tensor:
        return self.of_point(with_padding(self._inputs, baseline_value(self._subject, self._inputs, baseline)))

    def of_point(self, point: Tensor) -> Tensor:
        name = digest(point)
        if name not in self._known:
            every = torch.arange(len(point))
            self._known[name] = evaluate(
                self._subject, self._inputs, self._target, every, lambda rows: point[rows], "references"
            )
        return self._known[name]


def _claimed(answer: Attribution, scores: _Scores, usual: tuple[Tensor, str]) -> tuple[Tensor, str]:
    """What an answer's scores claim to be the rise above."""
    if "baseline" in answer.quality:
        return answer.quality["baseline"].double(), "the score that it states for its baseline"
    method: Any = method_of(answer)
    if getattr(method, "baseline", None) is not None:
        return scores.of_baseline(method.baseline), f"its baseline {_said(method.baseline)}"
    if "conservative" in method.spec.properties:
        absorbed = sum((amount.double().abs() for amount in answer.absorbed.values()), torch.zeros(len(answer)))
        share = float((absorbed / answer.value.double().abs().clamp(min=1e-12)).mean())
        return torch.zeros(len(answer), dtype=torch.float64), f"0, {share:.1%} of the score being absorbed on the way"
    return usual


def _relative(total: Tensor, value: Tensor, reference: Tensor) -> Tensor:
    rise = value - reference
    missing = (total - rise).abs()
    # A rise that is only rounding has no share that could be missing of it.
    least = torch.finfo(torch.float32).eps * torch.maximum(value.abs(), reference.abs())
    size = torch.maximum(rise.abs(), least)
    return torch.where(missing > 0, missing / torch.where(size > 0, size, torch.ones_like(size)), 0.0)


def _said(baseline: Baseline) -> str:
    return f"of shape {tuple(baseline.shape)}" if isinstance(baseline, Tensor) else f"'{baseline}'"
