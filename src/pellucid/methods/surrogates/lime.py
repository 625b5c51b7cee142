"""LIME: fit a small linear model to what the network answers around one example."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Union

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.attributing import attribution
from pellucid.engine.coalitions import HiddenBy, draws_of, hidden_point, players
from pellucid.engine.linear import chosen
from pellucid.engine.neighbourhoods import Preset, around
from pellucid.engine.perturb import Grouping
from pellucid.engine.sampling import unchanged
from pellucid.engine.surrogates import Surrogate, surrogates
from pellucid.engine.targets import Several, Target, resolve
from pellucid.results.attribution import Attribution

_MOST_FEATURES = 4096
_POOR_FIT = 0.5
_LASSO = 0.01


@method
class Lime:
    """Each feature scores its coefficient in a weighted ridge regression of the explained quantity on ``samples`` rows.

    Rows are drawn around the example and weigh ``√exp(−d²/width²)`` at distance ``d``. By kind of input, as in the lime
    package (``ribeiro2016should``):

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

    With ``preset`` ``lime`` rows are independent and row 0 is the example itself. ``balanced`` comes to the same
    coefficients with fewer rows, where features are hidden: all masks, where ``samples`` allows, so that the answer is
    exact; of pictures masks from orthogonal arrays, each followed by its complement; of texts, or with a narrow kernel,
    masks of as many features as weigh most.

    ``captum`` is another method of the same name: coin flips for any kind of input, hidden by 0 unless a ``baseline`` is
    named, weighed with width 1 by the cosine between the points themselves, and a lasso with penalty 0.01, whose
    coefficients have no interval. Captum draws 25 samples and takes every element for a feature; ask for that with
    ``samples`` and ``features``.

    ``quality`` holds the weighted share of variation that the linear model explains (``r2``), its ``intercept``, its
    ``local_prediction`` for the example and the number of ``rows``. The interval tells how far coefficients are from
    those of unlimited rows, shrinkage by the ridge included; with ``keep`` it does not count the choice of terms. With a
    ``tolerance`` rows are drawn until intervals are narrow enough, and ``converged`` tells whether ``samples`` sufficed.

    Examples that are equal share their passes: to ask about several classes, give the same example once per target. The
    paper explains probabilities: ask ``Decision(of="probability")`` for that.
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
        cost="1 F per sample: 1001 F, or fewer with a tolerance",
        references=("ribeiro2016should",),
        serves=("A6", "A9"),
        caveat=(
            "It explains a linear stand-in, not the network: where R² is low the scores say little, and other parts or "
            "another kernel width can tell another story."
        ),
        alternatives=("occlusion",),
    )

    samples: Annotated[
        int, Ge(2), "rows around the example, itself included, at most; lime's texts and tables take 5000"
    ] = 1000
    segments: Annotated[Union[int, None], Ge(1), "number of superpixels wanted; None: the task's default"] = None
    features: Annotated[Grouping, "what is changed together; None: superpixels, words, columns or elements"] = None
    keep: Annotated[Union[int, None], Ge(1), "number of features in the linear model; None: all"] = None
    kernel_width: Annotated[Union[float, None], Gt(0), "width of the kernel; None: by kind of input"] = None
    tolerance: Annotated[
        Union[float, None],
        Gt(0),
        "largest half interval wanted, as a share of the largest coefficient; None: all samples are drawn",
    ] = None
    seed: Annotated[int, "seed of the draws"] = 0
    baseline: HiddenBy = None
    preset: Annotated[
        Preset, "LIME's coefficients with less work, just as the lime package draws and weighs, or as Captum does"
    ] = "balanced"

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        features = self._features(subject, inputs)
        most = max(features.counts())
        if most > _MOST_FEATURES:
            raise UsageError(f"lime fits at most {_MOST_FEATURES} features, not {most}; group them: features=…")
        captum = self.preset == "captum"
        if captum and self.tolerance is not None:
            raise UsageError("lime(preset='captum') has no interval to hold to a tolerance; leave one of them out")
        baseline = 0.0 if captum and self.baseline is None else self.baseline
        drawn = subject.task.modality is Modality.TABULAR and baseline is None
        hidden = None if drawn else hidden_point(subject, inputs, features, baseline, self.seed)
        target = resolve(subject, inputs, query)
        fits = self._fits(subject, inputs, target, features, hidden)
        found = attribution(
            subject,
            inputs,
            query,
            target,
            features.spread([fit.coefficients for fit in fits], inputs.value),
            torch.stack([fit.value for fit in fits]).to(inputs.value.dtype),
            features,
            interval=None if captum else (tuple(fit.low for fit in fits), tuple(fit.high for fit in fits)),
            converged=None if self.tolerance is None else torch.tensor([bool(fit.converged) for fit in fits]),
            quality={
                "r2": torch.stack([fit.r2 for fit in fits]),
                "intercept": torch.stack([fit.intercept for fit in fits]),
                "local_prediction": torch.stack([fit.local_prediction for fit in fits]),
                "rows": torch.tensor([float(fit.rows) for fit in fits]),
            },
        )
        return dataclasses.replace(found, notes=(*found.notes, *self._notes(subject, inputs, features, hidden, fits)))

    def _features(self, subject: Subject, inputs: Inputs) -> Features:
        if self.segments is not None and (
            isinstance(self.features, Tensor) or subject.task.modality is not Modality.IMAGE
        ):
            raise UsageError("lime(segments=…) asks for superpixels of a picture; leave it out, or leave out features")
        return players(subject, inputs, self.features, self.segments)

    def _fits(
        self, subject: Subject, inputs: Inputs, target: Target, features: Features, hidden: Tensor | None
    ) -> list[Surrogate]:
        """One per example; questions about the same example are answered on the same passes."""
        found: dict[int, Surrogate] = {}
        for rows in _alike(inputs, features):
            first = rows[0]
            source = draws_of(inputs, first, self.seed, "lime")
            near = around(
                subject, inputs, features, hidden, first, self.samples, source, self.preset, self.kernel_width
            )
            questions = Several(tuple(target.rows(slice(row, row + 1)) for row in rows))
            one = inputs.rows(slice(first, first + 1))
            models = surrogates(
                subject,
                one,
                questions,
                near,
                lambda moments, point: chosen(moments, point, self.keep),
                self.tolerance,
                _LASSO if self.preset == "captum" else None,
            )
            found |= zip(rows, models, strict=True)
        return [found[row] for row in range(len(inputs))]

    def _notes(
        self, subject: Subject, inputs: Inputs, features: Features, hidden: Tensor | None, fits: list[Surrogate]
    ) -> tuple[str, ...]:
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
        if self.keep is not None and self.preset != "captum":
            notes.append("Intervals are those of the chosen features and do not count the choice itself.")
        for row, fit in enumerate(fits):
            where = f"Example {row}: " if len(fits) > 1 else ""
            same = 0 if hidden is None else unchanged(inputs.value[row], hidden[row], features.segments[row])
            notes += [where + note for note in (*_doubts(fit, same, self.keep, self.preset), *self._unsettled(fit))]
        return tuple(notes)

    def _unsettled(self, fit: Surrogate) -> Iterator[str]:
        if fit.converged is False:
            found = f"{fit.spread:.0%} of the largest score" if math.isfinite(fit.spread) else "without bounds"
            yield (
                f"All {self.samples} samples were drawn and the tolerance of {self.tolerance:.0%} is not met: the widest "
                f"interval is ± {found}; draw more."
            )


