"""LIME: fit a small linear model to what the network answers around one example."""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Union

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine import linear, sampling
from pellucid.engine.attributing import attribution
from pellucid.engine.batching import evaluate
from pellucid.engine.coalitions import draws_of, hidden_point, players
from pellucid.engine.perturb import Baseline, Grouping
from pellucid.engine.sampling import Neighbourhood
from pellucid.engine.targets import Target, resolve
from pellucid.results.attribution import Attribution

_MOST_FEATURES = 4096
_POOR_FIT = 0.5


@dataclass(frozen=True)
class _Surrogate:
    """The linear model of one example: coefficients of all features, their interval, and how well it fits."""

    value: Tensor
    coefficients: Tensor
    low: Tensor
    high: Tensor
    r2: Tensor
    intercept: Tensor
    local_prediction: Tensor
    notes: tuple[str, ...]


@method
class Lime:
    """Each feature scores its coefficient in a weighted ridge regression of the explained quantity on ``samples`` rows.

    Row 0 is the example itself; the others are drawn around it and weigh ``√exp(−d²/width²)`` at distance ``d``. By
    kind of input, as in the lime package (``ribeiro2016should``):

    ========  =======================================================  ==========================  =======
    input     a row                                                    distance                    width
    ========  =======================================================  ==========================  =======
    picture   each superpixel is hidden with probability ½ by its own  cosine of the shown         0.25
              mean colour; so are elements of plain tensors, by the    features
              task's baseline
    text      1 … all words are replaced by the task's baseline;       100 × cosine of the shown   25
              so are positions of sequences                            features
    table     each column is drawn from a quartile of the reference    Euclidean, on whether each  0.75 √M
              rows; it is 1 where it lies in the example's quartile    column is 1
    ========  =======================================================  ==========================  =======

    A table without reference rows is drawn from a standard normal in the task's standardised units, and its
    coefficients are slopes. A ``baseline`` that is named hides the columns of a table like the parts of a picture.

    ``quality`` holds the weighted share of variation that the linear model explains (``r2``), its ``intercept`` and its
    ``local_prediction`` for the example. The interval tells how far coefficients are from those of unlimited rows,
    shrinkage by the ridge included; with ``keep`` it does not count the choice of terms. There is no tolerance to
    meet, so ``converged`` is None. The paper explains probabilities: ask ``Decision(of="probability")`` for that.
    """

    spec: ClassVar = Spec(
        id="lime",
        title="LIME",
        question="Which parts carry the score, if the network is read as a simple sum of parts around this example?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AFFECTED_PERSON, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation", "stochastic"},
        cost="1 F per sample: 1001 F",
        references=("ribeiro2016should",),
        serves=("A6", "A9"),
        caveat=(
            "It explains a linear stand-in, not the network: where R² is low the scores say little, and other parts or "
            "another kernel width can tell another story."
        ),
        alternatives=("occlusion",),
    )

    samples: Annotated[int, Ge(2), "rows around the example, itself included; lime's texts and tables take 5000"] = 1000
    segments: Annotated[Union[int, None], Ge(1), "number of superpixels wanted; None: the task's default"] = None
    features: Annotated[Grouping, "what is changed together; None: superpixels, words, columns or elements"] = None
    keep: Annotated[Union[int, None], Ge(1), "number of features in the linear model; None: all"] = None
    kernel_width: Annotated[Union[float, None], Gt(0), "width of the kernel; None: by kind of input"] = None
    baseline: Annotated[
        Union[Baseline, None], "what hides a feature; None: its own mean colour in a picture, else the task's default"
    ] = None
    seed: Annotated[int, "seed of the draws"] = 0

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        features = self._features(subject, inputs)
        most = max(features.counts())
        if most > _MOST_FEATURES:
            raise UsageError(f"lime fits at most {_MOST_FEATURES} features, not {most}; group them: features=…")
        drawn = subject.task.modality is Modality.TABULAR and self.baseline is None
        hidden = None if drawn else hidden_point(subject, inputs, features, self.baseline, self.seed)
        target = resolve(subject, inputs, query)
        fits = [self._fit(subject, inputs, target, features, hidden, row) for row in range(len(inputs))]
        scores = features.spread([fit.coefficients for fit in fits], inputs.value)
        found = attribution(
            subject,
            inputs,
            query,
            target,
            scores,
            torch.stack([fit.value for fit in fits]).to(scores.dtype),
            features,
            interval=(tuple(fit.low for fit in fits), tuple(fit.high for fit in fits)),
            quality={
                "r2": torch.stack([fit.r2 for fit in fits]),
                "intercept": torch.stack([fit.intercept for fit in fits]),
                "local_prediction": torch.stack([fit.local_prediction for fit in fits]),
            },
        )
        return dataclasses.replace(found, notes=(*found.notes, *self._notes(subject, hidden, fits)))

    def _features(self, subject: Subject, inputs: Inputs) -> Features:
        if self.segments is not None and (
            isinstance(self.features, Tensor) or subject.task.modality is not Modality.IMAGE
        ):
            raise UsageError("lime(segments=…) asks for superpixels of a picture; leave it out, or leave out features")
        return players(subject, inputs, self.features, self.segments)

    def _neighbourhood(
        self, subject: Subject, inputs: Inputs, features: Features, hidden: Tensor | None, row: int
    ) -> Neighbourhood:
        point, segments = inputs.value[row], features.segments[row]
        source = draws_of(inputs, row, self.seed, "lime")
        number = int(segments.max()) + 1
        if hidden is not None:
            removes = subject.task.modality in (Modality.TEXT, Modality.SEQUENCE)
            draw = sampling.removals(number) if removes else sampling.coin_flips(number)
            return sampling.shown_and_hidden(point, hidden[row], segments, self.samples, draw, source)
        reference = getattr(subject.task, "reference", None)
        if reference is not None:
            return sampling.same_quartiles(point, reference, segments, self.samples, source)
        if int((segments >= 0).sum()) != number:
            raise NotAnswerable(
                "without reference rows every column is a feature of its own; give the task reference rows or "
                "name a baseline"
            )
        return sampling.standard_normal(point, segments, self.samples, source)

    def _fit(
        self, subject: Subject, inputs: Inputs, target: Target, features: Features, hidden: Tensor | None, row: int
    ) -> _Surrogate:
        same = 0 if hidden is None else sampling.unchanged(inputs.value[row], hidden[row], features.segments[row])
        around = self._neighbourhood(subject, inputs, features, hidden, row)
        answers = _answers(subject, inputs, target, around, row)
        instance = around.instance

        def blocks() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
            for part, rows in around.draws.blocks():
                readable = around.interpretable(rows)
                yield readable, answers[part], self._weights(subject, readable, instance)

        moments = linear.Moments(len(instance))
        for block in blocks():
            moments.add(*block)
        columns = linear.chosen(moments, instance, self.keep)
        model = linear.ridge(moments, columns)
        low, high = linear.interval(blocks(), moments, model)
        nothing = torch.zeros(len(instance), dtype=torch.float64)
        return _Surrogate(
            value=answers[0],
            coefficients=model.scattered(len(instance)),
            low=nothing.index_copy(0, columns, low),
            high=nothing.index_copy(0, columns, high),
            r2=model.r2,
            intercept=model.intercept,
            local_prediction=model.predict(instance[None])[0],
            notes=_doubts(moments, model, low, same),
        )

    def _weights(self, subject: Subject, rows: Tensor, instance: Tensor) -> Tensor:
        match subject.task.modality:
            case Modality.TABULAR:
                distance, width = (rows - instance).square().sum(1).sqrt(), 0.75 * math.sqrt(len(instance))
            case Modality.TEXT | Modality.SEQUENCE:
                distance, width = 100 * _cosine_distance(rows, instance), 25.0
            case _:
                distance, width = _cosine_distance(rows, instance), 0.25
        width = width if self.kernel_width is None else self.kernel_width
        return (-((distance / width) ** 2)).exp().sqrt()

    def _notes(self, subject: Subject, hidden: Tensor | None, fits: list[_Surrogate]) -> tuple[str, ...]:
        notes = []
        if hidden is None and getattr(subject.task, "reference", None) is not None:
            notes.append(
                "A column scores what it does to the score that its value lies in the same quartile of the reference "
                "rows as here."
            )
        elif hidden is None:
            notes.append(
                "The task has no reference rows: columns were drawn from a standard normal in standardised units, and "
                "a column's score is the change per unit."
            )
        if self.keep is not None:
            notes.append("Intervals are those of the chosen features and do not count the choice itself.")
        for number, fit in enumerate(fits):
            where = f"Example {number}: " if len(fits) > 1 else ""
            notes += [where + note for note in fit.notes]
        return tuple(notes)


