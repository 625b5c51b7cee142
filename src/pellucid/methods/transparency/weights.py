"""Weights as pictures: the filters, the weight map or the table of embeddings of one layer, with what their numbers say."""

import dataclasses
import math
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from pellucid.core.errors import NotAnswerable, UsageError, nearest
from pellucid.core.method import method
from pellucid.core.query import Unit
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.targets import class_index
from pellucid.engine.weight_layers import WeightLayer, batch_norm_factor, first_reader, weight_layer, weight_layers
from pellucid.engine.weight_rows import alike, by_likeness, effective_rank, principal, unit_rows
from pellucid.results.weight_maps import WeightMaps, no_pairs

_COMPARED = 8192


@method
class Weights:
    """What the parameters of a layer themselves show (krizhevsky2012imagenet); data only tell the shape of an input, where
    the task does not.

    Filters that read the network's input are shown on its own scale, the colours of a first layer together; of a deeper
    convolution, for every unit, the ``slices`` of input channels with the largest norms, or for one unit all of its inputs;
    linear layers are maps whose rows and columns are ordered so that similar ones are neighbours; tables of embeddings
    lie on their two principal axes, of one row (``index`` or ``token``) with its nearest neighbours by cosine.

    A unit is ``dead`` where its norm is below that share of the median norm, and two are duplicates where the cosine of their
    weights is above ``alike``. The effective rank is that of all units' rows (roy2007effective).
    """

    spec: ClassVar = Spec(
        id="weights",
        title="Weights as pictures",
        question="What do the weights of this layer look like, and which of its units are dead or double?",
        scopes={Scope.TRANSPARENCY, Scope.DECOMPOSABILITY},
        dimensions={Dimension.VISUAL, Dimension.DECOMPOSABILITY},
        view=View.MODEL,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.WEIGHTS},
        cost="none: no pass over data",
        references=("krizhevsky2012imagenet", "roy2007effective"),
        serves=("B12",),
        caveat=(
            "Only weights that read the input can be understood by themselves: a deeper filter reads channels whose meaning "
            "the picture does not show. Large weights matter little where their inputs are small."
        ),
        alternatives=("permutation", "response"),
    )

    slices: Annotated[int, Ge(1), "of a deeper filter, how many of its input channels are shown"] = 4
    neighbours: Annotated[int, Ge(1), "how many nearest rows of a table of embeddings are shown"] = 12
    token: Annotated[str | None, "the row of a table of embeddings to look at, by its name"] = None
    fold: Annotated[bool, "multiply the weights with the batch norm that follows"] = False
    dead: Annotated[float, Ge(0), Lt(1), "a unit is dead below this share of the median norm"] = 1e-3
    alike: Annotated[float, Gt(0), Lt(1), "two units are duplicates above this cosine"] = 0.99

    def __call__(self, subject: Subject, query: Unit) -> WeightMaps:
        inputs = subject.task.example() if query.data is None else subject.prepare(query.data)
        layer = weight_layer(subject, query.layer if query.target is None else _last_name(subject))
        if self.fold:
            factor = batch_norm_factor(subject, layer.name, inputs).view(-1, *[1] * (layer.weight.ndim - 1))
            layer = dataclasses.replace(layer, weight=layer.weight * factor)
        names = _names(subject, layer)
        index = self._index(layer, query, names)
        return WeightMaps(
            layer=layer.name,
            kind=layer.kind,
            names=names,
            **self._numbers(layer),
            **self._pictures(layer, index, first_reader(subject, layer, inputs)),
        )

    def _index(self, layer: WeightLayer, query: Unit, names: tuple[str, ...]) -> int | None:
        if query.target is not None and (query.layer is not None or query.index is not None):
            raise UsageError("a unit is either a class (target) or in a layer (layer, index); leave one of them out")
        if self.token is not None and (query.index is not None or query.target is not None):
            raise UsageError("name one row: by its index, by its class or as a token")
        if query.target is not None:
            return class_index(str(query.target), names) if names else layer.check(query.target)
        if self.token is None:
            return None if query.index is None else layer.check(query.index)
        if not names:
            raise NotAnswerable(f"the rows of {layer.name!r} have no names; ask by index")
        if self.token not in names:
            raise UsageError(f"there is no token {self.token!r}; {nearest(self.token, names)}")
        return names.index(self.token)

    def _numbers(self, layer: WeightLayer) -> dict[str, Any]:
        rows = layer.rows
        norms = rows.norm(dim=1)
        pairs, cosines = alike(rows, self.alike) if len(rows) <= _COMPARED else no_pairs()
        facts = {"parameters": float(rows.numel()), "effective rank": effective_rank(rows)}
        facts["largest possible rank"] = float(min(rows.shape))
        notes = () if len(rows) <= _COMPARED else (f"Duplicates are not looked for among {len(rows)} rows.",)
        return {
            "measures": {"norm": norms, "mean": rows.mean(1), "largest": rows.abs().amax(1)},
            "facts": facts,
            "dead": (norms <= self.dead * norms.median()).nonzero().flatten(),
            "duplicates": pairs,
            "cosines": cosines,
            "notes": notes,
        }

    def _pictures(self, layer: WeightLayer, index: int | None, seen: tuple[int, ...] | None) -> dict[str, Any]:
        chosen = torch.arange(len(layer.weight)) if index is None else torch.tensor([index])
        if layer.kind == "Embedding":
            return self._points(layer, index)
        if seen is not None and seen[0] == 3:
            return {"form": "colour", "maps": layer.weight[chosen].reshape(-1, *seen), "shown": chosen}
        if seen is not None:
            return self._slices(layer, layer.weight.reshape(-1, *seen), chosen, everything=True)
        match layer.weight.ndim:
            case 2:
                return _matrix(layer.weight, chosen)
            case 3:  # one picture per filter: its input channels over its positions
                maps = layer.weight[chosen][:, None]
                return {"form": "slices", "maps": maps, "shown": chosen, "inputs": -torch.ones(len(chosen), 1).long()}
            case 4 if math.prod(layer.weight.shape[2:]) == 1:
                return _matrix(layer.weight.flatten(1), chosen)
            case 4:
                return self._slices(layer, layer.weight, chosen, everything=index is not None)
        raise NotAnswerable(f"weights of shape {tuple(layer.weight.shape)} of layer {layer.name!r} are no pictures")

    def _slices(self, layer: WeightLayer, maps: Tensor, chosen: Tensor, everything: bool) -> dict[str, Any]:
        number = maps.shape[1] if everything else min(self.slices, maps.shape[1])
        order = maps[chosen].flatten(2).norm(dim=2).argsort(dim=1, descending=True, stable=True)[:, :number]
        if len(maps[0]) == layer.weight.shape[1]:
            inputs = torch.stack(
                [layer.input_numbers(unit)[places] for unit, places in zip(chosen.tolist(), order, strict=True)]
            )
        else:
            inputs = order
        picked = maps[chosen].gather(1, order[:, :, None, None].expand(-1, -1, *maps.shape[2:]))
        return {"form": "slices", "maps": picked, "shown": chosen, "inputs": inputs}

    def _points(self, layer: WeightLayer, index: int | None) -> dict[str, Any]:
        if index is None:
            places, shares = principal(layer.weight, 2)
            return {"form": "points", "maps": places, "axes": shares, "shown": torch.arange(len(places))}
        cosines = unit_rows(layer.weight) @ unit_rows(layer.weight[index : index + 1])[0]
        cosines[index] = -torch.inf
        near = cosines.argsort(descending=True, stable=True)[: min(self.neighbours, len(cosines) - 1)]
        shown = torch.cat([torch.tensor([index]), near])
        places, shares = principal(unit_rows(layer.weight[shown]), 2)
        return {
            "form": "points",
            "maps": places,
            "axes": shares,
            "shown": shown,
            "near": near,
            "nearness": cosines[near],
        }


def _matrix(weight: Tensor, chosen: Tensor) -> dict[str, Any]:
    """Rows and columns in an order of likeness; of one row its columns by size."""
    if len(chosen) == 1:
        columns = weight[chosen[0]].abs().argsort(descending=True, stable=True)
        return {"form": "matrix", "maps": weight[chosen][:, columns], "shown": chosen, "inputs": columns}
    rows, columns = by_likeness(weight), by_likeness(weight.T)
    return {"form": "matrix", "maps": weight[rows][:, columns], "shown": rows, "inputs": columns}


def _names(subject: Subject, layer: WeightLayer) -> tuple[str, ...]:
    """Names of the rows: tokens of a table of embeddings, classes of the layer that has one row for each."""
    number, labels = len(layer.weight), subject.task.labels or ()
    if layer.kind == "Embedding":
        vocabulary = tuple(getattr(subject.task, "vocabulary", None) or ())
        return vocabulary if len(vocabulary) == number else ()
    return tuple(labels) if len(labels) == number and layer.name == _last_name(subject) else ()


def _last_name(subject: Subject) -> str:
    assert subject.module is not None
    return [name for name, _ in weight_layers(subject.module)][-1]
