"""Activation maximisation: the input of bounded norm that excites a unit most, from several starts."""

import dataclasses
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.method import method
from pellucid.core.query import Unit
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.canvases import Pixels
from pellucid.engine.drawing_units import shape_of, told
from pellucid.engine.feasible import Constraint, Feasible, feasible
from pellucid.engine.optimize import Penalty, ascend, power_norm, total_variation
from pellucid.engine.picture_evidence import agreement, over_data
from pellucid.engine.pre_activations import pre_activation
from pellucid.engine.units import Objective, Units, layer_at, objective_of
from pellucid.results.feature_images import AGREEMENT, FeatureImages

MEDIAN, BROUGHT = "median cosine of two starts", "maximum over the data brought to the same set"


@method
class ActivationMaximization:
    """argmax h(x) over all x of norm ρ, by projected gradient ascent from ``starts`` random inputs (erhan2009visualizing).

    ρ is ``norm``, or else the mean norm of the data. A step goes along the gradient by ``rate`` · ρ, and is halved where the
    gradient turns back. A unit that a sigmoid or a hyperbolic tangent squeezes is asked before it, where it does not
    saturate. Without an index every unit of the layer is drawn. Where the optima of all starts are one (the median cosine
    of each two is near 1), the picture is what the unit looks for; else it is one answer of several.

    Inputs may also lie in the ball, or in the box of the values that an input can take (0 to 1 where the task does not
    say), or anywhere; ``penalty`` · Σ x² and ``smoothness`` · Σ (differences of neighbours)² are subtracted.
    """

    spec: ClassVar = Spec(
        id="activation-maximization",
        title="Activation maximisation",
        question="Which input of a given norm excites this unit most, and do all starts agree on it?",
        scopes={Scope.TRANSPARENCY, Scope.DECOMPOSABILITY},
        dimensions={Dimension.DECOMPOSABILITY, Dimension.VISUAL},
        view=View.MODEL,
        askers={Asker.DEVELOPER},
        needs={Access.GRADIENTS, Access.ACTIVATIONS},
        modalities={Modality.IMAGE, Modality.TENSOR, Modality.TABULAR},
        properties={"stochastic"},
        cost="starts × steps B per unit (900 by default), and 1 F per example of the data",
        references=("erhan2009visualizing",),
        serves=("B1",),
        caveat=(
            "Nothing keeps the input near the data: of a deep unit it is often a pattern that no picture holds. The norm "
            "decides how far from zero one looks, and another may show another pattern."
        ),
        alternatives=("what-if", "response"),
    )

    norm: Annotated[float | None, Gt(0), "ρ; without one the mean norm of the data, or of the task's example"] = None
    starts: Annotated[int, Ge(1), "how many random inputs the ascent starts from"] = 9
    steps: Annotated[int, Ge(1), "of each ascent"] = 100
    rate: Annotated[float, Gt(0), Le(1), "the first step: a share of ρ, or of the width of the box"] = 0.1
    constraint: Annotated[Constraint, "where inputs may lie"] = "sphere"
    penalty: Annotated[float, Ge(0), "weight of Σ x², which is subtracted"] = 0.0
    smoothness: Annotated[float, Ge(0), "weight of the squared differences of neighbours, which are subtracted"] = 0.0
    shown: Annotated[int, Ge(1), "how many of a unit's optima are shown, best first"] = 1
    seed: int = 0

    def __call__(self, subject: Subject, query: Unit) -> FeatureImages:
        one = shape_of(subject, query)
        data = None if query.data is None else subject.prepare(query.data)
        allowed = feasible(subject, one if data is None else data, self.constraint, self.norm)
        starts = self._starts(one, allowed)
        objective, names, notes = self._asked(subject, one, starts, query)
        inputs = one.rows(torch.zeros(len(names) * self.starts, dtype=torch.long))
        course = ascend(
            subject,
            inputs,
            objective,
            Pixels(starts.repeat(len(names), *[1] * (starts.ndim - 1))),
            steps=self.steps,
            rule=allowed.rule(self.rate),
            penalties=self._penalties(starts),
            after=[lambda leaf, moment: allowed.nearest(leaf)],
            label=self.spec.id,
        )
        ranks = course.values.view(-1, self.starts).argsort(dim=1, descending=True, stable=True)[:, : self.shown]
        rows = (ranks + self.starts * torch.arange(len(names))[:, None]).flatten()
        found = told(
            subject,
            query,
            inputs.rows(rows),
            objective.rows(rows),
            course.rows(rows),
            [name for name in names for _ in range(ranks.shape[1])],
            [f"start {number + 1}" for number in ranks.flatten().tolist()],
            notes=notes,
        )
        optima = course.images.unflatten(0, (len(names), self.starts))
        known = {AGREEMENT: torch.cat([agreement(of_unit, ["same"] * self.starts) for of_unit in optima])[rows]}
        known[MEDIAN] = median_cosine(optima)[rows // self.starts]
        if data is not None and self.constraint != "none":
            brought = data.at(allowed.nearest(data.value))
            largest = over_data(subject, brought, objective, range(0, len(inputs), self.starts)).amax(0)
            known[BROUGHT] = largest[rows // self.starts]
        return dataclasses.replace(found, evidence={**found.evidence, **known})

    def _starts(self, inputs: Inputs, allowed: Feasible) -> Tensor:
        """``[starts, …point]``, the same ones for every unit."""
        shape = inputs.value.shape[1:]
        draws = [generator(self.seed, self.spec.id, torch.tensor(number)) for number in range(self.starts)]
        return torch.cat([allowed.at_random(shape, one) for one in draws]).to(inputs.value)

    def _asked(
        self, subject: Subject, inputs: Inputs, starts: Tensor, query: Unit
    ) -> tuple[Objective, tuple[str, ...], tuple[str, ...]]:
        """What is asked of units × starts rows, the names of the units, and notes."""
        probes = inputs.rows(torch.zeros(len(starts), dtype=torch.long), starts)
        if query.target is not None:
            objective, name = objective_of(subject, probes, query)
            return objective, (name,), ()
        if query.layer is None:
            raise UsageError(
                "name a layer and a unit, as in Unit('layers.2', 5), or a class; without an index all units"
            )
        before = pre_activation(subject, probes, query.layer)
        layer = layer_at(subject, inputs, before)
        index = layer.chosen(query.index)
        notes = () if before == query.layer else (f"Asked at {before!r}, which {query.layer!r} squeezes.",)
        units = Units(layer, tuple(unit for unit in index for _ in range(self.starts)))
        return units, tuple(layer.named(unit) for unit in index), notes

    def _penalties(self, starts: Tensor) -> list[Penalty]:
        if self.smoothness and starts.ndim < 4:
            raise UsageError(
                f"an input of shape {tuple(starts.shape[1:])} has no neighbouring pixels; leave smoothness out"
            )
        found: list[Penalty] = []
        if self.penalty:
            found.append(lambda point: self.penalty * power_norm(point))
        if self.smoothness:
            found.append(lambda point: self.smoothness * total_variation(point))
        return found


def median_cosine(optima: Tensor) -> Tensor:
    """The median cosine of each two optima of a unit, ``[units]`` of ``[units, starts, …point]``; NaN for a single start."""
    rows = torch.nn.functional.normalize(optima.double().flatten(2), dim=2)
    first, second = torch.triu_indices(rows.shape[1], rows.shape[1], offset=1)
    cosines = (rows[:, first] * rows[:, second]).sum(2)
    return cosines.median(1).values if cosines.shape[1] else torch.full((len(rows),), torch.nan, dtype=torch.float64)
