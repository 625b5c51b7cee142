"""Expected gradients: integrated gradients averaged over many baselines, one draw per gradient."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Union

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from pellucid.core.annotations import Data
from pellucid.core.errors import BadInput
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.attributing import around, attribution, features_at
from pellucid.engine.averaging import Running, Stratified
from pellucid.engine.batching import evaluate
from pellucid.engine.gradients import gradients, point_value
from pellucid.engine.perturb import baseline_value, with_padding
from pellucid.engine.targets import Target, resolve
from pellucid.results.attribution import Attribution

Reference = Union[str, Tensor, tuple[Any, ...], list[Any], None]
Baselines = Callable[[int, int], Tensor]
Draws = tuple[Tensor, Tensor]


@method
class ExpectedGradients:
    """Scores sum, up to the ``residual``, to the difference between the score and its mean over the reference.

    Each of the ``samples`` is one gradient at a place between a baseline and the input, times the way between them
    (erion2021improving). Places are drawn one from each of equally long parts of the way, and baselines in turns: each
    of the reference comes again only after all others did, so that both are covered as evenly as can be.

    ``reference`` is what baselines are drawn from: a tensor ``[rows, …point]`` in the model's own space, several raw
    inputs that the task prepares, or the name of one of the task's baselines (a new draw per sample where it is
    random, such as ``uniform``). None is the task's own reference data where it has some (tables), else ``uniform``.
    Answers keep the digest of reference data only. Padding stays as it is.

    ``quality["baseline"]`` is the mean score of the baselines that were drawn, or of all the reference where there are
    no more of it than samples. The interval by feature is at least 95 %; ``converged`` tells whether the residual is
    within ``tolerance`` of the difference, and every half interval within ``tolerance`` of it or of the largest score.
    """

    spec: ClassVar = Spec(
        id="expected-gradients",
        title="Expected gradients",
        question="How much did each feature move the score away from what is usual?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER},
        needs={Access.GRADIENTS},
        points={Point.INPUT, Point.LAYER},
        properties={"complete", "stochastic"},
        cost="1 B per sample and 1 F per baseline: 200 B and up to 200 F",
        references=("erion2021improving", "neumann1941distribution"),
        serves=("A9",),
        caveat="It explains the difference to the reference: with other reference data the same score has other reasons.",
        alternatives=("occlusion", "lime"),
    )

    samples: Annotated[int, Ge(2), "gradients per example"] = 200
    reference: Annotated[
        Reference, Data(), "rows, raw inputs or the name of a baseline; None: the task's reference data, or uniform"
    ] = None
    tolerance: Annotated[float, Gt(0), "largest error, as a share of the score's difference to the reference"] = 5e-2
    seed: Annotated[int, "seed of the draws"] = 0

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        baselines, number = _baselines(subject, inputs, self.reference)
        draws = [self._drawn(inputs, row, number) for row in range(len(inputs))]
        value, usual = _levels(subject, inputs, target, baselines, draws)
        end = point_value(subject, inputs, query.at)
        features = features_at(subject, inputs, query.at, end)
        scores, half_widths = torch.zeros_like(end), []
        parts = _contributions(subject, inputs, target, query.at, end, baselines, draws)
        for row, of_example in itertools.groupby(parts, key=lambda part: part[0]):
            own = features.rows(slice(row, row + 1))
            elements, sums = Running(end[row]), Stratified(torch.zeros(own.counts()[0]))
            for _, contribution in of_example:
                elements.add(contribution)
                sums.add(own.sums(contribution[None])[0])
            scores[row] = elements.mean
            half_widths.append(sums.half_width())
        quality = {"baseline": usual.to(end.dtype)}
        answer = attribution(subject, inputs, query, target, scores, value.to(end.dtype), features, quality=quality)
        return self._judged(around(answer, half_widths), value - usual, half_widths)

    def _drawn(self, inputs: Inputs, row: int, number: int | None) -> Draws:
        """Places on the way in ascending order, and the number of the baseline that each starts from."""
        # What is padding beside others must not enter the draws.
        example = inputs.value[row] if inputs.mask is None else inputs.value[row][inputs.mask[row]]
        source = generator(self.seed, "expected-gradients", example)
        within = torch.rand(self.samples, generator=source, dtype=torch.float64)
        places = (torch.arange(self.samples) + within) / self.samples
        if number is None:
            return places, torch.randint(2**31, (self.samples,), generator=source)
        turns = [torch.randperm(number, generator=source) for _ in range(-(-self.samples // number))]
        return places, torch.cat(turns)[: self.samples]

    def _judged(self, answer: Attribution, rise: Tensor, half_widths: list[Tensor]) -> Attribution:
        residual = rise - answer.scores.flatten(1).sum(1, dtype=torch.float64)
        largest = torch.stack([vector.abs().max().double() for vector in answer.by_feature()])
        error = torch.stack([half.max() for half in half_widths])
        settled = error <= self.tolerance * torch.maximum(rise.abs(), largest)
        converged = settled & (residual.abs() <= self.tolerance * rise.abs())
        return dataclasses.replace(answer, residual=residual.to(answer.value.dtype), converged=converged)


def _baselines(subject: Subject, inputs: Inputs, wanted: Reference) -> tuple[Baselines, int | None]:
    """The baseline of an example by its number, and how many there are: None where every number draws another one."""
    if wanted is None:
        own = getattr(subject.task, "reference", None)
        wanted = "uniform" if own is None else own
    if isinstance(wanted, str):
        name = wanted
        first, second = (baseline_value(subject, inputs, name, seed) for seed in (0, 1))
        if torch.equal(first, second):
            return lambda row, number: first[row], 1
        return lambda row, number: baseline_value(subject, inputs.rows(torch.tensor([row])), name, number)[0], None
    rows = subject.prepare(wanted if isinstance(wanted, Tensor) else list(wanted)).value.to(inputs.value)
    if rows.shape[1:] != inputs.value.shape[1:]:
        raise BadInput(
            f"reference data of shape {tuple(rows.shape)} does not fit the point {tuple(inputs.value.shape)}; give "
            "examples as long as the input, and ask about inputs of different lengths one at a time"
        )
    return lambda row, number: rows[number], len(rows)


def _starts(inputs: Inputs, baselines: Baselines, rows: Tensor, numbers: Tensor) -> Tensor:
    pairs = zip(rows.tolist(), numbers.tolist(), strict=True)
    return with_padding(inputs.rows(rows), torch.stack([baselines(row, number) for row, number in pairs]))


def _levels(
    subject: Subject, inputs: Inputs, target: Target, baselines: Baselines, draws: list[Draws]
) -> tuple[Tensor, Tensor]:
    """The explained quantity of each example, and its mean over the baselines that were drawn for it."""
    different = [numbers.unique() for _, numbers in draws]
    rows = torch.arange(len(inputs)).repeat_interleave(torch.tensor([len(numbers) for numbers in different]))
    numbers = torch.cat(different)
    heights = evaluate(
        subject, inputs, target, rows, lambda part: _starts(inputs, baselines, rows[part], numbers[part])
    )
    usual = torch.stack([part.mean() for part in heights.split([len(numbers) for numbers in different])])
    return evaluate(subject, inputs, target, torch.arange(len(inputs)), lambda part: inputs.value[part]), usual


def _contributions(
    subject: Subject,
    inputs: Inputs,
    target: Target,
    at: str,
    end: Tensor,
    baselines: Baselines,
    draws: list[Draws],
) -> Iterator[tuple[int, Tensor]]:
    """Each example's gradients at its drawn places, times the whole way there from the baseline, in order."""
    places, numbers = (torch.cat(drawn) for drawn in zip(*draws, strict=True))
    rows = torch.arange(len(inputs)).repeat_interleave(len(places) // len(inputs))
    size = max(1, subject.batch_size(inputs) // 2)
    for chunk in torch.arange(len(rows)).split(size):
        own = rows[chunk]
        given = inputs.rows(own)
        start = point_value(subject, given.at(_starts(inputs, baselines, own, numbers[chunk])), at)
        share = places[chunk].to(end.dtype).view(-1, *[1] * (end.ndim - 1))
        found = gradients(subject, given, target.rows(own), at, torch.lerp(start, end[own], share))
        yield from zip(own.tolist(), found.gradient * (end[own] - start), strict=True)
        report(int(chunk[-1]) + 1, len(rows), "expected gradients")
