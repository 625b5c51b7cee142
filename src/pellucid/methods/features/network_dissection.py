"""Network dissection: labels for the units of a layer, where masks say where concepts are in the pictures."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt, Lt
from scipy.stats import false_discovery_control
from torch import Tensor

from pellucid.core.annotations import Data
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Unit
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.concept_masks import concept_masks
from pellucid.engine.dataset import DataSet
from pellucid.engine.overlaps import LargestShare, Overlaps, enlarged_maps
from pellucid.engine.unit_examples import data_set
from pellucid.engine.units import UnitLayer, layer_at
from pellucid.results.unit_labels import UnitLabels

_MOST = 100_000_000


@method
class NetworkDissection:
    """A unit is active where its map, enlarged to the masks, exceeds what only a ``share`` of its values exceed; its label
    is the concept with the largest intersection over union, where that is above ``least`` (bau2017network).

    Masks that are dealt to other pictures at random ``draws`` times show how large a ratio chance gives to the best of all
    concepts. The thresholds are exact.
    """

    spec: ClassVar = Spec(
        id="network-dissection",
        title="Network dissection",
        question="Which human concepts do the units of this layer detect, where masks say where those are?",
        scopes={Scope.DECOMPOSABILITY, Scope.TRANSLATABILITY},
        dimensions={Dimension.DECOMPOSABILITY, Dimension.TEXTUAL, Dimension.VISUAL},
        view=View.MODEL,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.ACTIVATIONS},
        modalities={Modality.IMAGE},
        cost="2 F per example of the data",
        references=("bau2017network", "benjamini1995controlling"),
        serves=("B3",),
        caveat=(
            "A label is the best of the concepts that were given: what a unit truly detects may have no mask. Units without "
            "a label may matter all the same, and a unit's weaker responses are not looked at."
        ),
        alternatives=("occlusion", "sobol"),
    )

    concepts: Annotated[Mapping[str, Any], Data(), "masks by concept: arrays, lists of picture files or folders"]
    share: Annotated[float, Gt(0), Lt(1), "of all values of a unit, the largest so many count as active"] = 0.005
    least: Annotated[float, Ge(0), Lt(1), "the intersection over union above which a unit is labelled"] = 0.04
    side: Annotated[int, Ge(2), "places per side of the grid on which maps and masks are compared, at most"] = 56
    draws: Annotated[int, Ge(1), "how often masks are dealt to other pictures"] = 499
    shown: Annotated[int, Ge(1), "how many labelled units are shown with their strongest examples"] = 8

    def __call__(self, subject: Subject, query: Unit) -> UnitLabels:
        if query.layer is None or query.data is None:
            raise UsageError("name a layer and the data that the masks belong to: Unit('blocks.3', data=[…])")
        if query.target is not None:
            raise UsageError("concepts say what is looked for; leave the target out")
        data = data_set(subject, query.data)
        if data.failed:
            name, reason = next(iter(data.failed.items()))
            raise BadInput(f"{name} cannot be read, so masks and pictures would not fit ({reason}); take both out")
        layer = layer_at(subject, data.inputs([0]), query.layer)
        if len(layer.extent) != 2:
            raise NotAnswerable(f"layer {layer.name!r} has no maps but {layer.shape}; name a layer with places")
        units = torch.arange(layer.channels) if query.index is None else torch.tensor([_channel(layer, query.index)])
        masks = concept_masks(self.concepts, len(data), self.side)
        thresholds, peaks = self._thresholds(subject, data, layer, units)
        active = self._active(subject, data, layer, units, thresholds, tuple(masks.shape[2:]))
        overlaps = Overlaps(active, len(units), masks.flatten(2))
        ratios = overlaps.ratios()
        p_values = self._p_values(overlaps, ratios)
        order = ratios.amax(1).argsort(descending=True, stable=True)
        shown = [place for place in order.tolist() if ratios[place].amax() > self.least][: self.shown]
        examples = peaks[:, shown].topk(min(5, len(data)), 0).indices.T
        return UnitLabels(
            layer=layer.name,
            units=units,
            concepts=tuple(self.concepts),
            ratios=ratios,
            thresholds=thresholds,
            p_values=p_values,
            false_discovery=_corrected(p_values, ratios.amax(1) > self.least),
            least=self.least,
            areas=masks.flatten(1).double().mean(1),
            peaks=peaks,
            names=tuple(data.names),
            shown=torch.tensor(shown, dtype=torch.long),
            examples=examples,
            maps=_maps(active, shown, examples, len(data), tuple(masks.shape[2:])),
        )

    def _thresholds(self, subject: Subject, data: DataSet, layer: UnitLayer, units: Tensor) -> tuple[Tensor, Tensor]:
        found = LargestShare(len(units), self.share, len(data) * layer.extent[0] * layer.extent[1])
        peaks = []
        for places in _passed(subject, data, layer, units, "thresholds"):
            found.add(places.movedim(1, 0).flatten(1))
            peaks.append(places.amax(2))
        return found.threshold(), torch.cat(peaks)

    def _active(
        self,
        subject: Subject,
        data: DataSet,
        layer: UnitLayer,
        units: Tensor,
        thresholds: Tensor,
        shape: tuple[int, ...],
    ) -> Tensor:
        """Codes of the places where the enlarged maps are above the thresholds: see :class:`Overlaps`."""
        codes, first = [], 0
        places = shape[0] * shape[1]
        for found in _passed(subject, data, layer, units, "active places"):
            above = enlarged_maps(found, layer.extent, shape) > thresholds[:, None]
            row, unit, place = above.nonzero(as_tuple=True)
            codes.append((unit * len(data) + first + row) * places + place)
            first += len(found)
            if sum(map(len, codes)) > _MOST:
                raise BadInput(f"more than {_MOST:,} places are active; take fewer examples or a smaller side")
        return torch.cat(codes).sort().values

    def _p_values(self, overlaps: Overlaps, ratios: Tensor) -> Tensor:
        best = ratios.amax(1)
        found = torch.ones_like(best)
        labelled = (best > self.least).nonzero().flatten().tolist()
        for number, place in enumerate(labelled):
            source = generator(0, self.spec.id, torch.tensor([place]))
            reached = overlaps.by_chance(place, self.draws, source) >= best[place] - 1e-12
            found[place] = (1 + int(reached.sum())) / (1 + self.draws)
            report(number + 1, len(labelled), "labels by chance")
        return found


def _passed(subject: Subject, data: DataSet, layer: UnitLayer, units: Tensor, what: str) -> Any:
    """The maps of the units for each batch, ``[batch, units, places]``, float32."""
    for first, inputs in data.batches(subject.batch_size(data.inputs([0]))):
        run = subject.run(inputs, capture=(layer.name,), partial=True)
        yield layer.places(run.activations[layer.name]).float().cpu()[:, units]
        report(first + len(inputs), len(data), what)


def _channel(layer: UnitLayer, index: Any) -> int:
    checked = layer.check(index)
    if not isinstance(checked, int):
        raise UsageError(f"units are labelled by their whole map; name a channel of {layer.name!r}, not {index}")
    return checked


def _corrected(p_values: Tensor, labelled: Tensor) -> Tensor:
    """False discovery rates of the labels (benjamini1995controlling)."""
    found = p_values.clone()
    if bool(labelled.any()):
        found[labelled] = torch.from_numpy(false_discovery_control(p_values[labelled].numpy()))
    return found


def _maps(active: Tensor, shown: list[int], examples: Tensor, total: int, shape: tuple[int, ...]) -> Tensor:
    """Where the shown units are active in their strongest examples, ``[shown, examples, height, width]``."""
    places = shape[0] * shape[1]
    found = torch.zeros(len(shown), examples.shape[1], places, dtype=torch.bool)
    for number, (unit, rows) in enumerate(zip(shown, examples.tolist(), strict=True)):
        for rank, row in enumerate(rows):
            start = (unit * total + row) * places
            low, high = torch.searchsorted(active, torch.tensor([start, start + places])).tolist()
            found[number, rank, active[low:high] - start] = True
    return found.view(*found.shape[:2], *shape)
