"""Correspondence: whether hiding the same part of different pictures changes the features in the same way."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from pellucid.core.annotations import Data
from pellucid.core.errors import UsageError
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Representation
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.batching import in_batches
from pellucid.engine.units import layer_at
from pellucid.results.profile import Line, Panel, Profile

_QUANTITY = "share of features whose change differs in sign"
_RANDOM = "random parts"


@method
class Correspondence:
    """How often the changes ε of a layer's features differ in sign between two pictures of which the same part is hidden:
    Δ = Σ_{i≠j} Hamming(sign ε_i, sign ε_j) (zeiler2014visualizing), here as a share of all features and pairs.

    A part that the network treats alike in all pictures has a lower share than random parts, which are hidden as often as
    ``draws`` says, of the same sizes as the parts. What is hidden gets the picture's mean colour. Intervals leave
    out one picture at a time (jackknife); those of random parts hold 95 % of the draws.
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
        cost="1 F per picture, part and random part, and 1 F",
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
            raise UsageError(f"correspondence compares pictures: give at least 3, not {len(inputs)}")
        layers = tuple(layer_at(subject, inputs, name).name for name in query.layers)
        boxes = {name: _boxes(name, given, inputs) for name, given in self.parts.items()}
        if not boxes:
            raise UsageError("parts= is empty; name a part with its boxes, as in {'left eye': boxes}")
        plain = _features(subject, inputs, layers)
        lines = []
        for number, (name, given) in enumerate(boxes.items()):
            report(number, len(boxes) + 1, "correspondence")
            lines.append(
                _jackknifed(name, [_disagreements(part) for part in _changes(subject, inputs, layers, plain, given)])
            )
        lines.append(self._random(subject, inputs, layers, plain, list(boxes.values())))
        report(len(boxes) + 1, len(boxes) + 1, "correspondence")
        panel = Panel(quantity=_QUANTITY, axis="layer", places=layers, lines=tuple(lines))
        return Profile(panels=(panel,), cases=len(inputs), findings=_findings(panel))

    def _random(
        self, subject: Subject, inputs: Inputs, layers: tuple[str, ...], plain: list[Tensor], boxes: list[Tensor]
    ) -> Line:
        sources = [generator(self.seed, "correspondence", point) for point in inputs.value]
        found = []
        for draw in range(self.draws):
            sizes = boxes[draw % len(boxes)]
            drawn = torch.stack([_placed(size, inputs, source) for size, source in zip(sizes, sources, strict=True)])
            changes = _changes(subject, inputs, layers, plain, drawn)
            found.append(torch.stack([_mean(_disagreements(part)) for part in changes]))
        values = torch.stack(found)
        low, high = values.quantile(torch.tensor([0.025, 0.975], dtype=values.dtype), dim=0)
        return Line(name=_RANDOM, mean=values.mean(0), low=low, high=high, control=True)


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


def _placed(box: Tensor, inputs: Inputs, source: torch.Generator) -> Tensor:
    """A box of the same size anywhere in the picture."""
    sides = box[2:] - box[:2]
    room = torch.tensor(inputs.value.shape[2:]) - sides + 1
    corner = torch.stack([torch.randint(int(free), (), generator=source) for free in room])
    return torch.cat([corner, corner + sides])


def _features(subject: Subject, inputs: Inputs, layers: tuple[str, ...]) -> list[Tensor]:
    """The features of each layer, ``[pictures, features]``."""
    sizes: list[int] = []

    def work(rows: slice) -> Tensor:
        run = subject.run(inputs.rows(rows), capture=layers, partial=True)
        parts = [run.activations[name].flatten(1).cpu() for name in layers]
        sizes[:] = [part.shape[1] for part in parts]
        return torch.cat(parts, 1)

    return list(in_batches(len(inputs), subject.batch_size(inputs), work).split(sizes, 1))


def _changes(
    subject: Subject, inputs: Inputs, layers: tuple[str, ...], plain: list[Tensor], boxes: Tensor
) -> list[Tensor]:
    """The sign of each feature's change when the boxes are hidden, 0 where it is no larger than rounding."""
    hidden = inputs.value.clone()
    for point, (top, left, bottom, right) in zip(hidden, boxes.tolist(), strict=True):
        point[:, top:bottom, left:right] = point.mean((1, 2), keepdim=True)
    signs = []
    for before, after in zip(plain, _features(subject, inputs.at(hidden), layers), strict=True):
        change = before - after
        rounding = 1e-5 * before.abs().amax(1, keepdim=True)
        signs.append(torch.where(change.abs() > rounding, change.sign(), 0).to(torch.int8))
    return signs


def _disagreements(signs: Tensor) -> Tensor:
    """The share of features whose signs differ between two pictures, ``[pictures, pictures]``."""
    return torch.stack([(signs != one).double().mean(1) for one in signs])


def _mean(pairs: Tensor) -> Tensor:
    number = len(pairs)
    return pairs.sum() / (number * (number - 1))


def _jackknifed(name: str, layers: list[Tensor]) -> Line:
    means, halves = [], []
    for pairs in layers:
        number = len(pairs)
        without = torch.stack([_mean(_left_out(pairs, picture)) for picture in range(number)])
        means.append(_mean(pairs))
        halves.append(1.96 * ((number - 1) / number * (without - without.mean()).square().sum()).sqrt())
    mean, half = torch.stack(means), torch.stack(halves)
    return Line(name=name, mean=mean, low=mean - half, high=mean + half)


def _left_out(pairs: Tensor, picture: int) -> Tensor:
    kept = [row for row in range(len(pairs)) if row != picture]
    return pairs[kept][:, kept]


def _findings(panel: Panel) -> tuple[str, ...]:
    random = panel.lines[-1]
    said = []
    for number, layer in enumerate(panel.places):
        below = [one.name for one in panel.lines[:-1] if float(one.high[number]) < float(random.low[number])]
        chance = f"{float(random.mean[number]):.3g} of random ones"
        told = ", ".join(f"{one.name} {float(one.mean[number]):.3g}" for one in panel.lines[:-1])
        verdict = f"{', '.join(below)} clearly below" if below else "no part clearly below"
        said.append(f"{layer}: {told}, against {chance}: {verdict}.")
    return tuple(said)
