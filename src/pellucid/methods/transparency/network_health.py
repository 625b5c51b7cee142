"""Network health: units that do nothing or the same as others, what can go without changing an answer, what layers cost."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt, Le, Lt
from scipy.optimize import linear_sum_assignment
from torch import Generator, Tensor, nn

from pellucid.core.annotations import Data
from pellucid.core.errors import UsageError
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Representation
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.dataset import DataSet
from pellucid.engine.layer_costs import layer_costs, layer_seconds
from pellucid.engine.proportions import share_interval
from pellucid.engine.unit_examples import data_set
from pellucid.engine.unit_health import Effect, Removal, UnitWatch, sensitivities
from pellucid.engine.units import UnitLayer, layers_at
from pellucid.engine.walking import layer_names, walk
from pellucid.results.health_report import HealthReport, LayerHealth

_MANY = 50


@method
class NetworkHealth:
    """Over the data, units of each layer that are constant (lu2020dying), that no score depends on, that lie at an end of
    their range in ``saturated`` of all places, or that repeat another one with a correlation above ``alike``.

    What is constant or unused can be held at a constant, and what repeats another unit can be made of that one: a next
    layer takes both up in its weights (srinivas2015data). That is done to all of them, and what changes is measured. With
    ``spare`` it is also measured how many units of least effect can be held at their means before more than the share
    ``allowed`` of the decisions changes. ``others`` are networks of the same layers, such as from other seeds: their
    figures stand beside, and how well units match one to one (li2016convergent). Without layers all activation functions
    are looked at.
    """

    spec: ClassVar = Spec(
        id="network-health",
        title="Network health",
        question="Which units do nothing or the same as others, which can go, and what do the layers cost?",
        scopes={Scope.TRANSPARENCY, Scope.DECOMPOSABILITY},
        dimensions={Dimension.DECOMPOSABILITY, Dimension.SIMULATABILITY},
        view=View.MODEL,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.ACTIVATIONS, Access.GRADIENTS, Access.WEIGHTS},
        cost="3 F and 1 B per example of the data, 1 F for each layer with units that can go",
        references=("lu2020dying", "srinivas2015data", "li2016convergent"),
        serves=("H4",),
        caveat=(
            "All of it holds for the data that was given: a unit that is silent there may answer to something that it does "
            "not hold, and what can go there need not be missed only elsewhere."
        ),
        alternatives=("sobol", "permutation"),
    )

    alike: Annotated[float, Gt(0), Lt(1), "two units are duplicates above this correlation"] = 0.99
    saturated: Annotated[float, Gt(0), Le(1), "a unit is saturated where so many of its places are at an end"] = 0.95
    places: Annotated[int, Ge(1), "of each example, how many places of a map are compared"] = 64
    spare: Annotated[bool, "also measure how many units of each layer can be held at their means"] = False
    allowed: Annotated[float, Ge(0), Lt(1), "share of decisions that may change where units are spared"] = 0.0
    timed: Annotated[int, Ge(0), "passes over which processor time is measured"] = 3
    others: Annotated[tuple[Subject, ...], Data(), "networks of the same layers to set beside"] = ()

    def __call__(self, subject: Subject, query: Representation) -> HealthReport:
        data = data_set(subject, query.data)
        first = data.inputs([0])
        patterns = query.layers or _activations(subject, first)
        layers = layers_at(subject, first, layer_names(subject, first, patterns))
        if not layers:
            raise UsageError(f"{subject.name} has no activation functions that could be looked at; name layers")
        watches, unused, moved = self._watched(subject, data, layers)
        beside = [self._beside(other, query.data, layers) for other in self.others]
        effect = Effect(subject, data)
        found, removals = [], {}
        for number, (layer, watch) in enumerate(zip(layers, watches, strict=True)):
            removal = self._removal(watch, unused[number])
            if bool(removal.constant.any()) or len(removal.pairs):
                removals[layer.name] = removal
            matched = [
                _matched(watch.rows(), of[0][number].rows(), generator(0, layer.name, torch.empty(0))) for of in beside
            ]
            found.append(self._layer(watch, unused[number], moved[number], removal, effect, matched))
            report(number + 1, len(layers), "health of layers")
        without, changed = _measured(effect, removals)
        costs = layer_costs(subject, first)
        return HealthReport(
            layers=tuple(found),
            examples=len(data),
            without=without,
            changed=changed,
            modules=tuple(cost.name for cost in costs),
            costs=torch.tensor([[cost.parameters, cost.multiply_adds, cost.bytes] for cost in costs]).view(-1, 3),
            seconds=layer_seconds(subject, first, self.timed) if self.timed else {},
            others=tuple(f"{other.name} {place + 1}" for place, other in enumerate(self.others)),
            counts=torch.tensor([of[1] for of in beside]).view(len(beside), len(layers), 4),
            notes=(*_few(data), *(f"{name} was left out: {reason}" for name, reason in data.failed.items())),
        )

    def _watched(
        self, subject: Subject, data: DataSet, layers: Sequence[UnitLayer]
    ) -> tuple[list[UnitWatch], list[Tensor], list[Tensor]]:
        watches = [UnitWatch(layer, self.places, keep=bool(self.others)) for layer in layers]
        walk(subject, data, watches, "activations")
        means = [watch.moments.mean for watch in watches]
        source = generator(0, self.spec.id, torch.empty(0))
        largest, moved = sensitivities(subject, data, layers, means, source)
        unused = [(slope == 0) & ~watch.silent() for slope, watch in zip(largest, watches, strict=True)]
        return watches, unused, moved

    def _beside(
        self, other: Subject, data: Any, layers: Sequence[UnitLayer]
    ) -> tuple[list[UnitWatch], list[list[int]]]:
        """What another network does in layers of the same names, and its counts by layer."""
        seen = data_set(other, data)
        own = layers_at(other, seen.inputs([0]), [layer.name for layer in layers])
        watches, unused, _ = self._watched(other, seen, own)
        counts = [
            [
                int(watch.silent().sum()),
                int(idle.sum()),
                len(self._saturated(watch)),
                len(watch.duplicates(self.alike)[0]),
            ]
            for watch, idle in zip(watches, unused, strict=True)
        ]
        return watches, counts

    def _saturated(self, watch: UnitWatch) -> Tensor:
        return ((watch.saturated() > self.saturated) & ~watch.silent()).nonzero().flatten()

    def _removal(self, watch: UnitWatch, unused: Tensor) -> Removal:
        pairs, _, fit = watch.duplicates(self.alike)
        constant = watch.silent() | unused
        constant[pairs[:, 0]] = False
        value = torch.where(watch.silent(), watch.highest.double(), watch.moments.mean)
        return Removal(watch.layer, constant, value, pairs, fit)

    def _layer(
        self, watch: UnitWatch, unused: Tensor, moved: Tensor, removal: Removal, effect: Effect, matched: list[Tensor]
    ) -> LayerHealth:
        layer, silent = watch.layer, watch.silent()
        pairs, correlations, _ = watch.duplicates(self.alike)
        without, changed = _measured(
            effect, {layer.name: removal} if bool(removal.constant.any()) or len(pairs) else {}
        )
        order = moved.masked_fill(silent | unused, -1.0).argsort(stable=True)
        return LayerHealth(
            name=layer.name,
            kind=layer.kind,
            units=layer.channels,
            silent=silent.nonzero().flatten(),
            unused=unused.nonzero().flatten(),
            saturated=self._saturated(watch),
            duplicates=pairs,
            correlations=correlations,
            without=without,
            changed=changed,
            spare=self._spare(layer, order, watch.moments.mean, effect) if self.spare else None,
            matched=torch.stack(matched) if matched else torch.zeros(0, 2, dtype=torch.float64),
        )

    def _spare(self, layer: UnitLayer, order: Tensor, means: Tensor, effect: Effect) -> int:
        """How many of the first units in an order can be held at their means, found by halving."""
        nothing = torch.zeros(0, 2, dtype=torch.long)
        enough, most = 0, len(order)
        while enough < most:
            tried = (enough + most + 1) // 2
            held = torch.zeros(len(order), dtype=torch.bool)
            held[order[:tried]] = True
            _, other = effect({layer.name: Removal(layer, held, means, nothing, nothing.double())})
            if float(other.double().mean()) <= self.allowed:
                enough = tried
            else:
                most = tried - 1
        return enough


def _activations(subject: Subject, inputs: Inputs) -> list[str]:
    """The activation functions of a network, every call of them; where there are none its layers with weights."""
    names = set(nn.modules.activation.__all__) - {"MultiheadAttention", "Softmax", "LogSoftmax", "Softmin", "Softmax2d"}
    known = [layer for layer in subject.layers(inputs) if layer.shape]
    chosen = [layer for layer in known if layer.kind.removesuffix("Activation") in names]
    chosen = chosen or [layer for layer in known if layer.kind.startswith(("Linear", "Conv"))]
    return [f"{layer.name}#{call}" if call else layer.name for layer in chosen for call in range(layer.calls)]


def _few(data: DataSet) -> tuple[str, ...]:
    few = f"{len(data)} examples are few: units that others would excite, or tell apart, count as silent or duplicate."
    return (few,) if len(data) < _MANY else ()


def _measured(effect: Effect, removals: dict[str, Removal]) -> tuple[float, Tensor]:
    """The largest change where units are removed, and the share of decisions that change with its interval."""
    without, other = effect(removals)  # type: ignore[arg-type]
    share, bounds = float(other.double().mean()), share_interval(int(other.sum()), len(other))
    return without, torch.tensor([share, *bounds], dtype=torch.float64)


def _matched(rows: Tensor, others: Tensor, source: Generator) -> Tensor:
    """The mean absolute correlation of units matched one to one with another network's, and the same where the rows of one
    are shuffled: ``[2]``."""
    if len(rows) != len(others):
        raise UsageError("the others' layers have maps of another size; give networks of the same architecture")
    own, theirs = (_standardised(part) for part in (rows, others))
    shuffled = theirs[torch.randperm(len(theirs), generator=source)]
    found = []
    for part in (theirs, shuffled):
        correlation = (own.T @ part / max(len(own), 1)).abs().numpy()
        found.append(
            float(correlation[linear_sum_assignment(correlation, maximize=True)].mean()) if correlation.size else 0.0
        )
    return torch.tensor(found, dtype=torch.float64)


def _standardised(rows: Tensor) -> Tensor:
    """Columns with mean 0 and deviation 1, without those that are constant."""
    centred = rows.double() - rows.double().mean(0)
    deviation = centred.square().mean(0).sqrt()
    return centred[:, deviation > 0] / deviation[deviation > 0]