def _answers(subject: Subject, inputs: Inputs, target: Target, around: Neighbourhood, row: int) -> Tensor:
    repeated = sampling.distinct(around.draws)
    if repeated is None:
        rows = torch.full((len(around.draws),), row)
        return evaluate(subject, inputs, target, rows, lambda part: around.points(around.draws.rows(part)), "lime")
    masks, which = repeated
    rows = torch.full((len(masks),), row)
    return evaluate(subject, inputs, target, rows, lambda part: around.points(masks[part]), "lime")[which]


def _cosine_distance(rows: Tensor, instance: Tensor) -> Tensor:
    length = rows.square().sum(1).sqrt() * instance.square().sum().sqrt()
    return 1 - torch.where(length > 0, rows @ instance / length, 0.0)


def _doubts(moments: linear.Moments, model: linear.LinearModel, low: Tensor, unchanged: int) -> tuple[str, ...]:
    notes = []
    if unchanged:
        notes.append(f"{unchanged} of {moments.features} features look the same hidden as shown: they cannot score.")
    few = moments.effective < len(model.columns) + 2
    if moments.constant:
        notes.append("The score is the same whatever is changed: no feature matters on its own or with others.")
    elif few:
        notes.append(
            f"The {moments.rows} samples weigh as much as {moments.effective:.1f}, too few for {len(model.columns)} "
            "features: R² says nothing and the scores have no bounds; draw more, or widen the kernel."
        )
    elif model.r2 < _POOR_FIT:
        notes.append(
            f"The linear model explains only {max(float(model.r2), 0):.0%} of the variation of the score: read the "
            "scores with caution."
        )
    if bool(low.isinf().any()) and not few:
        notes.append("A score without bounds is of a feature that the samples never change on its own.")
    return tuple(notes)
