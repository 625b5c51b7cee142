"""Prototypes: the examples that stand for a category as the network sees it, and those that they do not explain."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from pellucid.core.annotations import Data
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Decision, Unit
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.dataset import DataSet
from pellucid.engine.proportions import share_interval
from pellucid.engine.prototype_choice import (
    discrepancy,
    greedy_criticisms,
    greedy_medoids,
    greedy_prototypes,
    kernel,
    spread,
    squared_distances,
)
from pellucid.engine.targets import resolve
from pellucid.engine.unit_examples import data_set
from pellucid.engine.units import UnitLayer, layer_at
from pellucid.engine.walking import channel_means
from pellucid.engine.weight_layers import penultimate
from pellucid.results.attribution import named
from pellucid.results.prototypes import PrototypeSet

_MOST = 10_000


@method
class Prototypes:
    """``mmd`` prototypes are those whose kernel density in the feature space of a layer is closest to that of all members
    of a class; criticisms are members where it is furthest from it (kim2016examples).

    ``mean`` chooses the members nearest to the class mean, ``confident`` those the model gives to the class with the highest
    probability, ``medoids`` those to which all members are nearest. Without a layer, features are what the last layer
    reads; maps and sequences are averaged over their places. Members are the examples that the network decides for the
    class, or those of which the ``truth`` says so, or ``all`` of the data; without a target every class has its own
    prototypes, and it is measured how many of the other examples the nearest prototype tells their class.
    """

    spec: ClassVar = Spec(
        id="prototypes",
        title="Prototypes and criticisms",
        question="Which few examples stand for this category, and which do they not explain?",
        scopes={Scope.TRANSLATABILITY, Scope.EXPLAINABILITY},
        dimensions={Dimension.BY_EXAMPLE, Dimension.VISUAL},
        view=View.MODEL,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AFFECTED_PERSON},
        needs={Access.ACTIVATIONS},
        properties={"stochastic"},
        cost="1 F per example of the data",
        references=("kim2016examples", "gretton2012kernel"),
        serves=("B9",),
        caveat=(
            "Prototypes are typical of the data that was given, as this layer sees it, and of the class that the network "
            "gives it: they say what it takes for typical, not why it decides so."
        ),
        alternatives=("sp-lime", "occlusion"),
    )

    choice: Annotated[Literal["mmd", "medoids", "mean", "confident"], "how prototypes are chosen"] = "mmd"
    number: Annotated[int, Ge(1), "how many prototypes each group has"] = 6
    criticisms: Annotated[int, Ge(0), "how many criticisms each group has"] = 3
    members: Annotated[
        Literal["predicted", "all"], "whether a class has the examples that are predicted so, or all of the data"
    ] = "predicted"
    truth: Annotated[Any, Data(), "the true class of each example, by number, instead of the predicted one"] = None
    draws: Annotated[int, Ge(2), "how many random choices stand beside"] = 200
    seed: int = 0

    def __call__(self, subject: Subject, query: Unit) -> PrototypeSet:
        if query.data is None:
            raise UsageError("name data to choose from: Unit(target='Egyptian cat', data=[…])")
        if query.index is not None:
            raise UsageError("prototypes are of a class, not of a unit; leave the index out")
        data = data_set(subject, query.data)
        if len(data) > _MOST:
            raise BadInput(f"{len(data)} examples have more than {_MOST**2:,} distances, which do not fit; take fewer")
        first = data.inputs([0])
        layer = layer_at(subject, first, query.layer or penultimate(subject, first))
        features, classes, confidence = _seen(subject, data, layer, query)
        names, group = self._grouped(subject, query, classes, len(data))
        squared = squared_distances(features)
        parts = [(group == place).nonzero().flatten() for place in range(len(names))]
        chosen, criticised, coverage, widths = [], [], [], []
        for place, members in enumerate(parts):
            own = squared[members][:, members]
            similar, width = kernel(own)
            prototypes = self._chosen(similar, own, features[members], confidence[members])
            chosen.append(members[prototypes])
            criticised.append(members[greedy_criticisms(similar, prototypes, self.criticisms)])
            coverage.append(self._coverage(similar, own, prototypes, place))
            widths.append(width)
        found = [torch.stack(part) for part in zip(*coverage, strict=True)]
        return PrototypeSet(
            layer=layer.name,
            choice=self.choice,
            names=tuple(data.names),
            groups=names,
            prototypes=tuple(chosen),
            criticisms=tuple(criticised),
            group=group,
            confidence=confidence,
            discrepancy=found[0],
            distance=found[1],
            random_discrepancy=found[2],
            random_distance=found[3],
            widths=torch.tensor(widths, dtype=torch.float64),
            **self._told_apart(squared, group, parts, chosen),
            notes=tuple(f"{name} was left out: {reason}" for name, reason in data.failed.items()),
        )

    def _grouped(self, subject: Subject, query: Unit, classes: Tensor, total: int) -> tuple[tuple[str, ...], Tensor]:
        """The names of the groups, and which one each example is in: ``[examples]``, −1 for none."""
        labels, predicted, wanted = subject.task.labels or (), classes[:, 0].contiguous(), classes[:, 1]
        if self.truth is not None:
            predicted = torch.as_tensor(self.truth).flatten().long()
            if len(predicted) != total:
                raise UsageError(f"{len(predicted)} true classes for {total} examples; give one for each")
        if self.members == "all":
            return (named(wanted, 0, labels) if query.target is not None else "all",), torch.zeros_like(wanted)
        if query.target is None:
            present = predicted.unique()
            return tuple(named(present, place, labels) for place in range(len(present))), torch.searchsorted(
                present, predicted
            )
        name = named(wanted, 0, labels)
        inside = predicted == wanted
        if not bool(inside.any()):
            raise NotAnswerable(
                f"none of {total} examples is of {name!r}; give others, or their truth, or members='all'"
            )
        return (name,), torch.where(inside, 0, -1)

    def _chosen(self, similar: Tensor, squared: Tensor, features: Tensor, confidence: Tensor) -> Tensor:
        match self.choice:
            case "mmd":
                return greedy_prototypes(similar, self.number)
            case "medoids":
                return greedy_medoids(squared, self.number)
            case "mean":
                apart = squared_distances(features, features.double().mean(0, keepdim=True))[:, 0]
                return apart.argsort(stable=True)[: self.number]
        return confidence.argsort(descending=True, stable=True)[: self.number]

    def _coverage(self, similar: Tensor, squared: Tensor, chosen: Tensor, place: int) -> tuple[Tensor, ...]:
        """Discrepancy and distance of the prototypes, and of random choices of as many."""
        source = generator(self.seed, self.spec.id, torch.tensor([place]))
        random = [_drawn(len(similar), len(chosen), source) for _ in range(self.draws)]
        apart, far = (
            torch.tensor([measure(matrix, picks) for picks in (chosen, *random)], dtype=torch.float64)
            for measure, matrix in ((discrepancy, similar), (spread, squared))
        )
        return apart[0], far[0], _range(apart[1:]), _range(far[1:])

    def _told_apart(
        self, squared: Tensor, group: Tensor, parts: Sequence[Tensor], chosen: Sequence[Tensor]
    ) -> dict[str, Any]:
        """How many of the other examples the nearest prototype tells their group."""
        if len(parts) < 2 or sum(map(len, chosen)) == int((group >= 0).sum()):
            return {}
        source = generator(self.seed, f"{self.spec.id} apart", torch.empty(0))
        random = []
        for _ in range(self.draws):
            picks = [
                members[_drawn(len(members), len(own), source)] for members, own in zip(parts, chosen, strict=True)
            ]
            random.append(_right(squared, group, picks).double().mean())
        right = _right(squared, group, chosen)
        accuracy = torch.tensor(
            [right.double().mean(), *share_interval(int(right.sum()), len(right))], dtype=torch.float64
        )
        return {"accuracy": accuracy, "random_accuracy": _range(torch.stack(random))}


def _seen(subject: Subject, data: DataSet, layer: UnitLayer, query: Unit) -> tuple[Tensor, Tensor, Tensor]:
    """Features ``[examples, channels]``, the predicted and the asked class ``[examples, 2]``, and the confidence in the
    asked one, which without a target is the predicted one."""
    of = "score" if subject.task.output == "value" else "probability"
    features, classes, confidence = [], [], []
    for number, inputs in data.batches(subject.batch_size(data.inputs([0]))):
        run = subject.run(inputs, capture=(layer.name,))
        features.append(channel_means(layer, run.activations[layer.name], inputs))
        asked, predicted = (
            resolve(subject, inputs, Decision(inputs, target, of=of), run.scores)  # type: ignore[arg-type]
            for target in (query.target, None)
        )
        assert asked.index is not None
        assert predicted.index is not None
        classes.append(torch.stack([predicted.index[:, -1], asked.index[:, -1]], 1))
        confidence.append(asked(run).double())
        report(number + len(inputs), len(data), "features")
    return torch.cat(features), torch.cat(classes), torch.cat(confidence)


def _right(squared: Tensor, group: Tensor, chosen: Sequence[Tensor]) -> Tensor:
    """Of the examples that are not chosen and have a group, whether the nearest chosen one is of their group."""
    every = torch.cat(list(chosen))
    others = group >= 0
    others[every] = False
    nearest = every[squared[others][:, every].argmin(1)]
    return group[nearest] == group[others]


def _drawn(total: int, number: int, source: Generator) -> Tensor:
    return torch.randperm(total, generator=source)[:number]


def _range(values: Tensor) -> Tensor:
    """The mean, and the range that holds 95 % of the values."""
    return torch.stack([values.mean(), *values.quantile(torch.tensor([0.025, 0.975], dtype=values.dtype))])
