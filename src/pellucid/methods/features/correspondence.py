"""Correspondence: whether hiding the same part of different pictures changes the features in the same way."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from pellucid.core.annotations import Data
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Representation
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.correspondences import Hiding, elsewhere, jackknifed, over_pairs
from pellucid.engine.units import layer_at
from pellucid.results.profile import Line, Panel, Profile

_OF_ALL = "share of features whose change differs in sign"
_OF_CHANGING = "share of changing features that differ in sign"
_RANDOM, _SAME_PLACE = "random parts", "random parts, one place in all"


@method
class Correspondence:
    """How often the changes ε of a layer's features differ in sign between two pictures of which the same part is hidden:
    Δ = Σ_{i≠j} Hamming(sign ε_i, sign ε_j) (zeiler2014visualizing), here as a share of all features and pairs, and of those
    features only that change in one of the two: parts near a border, or small ones, change fewer.

    A part that is treated alike in all pictures has a lower share than random parts of the same sizes, of which each
    picture gets ``draws``. Where parts are at much the same place in all pictures, the second control tells how much of that
    is due to the place: random parts at one place in all. What is hidden gets the picture's mean colour. Intervals leave out
    one picture at a time (jackknife); those of the controls hold 95 % of the draws.
    """

    spec: ClassVar = Spec(
        id="correspondence",
        title="Correspondence of parts",
        question="Does the network treat the same part of different pictures as the same thing?",
        scopes={Scope.TRANSPARENCY},
        dimensions={Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.MODEL,
        askers={Asker.DEVELOPER},
        needs={Access.ACTIVATIONS},
        modalities={Modality.IMAGE},
        properties={"stochastic"},
        cost="1 F per picture, part and random part (40), and 1 F",
        references=("zeiler2014visualizing",),
        serves=("B3",),
        caveat=(
            "A box that is hidden also makes edges of its own, and these may change the features more than the part that is "
            "missing; parts at the same place in all pictures correspond by their place alone."
        ),
        alternatives=("transform-sensitivity", "occlusion"),
    )

    parts: Annotated[
        Mapping[str, Any],
        Data(),
        "boxes of each part by its name: (top, left, bottom, right) in the network's pixels, one for all or per picture",
    ]
    draws: Annotated[int, Ge(1), "how many random parts are hidden in every picture"] = 20
    seed: Annotated[int, "of the random parts"] = 0

    def __call__(self, subject: Subject, query: Representation) -> Profile:
        inputs = subject.prepare(query.data)
        if not query.layers:
            raise UsageError("name one or more layers, such as ('blocks.0', 'blocks.8')")
        if len(inputs) < 3:
            raise NotAnswerable(
                f"it compares pictures: give at least 3, not {len(inputs)}, or ask transform-sensitivity or occlusion"
            )
        layers = tuple(layer_at(subject, inputs, name).name for name in query.layers)
        boxes = {name: _boxes(name, given, inputs) for name, given in self.parts.items()}
        if not boxes:
            raise UsageError("parts= is empty; name a part with its boxes, as in {'left eye': boxes}")
        hiding = Hiding(subject, inputs, layers)
        lines = []
        for number, (name, given) in enumerate(boxes.items()):
            report(number, len(boxes) + 2, "correspondence")
            lines.append([jackknifed(name, pairs) for pairs in hiding(given)])
        for name in (_RANDOM, _SAME_PLACE):
            report(len(lines), len(boxes) + 2, "correspondence")
            lines.append(self._random(inputs, hiding, list(boxes.values()), name))
        report(len(lines), len(lines), "correspondence")
        panels = tuple(
            Panel(quantity=quantity, axis="layer", places=layers, lines=found)
            for quantity, found in zip((_OF_ALL, _OF_CHANGING), zip(*lines, strict=True), strict=True)
        )
        return Profile(panels=panels, cases=len(inputs), findings=_findings(panels[1]))

    def _random(self, inputs: Inputs, hiding: Hiding, boxes: list[Tensor], name: str) -> list[Line]:
        own = [generator(self.seed, "correspondence", point) for point in inputs.value]
        common = generator(self.seed, "correspondence", torch.zeros(0))
        found = []
        for draw in range(self.draws):
            shares = torch.stack([torch.rand(2, generator=source) for source in own])
            if name == _SAME_PLACE:
                shares = torch.rand(2, generator=common).expand_as(shares)
            found.append(over_pairs(hiding(elsewhere(boxes[draw % len(boxes)], shares, inputs))))
        values = torch.stack(found, 1)
        low, high = values.quantile(torch.tensor([0.025, 0.975], dtype=values.dtype), dim=1)
        sides = zip(values.mean(1), low, high, strict=True)
        return [Line(name=name, mean=mean, low=low, high=high, control=True) for mean, low, high in sides]


def _boxes(name: str, given: Any, inputs: Inputs) -> Tensor:
    boxes = torch.as_tensor(given)
    boxes = boxes.expand(len(inputs), -1) if boxes.ndim == 1 else boxes
    height, width = inputs.value.shape[2:]
    if tuple(boxes.shape) != (len(inputs), 4):
        raise UsageError(
            f"part {name!r} has boxes {tuple(boxes.shape)}; give (top, left, bottom, right) for {len(inputs)} pictures"
        )
    top, left, bottom, right = boxes.unbind(1)
    if bool(((top < 0) | (left < 0) | (top >= bottom) | (left >= right) | (bottom > height) | (right > width)).any()):
        raise UsageError(f"part {name!r} has an empty box or one that is outside the pictures of {height} × {width}")
    return boxes.long()


def _findings(panel: Panel) -> tuple[str, ...]:
    *parts, random, placed = panel.lines
    said = [f"{panel.quantity}:"]
    for number, layer in enumerate(panel.places):
        told = ", ".join(f"{one.name} {float(one.mean[number]):.3g}" for one in parts)
        chance = (
            f"{float(random.mean[number]):.3g} of random parts, {float(placed.mean[number]):.3g} of those at one place"
        )
        below = [one for one in parts if _high(one, number) < _low(random, number)]
        beyond_place = [one.name for one in below if _high(one, number) < float(placed.mean[number])]
        clearly = f"clearly below random parts: {', '.join(one.name for one in below) or 'none'}"
        more = f"; of these below the mean of those at one place: {', '.join(beyond_place) or 'none'}" if below else ""
        said.append(f"{layer}: {told}, against {chance}; {clearly}{more}.")
    return tuple(said)


def _low(line: Line, place: int) -> float:
    assert line.low is not None
    return float(line.low[place])


def _high(line: Line, place: int) -> float:
    assert line.high is not None
    return float(line.high[place])
