"""Weight attribution: which filters and rows of weights a decision hangs on, by gradient times weight, and what is lost
without them."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.coalitions import draws_of
from pellucid.engine.parameter_units import ParameterUnits
from pellucid.engine.targets import resolve
from pellucid.results.weight_scores import WeightScores

Unit = tuple[str, int]


@method
class WeightAttribution:
    """The score of a unit (a filter with its bias, a row of a matrix, a channel of a norm) is the sum over its parameters of
    gradient times value: to first order what the explained quantity loses where they are set to zero
    (molchanov2019importance).

    In a network of rectifiers without biases the scores of every layer add up to the whole quantity. The ``top`` units are
    in fact set to zero, each alone, and together those whose scores have the sign of the first one's, beside ``draws``
    random choices of as many from the same layers. The last layer's row of the class, without which there is no score, is
    not among them.
    """

    spec: ClassVar = Spec(
        id="weight-attribution",
        title="Weight attribution",
        question="Which weights does this decision hang on?",
        scopes={Scope.EXPLAINABILITY, Scope.TRANSPARENCY},
        dimensions={Dimension.LOCAL, Dimension.DECOMPOSABILITY},
        view=View.DECISION,
        askers={Asker.DEVELOPER},
        needs={Access.GRADIENTS, Access.WEIGHTS},
        properties={"stochastic"},
        cost="1 B, and 1 F for each top unit and each draw",
        references=("molchanov2019importance",),
        serves=("B12",),
        caveat=(
            "The scores are of first order: what is lost without a unit can be much more or less, also because a norm or a "
            "saturated part makes up for it. Compare them with the effects that were measured beside them."
        ),
        alternatives=("permutation", "feature-ablation"),
    )

    top: Annotated[int, Ge(1), "how many units are named and set to zero"] = 10
    layers: Annotated[str | None, "only layers that fit one of these patterns, such as blocks.3*, head.*"] = None
    draws: Annotated[int, Ge(0), "how many random choices of as many units stand beside"] = 5
    seed: int = 0

    def __call__(self, subject: Subject, query: Decision) -> WeightScores:
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        parameters = ParameterUnits(subject, [part.strip() for part in (self.layers or "").split(",") if part.strip()])
        value, scores = parameters.products(inputs, target)
        top = _largest(_ranked(scores, 1 if target.foil is None else 2), self.top)
        effects, together, control = [], [], []
        for row in range(len(inputs)):
            one = slice(row, row + 1)
            without = functools.partial(parameters.without, inputs.rows(one), target.rows(one))
            units = [(list(scores)[layer], unit) for layer, unit in top[row].tolist()]
            speaking = _alike(units, scores, row)
            drawn = _drawn(speaking, units, parameters, self.draws, draws_of(inputs, row, self.seed, self.spec.id))
            effects.append(value[row] - torch.cat([without([unit]) for unit in units]))
            together.append(value[row] - without(speaking))
            control.append(value[row] - torch.cat([torch.zeros(0), *(without(others) for others in drawn)]))
            report(row + 1, len(inputs), "without the top units")
        return WeightScores(
            scores=scores,
            kinds=tuple(parameters.groups[name].kind for name in scores),
            value=value,
            top=top,
            effects=torch.stack(effects),
            together=torch.cat(together),
            control=torch.stack(control),
            target=target.public(target.index),
            foil=target.public(target.foil),
            labels=tuple(target.labels),
            notes=tuple(note for origin in inputs.origins for note in origin.notes),
        )


def _ranked(scores: Mapping[str, Tensor], rows: int) -> list[Tensor]:
    """The absolute scores by layer, without those of a last layer of which nothing but the ``rows`` asked about counts."""
    found = [of.abs() for of in scores.values()]
    if len(found) > 1 and int((found[-1] > 0).sum(1).max()) <= rows:
        found[-1] = found[-1].new_zeros(found[-1].shape)
    return found


def _alike(units: Sequence[Unit], scores: Mapping[str, Tensor], row: int) -> list[Unit]:
    """The units of an example whose scores have the sign of the first one's."""
    own = [float(scores[name][row, unit]) for name, unit in units]
    return [unit for unit, score in zip(units, own, strict=True) if (score > 0) == (own[0] > 0)]


def _largest(scores: Sequence[Tensor], number: int) -> Tensor:
    """Layer and unit of the largest scores of each example, ``[batch, number, 2]``; equals in the network's order."""
    everything = torch.cat(list(scores), 1)
    places = torch.cat(
        [
            torch.stack([torch.full((of.shape[1],), layer), torch.arange(of.shape[1])], 1)
            for layer, of in enumerate(scores)
        ]
    )
    return places[everything.argsort(dim=1, descending=True, stable=True)[:, :number]]


def _drawn(
    units: Sequence[Unit], known: Sequence[Unit], parameters: ParameterUnits, draws: int, source: Generator
) -> list[list[Unit]]:
    """As many units of the same layers as ``units``, none of them ``known``, ``draws`` times; fewer where a layer ends."""
    wanted = Counter(name for name, _ in units)
    others = {
        name: [(name, unit) for unit in range(parameters.groups[name].units) if (name, unit) not in set(known)]
        for name in wanted
    }
    return [
        [others[name][place] for name in wanted for place in _places(len(others[name]), wanted[name], source)]
        for _ in range(draws)
    ]


def _places(total: int, number: int, source: Generator) -> list[int]:
    return torch.randperm(total, generator=source)[:number].tolist()
