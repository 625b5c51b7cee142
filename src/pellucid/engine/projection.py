"""Single activations of a layer sent back to the input, as a deconvnet, backpropagation or guided backpropagation would."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from pellucid.core import meter
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.backward import walked_back
from pellucid.engine.rectifiers import Rectified, deconvolved, guided
from pellucid.engine.tape import Call
from pellucid.engine.taping import taped
from pellucid.engine.transposes import Given, Reading, transposed

Signal = Literal["deconvnet", "gradient", "guided"]
_SAME = (
    "The projections differ by their scale alone: only the switches of a max pooling, or another operation that looks at its "
    "values, could tell examples apart, and there is none below this layer; signal='guided' looks at the rectifiers."
)


def projected(
    subject: Subject,
    inputs: Inputs,
    layer: str,
    places: Sequence[tuple[int, ...]],
    values: Tensor,
    signal: Signal,
) -> tuple[Tensor, tuple[str, ...]]:
    """What one activation of each example becomes on its way back from a layer's output to the input, ``[batch, …point]``.

    ``places`` are indices into the output, one per example, where the signal is ``values`` ``[batch]``, and 0 everywhere
    else. Filters are transposed, and what a maximum was taken of gets nothing but at its winner of the forward pass.
    At every rectifier before the layer the signal is rectified (``deconvnet``), kept where the forward pass was positive
    (``gradient``), or both (``guided``). A note tells where nothing on the way looks at the example.
    """
    rule = Rectified(*_SIGNALS[signal])
    size = max(1, subject.batch_size(inputs) // 2)
    parts = []
    for start in range(0, len(inputs), size):
        rows = range(start, min(start + size, len(inputs)))
        with taped(subject, inputs.rows(slice(rows.start, rows.stop)), capture=(layer,)) as (tape, run):
            activation = run.activations[layer]
            seed = torch.zeros_like(activation)
            for row in rows:
                seed[(row - start, *places[row])] = values[row]
            parts.append(walked_back(tape, activation, otherwise=rule, seed=seed).cpu())
    meter.count(backward=len(inputs))
    return torch.cat(parts), () if rule.sees else (_SAME,)


def shares_inside(maps: Tensor, boxes: Tensor | Sequence[Sequence[int]]) -> Tensor:
    """The share of each map's absolute values ``[batch, channels, height, width]`` that lies in its box (top, left, bottom,
    right): ``[batch]``, 0 of a map that is 0 everywhere."""
    mass = maps.double().abs().sum(1)
    inside = [
        float(one[top:bottom, left:right].sum()) for one, (top, left, bottom, right) in zip(mass, boxes, strict=True)
    ]
    return torch.tensor(inside, dtype=torch.float64) / mass.sum((1, 2)).clamp(min=torch.finfo(torch.float64).tiny)


def _derivative(call: Call, amount: Tensor, read: Reading) -> Given:
    return transposed(call, (amount,), read)


# What happens at rectifiers, and whether that looks at what was rectified on the way forward.
_SIGNALS: Mapping[Signal, tuple[Callable[[Call, Tensor, Reading], Given], bool]] = {
    "deconvnet": (deconvolved, False),
    "gradient": (_derivative, True),
    "guided": (guided, True),
}
