"""Transform sensitivity: how far features move, and how the answer changes, when pictures are shifted, enlarged or turned."""

from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Decision, Representation
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.dataset import DataSet
from pellucid.engine.moved_pictures import NEUTRAL, Outside, Transformation, moved
from pellucid.engine.profiles import line
from pellucid.engine.targets import Target, resolve
from pellucid.engine.unit_examples import data_set, left_out
from pellucid.engine.units import layer_at
from pellucid.results.profile import Panel, Profile

Amounts = tuple[float, ...]
_AXES = {
    "shift down": "shift down, share of the height",
    "shift right": "shift right, share of the width",
    "scale": "enlarged by",
    "rotation": "turned by, degrees",
}
_DISTANCE, _RELATIVE = "distance of the features", "distance, relative to their length"


@method
class TransformSensitivity:
    """The Euclidean distance of each layer's features to those of the untransformed picture, as it is and relative to the
    length of these, and the probability of the class that was predicted for it (zeiler2014visualizing).

    Curves are means over the examples with bootstrapped 95 % intervals. What comes in from beyond the border repeats it
    (``outside="border"``) or is the picture's mean colour.
    """

    spec: ClassVar = Spec(
        id="transform-sensitivity",
        title="Sensitivity to transformations",
        question="Which layers notice that a picture was shifted, enlarged or turned, and does the answer change?",
        scopes={Scope.TRANSPARENCY},
        dimensions={Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.MODEL,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.ACTIVATIONS},
        modalities={Modality.IMAGE},
        cost="1 F per example and amount, and 2 F: 26 F",
        references=("zeiler2014visualizing",),
        serves=("B3",),
        caveat=(
            "A transformed picture is also a picture with another border: part of what changes is what comes in from beyond "
            "it. Distances of layers of different size cannot be compared, relative ones can."
        ),
        alternatives=("occlusion", "response"),
    )

    translate: Annotated[Amounts, "shifts in both directions, as shares of the side"] = (
        -0.25,
        -0.125,
        0.0,
        0.125,
        0.25,
    )
    scale: Annotated[Amounts, "factors of enlargement"] = (0.7, 0.85, 1.0, 1.2, 1.4, 1.6, 1.8)
    rotate: Annotated[Amounts, "angles in degrees, counter-clockwise"] = (0.0, 15.0, 30.0, 60.0, 90.0, 135.0, 180.0)
    outside: Annotated[Outside, "what comes in from beyond the border"] = "border"

    def __post_init__(self) -> None:
        if min(self.scale, default=1.0) <= 0:
            raise UsageError(f"transform-sensitivity(scale={self.scale!r}): factors are above 0")
        if not any(self._amounts().values()):
            raise UsageError("transform-sensitivity has nothing to do; name amounts to translate, scale or rotate by")

    def __call__(self, subject: Subject, query: Representation) -> Profile:
        data = data_set(subject, query.data)
        if not query.layers:
            raise UsageError("name one or more layers, such as ('blocks.0', 'blocks.8')")
        layers = [layer_at(subject, data.inputs([0]), name).name for name in query.layers]
        quantity, found = self._measured(subject, data, layers)
        panels, findings = list[Panel](), list[str]()
        for kind, (distances, relative, answers) in found.items():
            rows = {_DISTANCE: (layers, distances), _RELATIVE: (layers, relative), quantity: ([quantity], answers)}
            made = [self._panel(kind, name, *row) for name, row in rows.items()]
            panels += made
            findings.append(_said(kind, made[1], made[2]))
        return Profile(panels=tuple(panels), cases=len(data), findings=tuple(findings), notes=left_out(data))

    def _panel(self, kind: Transformation, quantity: str, names: list[str], values: Tensor) -> Panel:
        amounts = self._amounts()[kind]
        return Panel(
            quantity=quantity,
            axis=_AXES[kind],
            places=tuple(f"{amount:g}" for amount in amounts),
            grid=torch.tensor(amounts, dtype=torch.float64),
            lines=tuple(line(name, part) for name, part in zip(names, values, strict=True)),
        )

    def _amounts(self) -> dict[Transformation, Amounts]:
        asked: dict[Transformation, Amounts] = {
            "shift down": self.translate,
            "shift right": self.translate,
            "scale": self.scale,
            "rotation": self.rotate,
        }
        return {kind: tuple(sorted(set(amounts))) for kind, amounts in asked.items() if amounts}

    def _measured(
        self, subject: Subject, data: DataSet, layers: list[str]
    ) -> tuple[str, dict[Transformation, tuple[Tensor, Tensor, Tensor]]]:
        """What is read of the answer, and for each transformation distances and relative ones ``[layers, amounts, examples]``
        and answers ``[1, amounts, examples]``."""
        parts: dict[Transformation, list[tuple[Tensor, Tensor, Tensor]]] = {kind: [] for kind in self._amounts()}
        quantity = "score" if subject.task.output == "value" else "probability"
        for first, inputs in data.batches(subject.batch_size(data.inputs([0]))):
            report(first, len(data), "transform sensitivity")
            target = resolve(subject, inputs, Decision(inputs, of=quantity))  # type: ignore[arg-type]
            plain, _ = _features(subject, inputs, layers, target)
            lengths = torch.stack([part.norm(dim=1) for part in plain])
            for kind, amounts in self._amounts().items():
                rows = []
                for amount in amounts:
                    given = (
                        inputs
                        if amount == NEUTRAL[kind]
                        else inputs.at(moved(inputs.value, kind, amount, self.outside))
                    )
                    features, answer = _features(subject, given, layers, target)
                    apart = torch.stack([(a - b).norm(dim=1) for a, b in zip(features, plain, strict=True)])
                    rows.append((apart, apart / lengths.clamp(min=1e-30), answer[None]))
                parts[kind].append(tuple(torch.stack(each, 1) for each in zip(*rows, strict=True)))  # type: ignore[arg-type]
        report(len(data), len(data), "transform sensitivity")
        joined: dict[Any, Any] = {
            kind: tuple(torch.cat(each, 2) for each in zip(*found, strict=True)) for kind, found in parts.items()
        }
        return quantity, joined


def _features(subject: Subject, inputs: Inputs, layers: list[str], target: Target) -> tuple[list[Tensor], Tensor]:
    """Each layer's features ``[batch, features]`` and the answer ``[batch]``."""
    run = subject.run(inputs, capture=layers)
    return [run.activations[name].flatten(1).double().cpu() for name in layers], target(run).double().cpu()


def _said(kind: Transformation, relative: Panel, answer: Panel) -> str:
    """What the amount that is furthest from none does to each layer and to the answer."""
    assert relative.grid is not None
    place = int((relative.grid - NEUTRAL[kind]).abs().argmax())
    nearest = int((relative.grid - NEUTRAL[kind]).abs().argmin())
    moves = ", ".join(f"{one.name} by {float(one.mean[place]):.0%}" for one in relative.lines)
    quantity = answer.lines[0].mean
    return (
        f"{relative.axis} {relative.places[place]}: features move, relative to their length, at {moves}; "
        f"the {answer.quantity} goes from {float(quantity[nearest]):.3g} to {float(quantity[place]):.3g}."
    )