def _alike(inputs: Inputs, features: Features) -> list[list[int]]:
    """The examples in groups of equal ones, which differ at most in what is asked of them."""
    groups: list[list[int]] = []
    for row, point in enumerate(inputs.value):
        for group in groups:
            same = torch.equal(point, inputs.value[group[0]])
            if same and torch.equal(features.segments[row], features.segments[group[0]]):
                group.append(row)
                break
        else:
            groups.append([row])
    return groups


def _doubts(fit: Surrogate, unchanged: int, keep: int | None, preset: Preset) -> Iterator[str]:
    number = len(fit.coefficients)
    columns = number if keep is None else min(keep, number)
    if unchanged:
        yield f"{unchanged} of {number} features look the same hidden as shown: they cannot score."
    few = fit.effective < columns + 2 and not fit.exact and preset != "captum"
    if fit.constant:
        yield "The score is the same whatever is changed: no feature matters on its own or with others."
    elif few:
        yield (
            f"The {fit.rows} samples weigh as much as {fit.effective:.1f}, too few for {columns} features: R² says "
            "nothing and the scores have no bounds; draw more, or widen the kernel."
        )
    elif fit.r2 < _POOR_FIT:
        yield (
            f"The linear model explains only {max(float(fit.r2), 0):.0%} of the variation of the score: read the "
            "scores with caution."
        )
    if bool(fit.low.isinf().any()) and not few and preset != "captum":
        yield "A score without bounds is of a feature that the samples never change on its own."
