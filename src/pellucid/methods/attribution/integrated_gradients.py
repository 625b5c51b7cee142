"""Integrated gradients: average the gradient on the straight path from a baseline."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, View
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.attributing import around, attribution, features_at
from pellucid.engine.batching import examples_within_budget
from pellucid.engine.gradients import gradients, point_value
from pellucid.engine.perturb import Baseline, baseline_value, with_padding
from pellucid.engine.quadrature import PathIntegral, most_held
from pellucid.engine.targets import Target, resolve
from pellucid.results.attribution import Attribution


@method
class IntegratedGradients:
    """Scores sum to the difference between the score of the input and of the baseline.

    Each example's path is refined where the local completeness residual and the error per feature are largest, until
    the residual is within ``tolerance`` of that difference and the error of every feature within ``tolerance`` of it
    (or of the largest score, where that is larger); ``converged`` says whether that was reached in ``max_steps``
    gradients. The error is estimated per feature as well, because a residual alone cannot see errors that cancel;
    ``interval`` is that estimate, of the numerical error only. Scores are never rescaled to close the residual.

    ``baseline`` None is the task's own: the mean colour of a picture, the mean row of a table, the mask token of a
    text, zero for sequences and bare tensors. Padding and special tokens stay as they are. At a layer the path runs
    from the layer's activation for the baseline to that for the input (sundararajan2017axiomatic).
    """

    spec: ClassVar = Spec(
        id="integrated-gradients",
        title="Integrated gradients",
        question="How much did each feature move the score away from a neutral baseline?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER},
        needs={Access.GRADIENTS},
        points={Point.INPUT, Point.LAYER},
        properties={"complete"},
        cost="5 to 256 B",
        references=("sundararajan2017axiomatic", "clenshaw1960method"),
        serves=("A9",),
        caveat="The answer depends on the baseline: a black pixel can never be relevant to a black baseline.",
        alternatives=("occlusion", "lime"),
    )

    tolerance: Annotated[float, Gt(0), "largest error, as a share of the score's difference to the baseline"] = 1e-2
    baseline: Annotated[Baseline | None, "where the path starts; None: the task's default"] = None
    max_steps: Annotated[int, Ge(2), "most gradients per example"] = 256

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        start = point_value(subject, inputs.at(self._baseline(subject, inputs)), query.at)
        end = point_value(subject, inputs, query.at)
        features = features_at(subject, inputs, query.at, end)
        scores, found = torch.zeros_like(end), []
        for rows in _groups(end):
            paths = {row: self._path(features, row, end[row]) for row in rows}
            for row, place, height, rate in _walk(subject, inputs, target, query.at, start, end, paths):
                paths[row].take(place, height, rate)
            for row, path in paths.items():
                scores[row] = path.integral()
                found.append((path.height(0.0), path.height(1.0), path.steps, path.converged, path.half_widths()))
        lowest, value, steps, converged, half_widths = zip(*found, strict=True)
        answer = attribution(
            subject,
            inputs,
            query,
            target,
            scores,
            torch.tensor(value, dtype=end.dtype),
            features,
            converged=torch.tensor(converged),
            quality={"baseline": torch.tensor(lowest, dtype=end.dtype), "steps": torch.tensor(steps)},
        )
        rise = torch.tensor(value, dtype=torch.float64) - torch.tensor(lowest, dtype=torch.float64)
        residual = rise - answer.scores.flatten(1).sum(1, dtype=torch.float64)
        return around(dataclasses.replace(answer, residual=residual.to(end.dtype)), half_widths)

    def _path(self, features: Features, row: int, like: Tensor) -> PathIntegral:
        return PathIntegral(self.tolerance, self.max_steps, _summing(features, row, like))

    def _baseline(self, subject: Subject, inputs: Inputs) -> Tensor:
        wanted = subject.task.baselines()[0] if self.baseline is None else self.baseline
        return with_padding(inputs, baseline_value(subject, inputs, wanted))


def _groups(end: Tensor) -> Iterator[range]:
    # So many examples advance together as the byte budget has room for the gradients that their paths hold.
    size = examples_within_budget(most_held(end[0]) * end[0].nbytes, 0)
    for first in range(0, len(end), size):
        yield range(first, min(first + size, len(end)))


def _walk(
    subject: Subject,
    inputs: Inputs,
    target: Target,
    at: str,
    start: Tensor,
    end: Tensor,
    paths: Mapping[int, PathIntegral],
) -> Iterator[tuple[int, float, float, Tensor]]:
    """Example, place, score and rate of score for whatever the paths want next, until they want nothing."""
    size = max(1, subject.batch_size(inputs) // 2)
    while wanted := [(row, place) for row, path in paths.items() for place in path.wanted]:
        for first in range(0, len(wanted), size):
            part = wanted[first : first + size]
            rows = torch.tensor([row for row, _ in part])
            places = torch.tensor([place for _, place in part], dtype=end.dtype).view(-1, *[1] * (end.ndim - 1))
            points = torch.lerp(start[rows], end[rows], places)
            found = gradients(subject, inputs.rows(rows), target.rows(rows), at, points)
            rates = found.gradient * (end[rows] - start[rows])
            for (row, place), height, rate in zip(part, found.values.tolist(), rates, strict=True):
                yield row, place, height, rate
        done = sum(not path.wanted for path in paths.values())
        report(done, len(paths), "integrated gradients")


def _summing(features: Features, row: int, like: Tensor) -> Callable[[Tensor], Tensor]:
    """Sums of one example's elements over its features."""
    segments = features.segments[row].expand_as(like).reshape(-1)
    inside = None if bool((segments >= 0).all()) else segments >= 0
    index = segments if inside is None else segments[inside]
    number = int(segments.max()) + 1

    def by_feature(elements: Tensor) -> Tensor:
        flat = elements.reshape(-1)
        return flat.new_zeros(number).index_add_(0, index, flat if inside is None else flat[inside])

    return by_feature
