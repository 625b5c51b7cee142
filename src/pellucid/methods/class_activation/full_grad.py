"""FullGrad: what the score owes to the input, and to every bias at the place where it acts."""

import dataclasses
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.attributing import attribution
from pellucid.engine.class_activation import Layout, Layouts, interpolated
from pellucid.engine.full_gradient import FullGradient, full_gradients, placed
from pellucid.engine.targets import resolve
from pellucid.results.attribution import Attribution

_MUCH = 0.01


@method
class FullGrad:
    """The gradient times the input and, from every layer, the gradient times the bias at each place of its map.

    In a network that is linear piece by piece these terms add up to the score (srinivas2019full); ``residual`` is what they
    leave. Norms and smooth activations count with their implicit biases. ``values="absolute"`` is the paper's map: of the
    input and of each layer the absolute terms, stretched from 0 to 1 over the layer, interpolated and summed. ``"signed"``
    shares each term out over the positions that its place covers, so that scores, ``absorbed`` and ``residual`` are the
    score. Biases of layers without positions are in ``absorbed`` only.
    """

    spec: ClassVar = Spec(
        id="full-grad",
        title="FullGrad",
        question="Which places does the score owe itself to, counting the input and the biases of all layers?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER},
        needs={Access.GRADIENTS, Access.WEIGHTS},
        points={Point.INPUT, Point.LAYER},
        properties={"sensitivity"},
        cost="1 B",
        references=("srinivas2019full",),
        serves=("A9", "A10"),
        caveat=(
            "The paper's map takes absolute values: for and against look the same, also with a foil. Stretching gives each "
            "layer the same say, however little the score owes to it."
        ),
        alternatives=("integrated-gradients", "occlusion"),
    )

    values: Annotated[Literal["absolute", "signed"], "the paper's map, or terms that add up"] = "absolute"

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        layouts = Layouts(subject, inputs)
        parts = [
            (found.values, *self._shown(found, layouts, layouts.input if query.at == "input" else None))
            for found in full_gradients(subject, inputs, target, query.at)
        ]
        values, scores, unplaced, residual = (torch.cat(part) for part in zip(*parts, strict=True))
        absorbed = {"biases without a position": unplaced}
        if inputs.mask is not None and query.at == "input" and self.values == "signed":
            real = inputs.mask.view(*inputs.mask.shape, *[1] * (scores.ndim - inputs.mask.ndim))
            absorbed["biases at padding"] = _sums(scores.masked_fill(real, 0)).to(scores)
        answer = attribution(subject, inputs, query, target, scores, values, residual=residual, absorbed=absorbed)
        return dataclasses.replace(answer, notes=(*answer.notes, *_doubts(answer)))

    def _shown(self, found: FullGradient, layouts: Layouts, point: Layout | None) -> tuple[Tensor, Tensor, Tensor]:
        """Scores at the point, what biases without a position add, and what no term explains."""
        point = layouts.of(tuple(found.point.shape[1:])) if point is None else point
        scores = found.point * found.gradient
        residual = found.values.double() - _sums(scores) - sum(map(_sums, found.biases))
        unplaced = torch.zeros_like(residual)
        if self.values == "absolute":
            scores = _stretched(scores)
        for terms in found.biases:
            layout = layouts.of(tuple(terms.shape[1:]))
            if layout is None or point is None:
                unplaced += _sums(terms)
            else:
                scores = scores + point.evenly(self._placed(layout.maps(terms), point.extent))
        return scores, unplaced.to(scores), residual.to(scores)

    def _placed(self, terms: Tensor, extent: tuple[int, ...]) -> Tensor:
        """The terms of a layer ``[batch, channels, …]`` as one map."""
        if self.values == "signed":
            return placed(terms.sum(1), extent)
        return interpolated(_stretched(terms).sum(1), extent)


def _stretched(terms: Tensor) -> Tensor:
    """Absolute terms from 0 to 1 over all units of an example."""
    low, high = (extreme.view(-1, *[1] * (terms.ndim - 1)) for extreme in terms.abs().flatten(1).aminmax(dim=1))
    return (terms.abs() - low) / (high - low).clamp(min=torch.finfo(terms.dtype).tiny)


def _sums(terms: Tensor) -> Tensor:
    return terms.flatten(1).sum(1, dtype=torch.float64)


def _doubts(answer: Attribution) -> tuple[str, ...]:
    assert answer.residual is not None
    share = float((answer.residual.abs() / answer.value.abs().clamp(min=torch.finfo(answer.value.dtype).tiny)).max())
    if share <= _MUCH:
        return ()
    return (
        f"The terms leave {share:.0%} of the score open: functions, attention or recurrent layers add something that "
        "belongs to no bias.",
    )
