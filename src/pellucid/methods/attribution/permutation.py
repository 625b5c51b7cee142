"""Permutation: give a feature the values that it has in other rows, and see how far the score falls on average."""

import dataclasses
from typing import Annotated, ClassVar, Union

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from pellucid.core.annotations import Data
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.attributing import around, attribution
from pellucid.engine.averaging import Running
from pellucid.engine.batching import evaluate
from pellucid.engine.coalitions import draws_of, players
from pellucid.engine.perturb import Grouping, blended
from pellucid.engine.targets import Target, resolve
from pellucid.results.attribution import Attribution


@method
class Permutation:
    """Each feature scores the mean fall of the explained quantity when its values are taken from another row.

    All values of a feature come from the same row, as when that column of a table is permuted (``breiman2001random``),
    and stay realistic on their own; the rest is the example's. Every feature sees the same ``samples`` rows, drawn
    without replacement from ``rows``: not from the batch, so that an answer does not depend on what it was asked
    beside. To permute a batch within itself, give the batch as ``rows``.

    The interval is Student's over the rows drawn: of the mean over unlimited rows like these.
    """

    spec: ClassVar = Spec(
        id="permutation",
        title="Feature permutation",
        question="How far does the score fall when this feature has the value of somebody else?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AFFECTED_PERSON, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        modalities={Modality.TABULAR, Modality.IMAGE, Modality.TENSOR},
        properties={"perturbation", "stochastic"},
        cost="1 F per feature and row: 100 F per feature",
        references=("breiman2001random",),
        serves=("A3", "A9"),
        caveat=(
            "Columns that belong together are torn apart: it may ask about rows that cannot exist, and features that "
            "stand in for each other hide each other's weight."
        ),
        alternatives=("feature-ablation", "kernel-shap", "lime"),
    )

    rows: Annotated[
        Union[Tensor, None], Data(), "other rows in the model's own space, [rows, …]; None: the task's reference rows"
    ] = None
    features: Annotated[Grouping, "what is exchanged together; None: columns, superpixels or elements"] = None
    samples: Annotated[int, Ge(2), "rows that every feature takes its values from"] = 100
    seed: Annotated[int, "seed of the draws"] = 0

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        others, features = self._others(subject, inputs), players(subject, inputs, self.features)
        target = resolve(subject, inputs, query)
        plain = evaluate(subject, inputs, target, torch.arange(len(inputs)), lambda part: inputs.value[part])
        falls = [
            self._falls(subject, inputs, target, features, others, row, float(value)) for row, value in enumerate(plain)
        ]
        scores = features.spread([fall.mean for fall in falls], inputs.value)
        found = attribution(subject, inputs, query, target, scores, plain.to(scores.dtype), features)
        return dataclasses.replace(
            around(found, [fall.half_width() for fall in falls]),
            notes=(*found.notes, f"Every feature took the values of {falls[0].count} of {len(others)} other rows."),
        )

    def _others(self, subject: Subject, inputs: Inputs) -> Tensor:
        others = getattr(subject.task, "reference", None) if self.rows is None else self.rows
        if others is None:
            raise NotAnswerable(
                "there are no other rows to take values from: the task has no reference rows; name some (rows=…), or ask "
                "feature-ablation"
            )
        if others.ndim != inputs.value.ndim or others.shape[1:] != inputs.value.shape[1:] or len(others) < 2:
            raise UsageError(
                f"permutation takes two rows or more in the shape of {tuple(inputs.value.shape[1:])}, not "
                f"{tuple(others.shape)}"
            )
        return others.to(inputs.value)

    def _falls(
        self,
        subject: Subject,
        inputs: Inputs,
        target: Target,
        features: Features,
        others: Tensor,
        row: int,
        plain: float,
    ) -> Running:
        number = features.counts()[row]
        point, segments = inputs.value[row], features.segments[row]
        chosen = _drawn(len(others), self.samples, draws_of(inputs, row, self.seed, "permutation"))
        keep = ~torch.eye(number, dtype=torch.bool)
        pairs = torch.cartesian_prod(chosen, torch.arange(number))

        def exchanged(part: slice) -> Tensor:
            other, feature = pairs[part].unbind(1)
            return blended(point, others[other], segments, keep[feature])

        rows = torch.full((len(pairs),), row)
        answers = evaluate(subject, inputs, target, rows, exchanged, "permutation").view(len(chosen), number)
        falls = Running(torch.zeros(number))
        for answer in answers:
            falls.add(plain - answer)
        return falls


def _drawn(rows: int, samples: int, source: Generator) -> Tensor:
    return torch.randperm(rows, generator=source)[:samples].sort().values
