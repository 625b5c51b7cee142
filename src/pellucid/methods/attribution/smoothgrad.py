"""SmoothGrad: explain many noisy copies of the input, and average what is said of them."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, View
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.attributing import Explainer, around
from pellucid.engine.averaging import Running
from pellucid.engine.targets import Target, again, resolve
from pellucid.methods.attribution.gradient import Gradient
from pellucid.results.attribution import Attribution

_STILL = "Every element of an example has the same value, so it has no range and got no noise."


@method
class SmoothGrad:
    """Scores are the mean over noisy copies of the input of what ``inner`` says of each (smilkov2017smoothgrad).

    The noise is normal and independent for every element of the point: pixels, columns, embeddings, one-hot characters
    (which it turns into mixtures of characters), never padding. ``spread`` is its standard deviation as a share of the
    example's own range, from its lowest to its highest element; ``quality["noise"]`` tells it in the point's units. At
    a layer the noise is still at the input.

    ``kind`` ``squared`` averages squares instead (hooker2019benchmark), and ``variance`` takes the variance over the
    copies, without bias (adebayo2018local): both are never negative. The interval by feature is that of the draws;
    ``converged`` tells whether ``inner`` converged on every copy, if it tells at all. Features are those that ``inner``
    gives the input without noise.
    """

    spec: ClassVar = Spec(
        id="smoothgrad",
        title="SmoothGrad",
        question="Which elements matter, if what only holds at this very input is averaged out?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER},
        needs={Access.OUTPUTS},  # and what the inner method needs
        points={Point.INPUT, Point.LAYER},
        properties={"stochastic"},
        cost="once the inner method per sample, and once more: 21 B",
        references=("smilkov2017smoothgrad", "hooker2019benchmark", "adebayo2018local"),
        serves=("A9",),
        caveat="It explains a blurred version of the network: a smooth map is easier to read, not more faithful.",
        alternatives=("occlusion", "lime"),
    )

    inner: Annotated[Explainer, "what is asked about each noisy copy"] = Gradient()
    samples: Annotated[int, Ge(2), "noisy copies per example"] = 20
    spread: Annotated[float, Gt(0), "standard deviation of the noise, as a share of the example's range"] = 0.1
    kind: Annotated[Literal["mean", "squared", "variance"], "what is taken over the copies"] = "mean"
    seed: Annotated[int, "seed of the noise"] = 0

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        if not inputs.value.is_floating_point():
            raise NotAnswerable(
                f"{subject.name} reads whole numbers, to which no noise can be added; ask the inner method"
            )
        target = resolve(subject, inputs, query)
        plain = self._inner(subject, query, inputs, target)
        widths = self.spread * _ranges(inputs)
        scores, half_widths, converged = torch.zeros_like(plain.scores), [], []
        told = self._told(subject, query, inputs, target, widths)
        for row, copies in itertools.groupby(told, key=lambda copy: copy[0]):
            average = _Average(self.kind, plain.scores[row], plain.features.rows(slice(row, row + 1)))
            settled = True
            for _, found, one_settled in copies:
                average.add(found)
                settled = settled and one_settled
            scores[row] = average.scores()
            half_widths.append(average.half_width())
            converged.append(settled)
        answer = dataclasses.replace(
            plain,
            scores=scores,
            residual=None,
            absorbed={},
            reaching=None,
            converged=None if plain.converged is None else torch.tensor(converged),
            quality={"noise": widths},
            notes=plain.notes if bool(widths.all()) else (*plain.notes, _STILL),
        )
        return around(answer, half_widths)

    def _inner(self, subject: Subject, query: Decision, inputs: Inputs, target: Target) -> Attribution:
        answer = self.inner(subject, again(query, inputs, target))
        assert isinstance(answer, Attribution)
        return answer

    def _told(
        self, subject: Subject, query: Decision, inputs: Inputs, target: Target, widths: Tensor
    ) -> Iterator[tuple[int, Tensor, bool]]:
        """For every copy its example, its scores and whether they converged; all copies of an example together."""
        copies = self._copies(inputs, widths)
        rows, done = torch.arange(len(inputs)).repeat_interleave(self.samples), 0
        for chunk in rows.split(max(1, subject.batch_size(inputs) // 2)):
            noisy = inputs.rows(chunk).at(torch.stack(list(itertools.islice(copies, len(chunk)))))
            answer = self._inner(subject, query, noisy, target.rows(chunk))
            settled = [True] * len(chunk) if answer.converged is None else answer.converged.tolist()
            yield from zip(chunk.tolist(), answer.scores, settled, strict=True)
            done += len(chunk)
            report(done, len(rows), "smoothgrad")

    def _copies(self, inputs: Inputs, widths: Tensor) -> Iterator[Tensor]:
        """The noisy copies of each example, one at a time."""
        for row, example in enumerate(inputs.value):
            real = _real(inputs, row)
            source = generator(self.seed, "smoothgrad", example[real])
            for _ in range(self.samples):
                copy = example.clone()
                copy[real] += widths[row] * torch.randn(example[real].shape, generator=source, dtype=example.dtype)
                yield copy


class _Average:
    """What is taken over the copies of one example: of each element, and of each feature with its interval."""

    def __init__(self, kind: str, like: Tensor, features: Features) -> None:
        self._kind, self._features = kind, features
        self._elements, self._sums = Running(like), Running(torch.zeros(features.counts()[0]))

    def add(self, scores: Tensor) -> None:
        """Count the scores of one more copy."""
        taken = scores.double().square() if self._kind == "squared" else scores.double()
        squared = self._elements.add(taken)
        if self._kind != "variance":
            self._sums.add(self._features.sums(taken[None])[0])
        elif self._elements.count > 1:
            self._sums.add(self._features.sums(squared[None])[0])

    def scores(self) -> Tensor:
        """What is scored, element by element."""
        return self._elements.variance if self._kind == "variance" else self._elements.mean

    def half_width(self) -> Tensor:
        """Half of the 95 % interval of each feature's score."""
        return self._sums.half_width()


def _real(inputs: Inputs, row: int) -> Tensor | slice:
    """The positions of an example that are not padding: only these may enter its draws, whatever its neighbours."""
    return slice(None) if inputs.mask is None else inputs.mask[row]


def _ranges(inputs: Inputs) -> Tensor:
    real = [example[_real(inputs, row)] for row, example in enumerate(inputs.value)]
    return torch.stack([example.max() - example.min() for example in real])
