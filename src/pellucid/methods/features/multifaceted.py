"""Multifaceted feature visualisation: one picture for each of the kinds of input that a unit responds to."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import interpolate

from pellucid.core.annotations import Data
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Unit
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.dataset import DataSet
from pellucid.engine.drawing_units import blank, bounds_of, told
from pellucid.engine.facet_ascent import Schedule, Start, ascent_from
from pellucid.engine.facets import Facets, facets_of
from pellucid.engine.optimize import Course
from pellucid.engine.picture_evidence import agreement
from pellucid.engine.targets import Objective, Predicted, Target
from pellucid.engine.unit_examples import data_set, left_out
from pellucid.engine.units import Over, UnitLayer, layer_at, objective_of
from pellucid.engine.walking import channel_means
from pellucid.engine.weight_layers import penultimate
from pellucid.results.feature_images import AGREEMENT, FeatureImages


@method
class Multifaceted:
    """The examples that excite a unit are grouped into facets by their codes, and each facet has a picture: an ascent that
    starts at the mean of the examples nearest to its middle (nguyen2016multifaceted).

    Of a class these are the examples that the network decides so; of a unit those not below its mean response over the data;
    the strongest ``examples`` of them. Codes are what the last layer reads, averaged over places, or those of another
    layer, or the ``"input"`` itself. They are mapped by principal components and t-SNE and grouped by k-means: the
    silhouette decides how many groups there are, and groups between which the codes do not thin out are put together. A
    picture's agreement is with those that start at the means of other examples of its facet.
    """

    spec: ClassVar = Spec(
        id="multifaceted",
        title="Multifaceted feature visualisation",
        question="Which different kinds of input does this unit respond to, and what does each look like?",
        scopes={Scope.TRANSPARENCY, Scope.DECOMPOSABILITY},
        dimensions={Dimension.VISUAL, Dimension.DECOMPOSABILITY, Dimension.BY_EXAMPLE},
        view=View.MODEL,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.GRADIENTS, Access.ACTIVATIONS, Access.WEIGHTS},
        modalities={Modality.IMAGE, Modality.TENSOR, Modality.TABULAR},
        properties={"stochastic"},
        cost="1 F per example of the data, and 60 B for each of 3 starts per facet",
        references=("nguyen2016multifaceted", "vandermaaten2008visualizing", "rousseeuw1987silhouettes"),
        serves=("B6",),
        caveat=(
            "Facets are those of the data that was given, as the codes tell them apart: a kind of input that the data lacks "
            "has no facet, and few examples show none. The start decides which facet a picture shows."
        ),
        alternatives=("prototypes", "what-if"),
    )

    facets: Annotated[int | None, Ge(1), "how many facets; by default as many as the codes tell apart"] = None
    codes: Annotated[str | None, "the layer of the codes, or 'input'; by default the one that the last layer reads"] = (
        None
    )
    examples: Annotated[int, Ge(2), "how many of the examples that excite the unit are grouped, strongest first"] = 300
    nearest: Annotated[int, Ge(1), "how many examples make the mean that an ascent starts from"] = 15
    start: Annotated[Start, "the mean as it is, or its centre alone, where the ascent then stays"] = "mean"
    schedule: Annotated[Schedule, "a short ascent by the spectrum, or the octaves of the paper"] = "fast"
    steps: Annotated[int | None, Ge(1), "how many steps; by default 60, of the octaves 370"] = None
    starts: Annotated[int, Ge(1), "how many pictures of a facet are compared, of which the first is shown"] = 3
    size: Annotated[
        int | None, Ge(8), "the side of the pictures in pixels; by default the network's own, at most 128"
    ] = None
    over: Annotated[Over, "how the places of a channel are taken together"] = "mean"
    second: Annotated[Subject | None, Data(), "another network with the same classes, asked about the pictures"] = None
    seed: Annotated[int, "of the map, the groups and the starts"] = 0

    def __call__(self, subject: Subject, query: Unit) -> FeatureImages:
        if query.data is None:
            raise UsageError("name data to find facets in: Unit('blocks.3', 5, data=[…])")
        data = data_set(subject, query.data)
        objective, name = objective_of(subject, data.inputs([0]), query, self.over)
        codes, values, own, where = self._seen(subject, data, objective)
        chosen = self._chosen(values, own, name)
        facets = facets_of(codes[chosen], self.facets, self.seed)
        everything = data.inputs(range(len(data)))
        course, inputs, notes = self._drawn(subject, query, objective, everything.rows(chosen), facets)
        first = torch.arange(len(facets)) * self.starts
        result = told(
            subject,
            dataclasses.replace(query, data=everything),
            inputs.rows(first),
            objective.rows(torch.zeros(len(first), dtype=torch.long)),
            course.rows(first),
            (name,) * len(facets),
            [f"facet {n + 1} ({len(facets.examples(n))} examples)" for n in range(len(facets))],
            self.second,
            (*left_out(data), *notes, *_said(facets, where, len(chosen), len(data))),
        )
        members = [[data.names[row] for row in chosen[facets.examples(n)].tolist()] for n in range(len(facets))]
        return dataclasses.replace(
            result,
            evidence={**result.evidence, **self._agreement(course, len(facets))},
            members=tuple(map(tuple, members)),
        )

    def _seen(self, subject: Subject, data: DataSet, objective: Objective) -> tuple[Tensor, Tensor, Tensor | None, str]:
        """Codes ``[examples, …]``, the unit's values, whether each example is of the class if it is one, and a name for
        what the codes are."""
        layer, where = self._layer(subject, data)
        classes = isinstance(objective, Target) and subject.task.output != "value"
        capture = tuple(dict.fromkeys((*objective.capture, *((layer.name,) if layer else ()))))
        codes, values, own = [], [], []
        for number, inputs in data.batches(subject.batch_size(data.inputs([0]))):
            run = subject.run(inputs, capture=capture, partial=bool(objective.capture))
            asked = objective.rows(torch.zeros(len(inputs), dtype=torch.long))
            values.append(asked(run).double().cpu())
            codes.append(inputs.value if layer is None else channel_means(layer, run.activations[layer.name], inputs))
            if classes:
                assert isinstance(asked, Target)
                own.append(Predicted(asked)(run).cpu())
            report(number + len(inputs), len(data), "codes")
        return torch.cat(codes), torch.cat(values), torch.cat(own) if classes else None, where

    def _layer(self, subject: Subject, data: DataSet) -> tuple[UnitLayer | None, str]:
        if self.codes == "input":
            return None, "the input itself"
        first = data.inputs([0])
        if self.codes is not None:
            return layer_at(subject, first, self.codes), f"layer {self.codes!r}"
        try:
            name = penultimate(subject, first)
        except NotAnswerable:
            return None, "the input itself, as no layer below the last one is known"
        return layer_at(subject, first, name), f"layer {name!r}, which the last layer reads"

    def _chosen(self, values: Tensor, own: Tensor | None, name: str) -> Tensor:
        """The numbers of the examples that excite the unit, strongest first."""
        excites = values >= values.mean().clamp(max=values.max()) if own is None else own
        found = values.argsort(descending=True, stable=True)
        found = found[excites[found]][: self.examples]
        if not len(found):
            raise NotAnswerable(f"the network decides for none of the data that they are of {name}; give others")
        return found

    def _drawn(
        self, subject: Subject, query: Unit, objective: Objective, examples: Inputs, facets: Facets
    ) -> tuple[Course, Inputs, tuple[str, ...]]:
        """An ascent from each start of each facet, ``[facets · starts]``."""
        inputs, notes = blank(subject, query, len(facets) * self.starts, self.size)
        means = torch.cat([self._means(examples.value, facets.examples(n)) for n in range(len(facets))])
        if means.ndim == 4 and means.shape[2:] != inputs.value.shape[2:]:
            means = interpolate(means, inputs.value.shape[2:], mode="bilinear", antialias=True)
        course = ascent_from(
            subject,
            inputs,
            objective.rows(torch.zeros(len(means), dtype=torch.long)),
            means,
            bounds=bounds_of(subject, inputs),
            spread=float(examples.value.double().std()) if examples.value.numel() > 1 else 0.0,
            start=self.start,
            schedule=self.schedule,
            steps=self.steps,
            seed=self.seed,
            label=self.spec.id,
        )
        return course, inputs, notes

    def _means(self, values: Tensor, members: Tensor) -> Tensor:
        """The mean of the members nearest to the middle, and of others that are drawn at random."""
        groups = [members[: self.nearest]]
        source = generator(self.seed, self.spec.id, members)
        few = min(self.nearest, (len(members) + 1) // 2)
        groups += [members[torch.randperm(len(members), generator=source)[:few]] for _ in range(self.starts - 1)]
        return torch.stack([values[group].mean(0) for group in groups])

    def _agreement(self, course: Course, facets: int) -> dict[str, Tensor]:
        if self.starts < 2:
            return {AGREEMENT: torch.full((facets,), torch.nan, dtype=torch.float64)}
        names = [str(n) for n in range(facets) for _ in range(self.starts)]
        return {AGREEMENT: agreement(course.images, names)[:: self.starts]}


def _said(facets: Facets, where: str, chosen: int, total: int) -> Sequence[str]:
    """How the facets were found."""
    found = [f"Facets of the {chosen} examples, of {total}, that excite it, by the codes of {where}."]
    tried = ", ".join(f"{count} {value:.2f}" for count, value in facets.silhouettes.items())
    if tried:
        apart = ", ".join(f"{count} {left}" for count, left in facets.apart.items())
        found.append(f"Silhouettes of groups in the map, by their number: {tried}.")
        found.append(f"Facets left where groups without a valley between them are put together: {apart}.")
    if len(facets) > 1 and max(facets.apart.values(), default=1) == 1:
        found.append("These facets are not apart: as many examples lie between them as around them.")
    if not tried and len(facets) == 1:
        found.append("Too few different examples to tell facets apart; give more data.")
    return found
