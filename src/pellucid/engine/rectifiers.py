"""Maps by gradients that go their own way at rectifiers, and how much of such a map the last layer's weights decide."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pellucid.core import meter
from pellucid.core.errors import NotAnswerable
from pellucid.core.query import Decision
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.attributing import attribution
from pellucid.engine.backward import taped_quantity, walked_back
from pellucid.engine.gradients import point_value
from pellucid.engine.memory import Value
from pellucid.engine.operation_kinds import is_linear
from pellucid.engine.tape import Call
from pellucid.engine.targets import Target, resolve
from pellucid.engine.transposes import FACTORS, Amounts, Given, Reading, constant_factor, transposed
from pellucid.results.attribution import Attribution

# What a rectifier hands to its input for what arrives at its output.
Signal = Callable[[Call, Tensor, Reading], Given]
_MUCH = 0.5
_ALIKE = (
    "With random weights in the last layer the map stays much the same (cosine {:.2f}): it says little about this answer "
    "in particular."
)
_SAME = (
    "The map is the same for every input: only the switches of a max pooling, or another operation that looks at its "
    "values, could tell inputs apart, and this network has none."
)
# The operations that rectify where these arguments (place, name, default) are zero.
_RECTIFIERS: Mapping[str, tuple[tuple[int, str, Any], ...]] = {
    "aten.relu": (),
    "aten.hardtanh": ((1, "min_val", -1),),
    "aten.clamp": ((1, "min", None),),
    "aten.clamp_min": ((1, "min", None),),
    "aten.threshold": ((1, "threshold", None), (2, "value", None)),
    "aten.leaky_relu": ((1, "negative_slope", 0.01),),
    "aten.maximum": ((0, "self", None), (1, "other", None)),
}


def deconvolved(call: Call, amount: Tensor, read: Reading) -> Given:
    """R = relu(g), whatever was rectified on the way forward (zeiler2014visualizing)."""
    source = call.inputs[0]
    return [(source, amount.clamp(min=0).sum_to_size(source.size))]


def guided(call: Call, amount: Tensor, read: Reading) -> Given:
    """R = relu(g) · derivative (springenberg2015striving)."""
    return transposed(call, (amount.clamp(min=0),), read)


def rectifies(call: Call) -> bool:
    """Whether an operation cuts its one input off below zero: ReLU, ReLU6, and clamps, thresholds and maxima at 0.

    A leaky ReLU lets negative values through, so that it is none (unless its slope is 0).
    """
    if call.name not in _RECTIFIERS or len(call.inputs) != 1:
        return False
    arguments = [
        call.args[place] if place < len(call.args) else call.kwargs.get(name, default)
        for place, name, default in _RECTIFIERS[call.name]
    ]
    return all(_is_zero(argument) for argument in arguments if argument is not call.inputs[0])


def rectified_map(subject: Subject, query: Decision, signal: Signal, masked: bool) -> Attribution:
    """The gradient of the explained quantity, but for what ``signal`` makes of it at rectifiers.

    ``quality["cosine_random_last_layer"]`` ``[batch]`` compares each map with that of the same network after the weights
    of its last convolution or linear map are drawn at random, always the same ones, with the mean and deviation that
    they have: near 1, the map does not depend on what that layer has learned (adebayo2018sanity). A signal that is not
    ``masked`` by what the rectifier let through may make a map that is the same for all inputs; then a note says so. A
    network without a rectifier is refused.
    """
    inputs = subject.prepare(query.inputs)
    target = resolve(subject, inputs, query)
    size = max(1, subject.batch_size(inputs) // 2)
    parts = [slice(start, start + size) for start in range(0, len(inputs), size)]
    rule = Rectified(signal, masked)
    found = [_maps(subject, inputs.rows(part), target.rows(part), query.at, rule) for part in parts]
    values = torch.cat([part[0] for part in found])
    answer = attribution(subject, inputs, query, target, torch.cat([part[1] for part in found]), values)
    others = [part[2] for part in found if part[2] is not None]
    notes = [] if rule.sees else [_SAME]
    if others:
        other = attribution(subject, inputs, query, target, torch.cat(others), values)
        cosine = torch.nn.functional.cosine_similarity(answer.scores.flatten(1), other.scores.flatten(1))
        answer = dataclasses.replace(answer, quality={"cosine_random_last_layer": cosine})
        notes += [_ALIKE.format(cosine.max())] if float(cosine.max()) >= _MUCH else []
    return dataclasses.replace(answer, notes=(*answer.notes, *notes))


def _maps(
    subject: Subject, inputs: Inputs, target: Target, at: str, rule: "Rectified"
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Values, maps, and maps with the last weights at random if there are any."""
    random = _RandomLastLayer()
    with taped_quantity(subject, inputs, target, at, point_value(subject, inputs, at)) as (tape, values):
        maps = walked_back(tape, values, otherwise=rule)
        others = walked_back(tape, values, dict.fromkeys(FACTORS, random), otherwise=rule)
    meter.count(backward=2 * len(inputs))
    if not rule.met:
        raise NotAnswerable(
            f"no rectifier (ReLU) lies between {at!r} and the score of {subject.name}, so the map would be the plain "
            "gradient; ask gradient, integrated-gradients or occlusion"
        )
    return values.cpu(), maps.cpu(), others.cpu() if random.met else None


class Rectified:
    """The signal at rectifiers, the derivative everywhere else.

    It knows whether it ``met`` a rectifier, and whether anything that it did ``sees`` the values that flowed forward.
    """

    def __init__(self, signal: Signal, masked: bool) -> None:
        self._signal, self._masked = signal, masked
        self.met = self.sees = False

    def __call__(self, call: Call, amounts: Amounts, read: Reading) -> Given:
        amount = amounts[0]
        if amount is None or not rectifies(call):
            self.sees |= not is_linear(call)
            return transposed(call, amounts, read)
        self.met, self.sees = True, self.sees or self._masked
        return self._signal(call, amount, read)


class _RandomLastLayer:
    """The derivative, but for the first product that it meets, the network's last, whose weights are drawn at random."""

    def __init__(self) -> None:
        self.met = False

    def __call__(self, call: Call, amounts: Amounts, read: Reading) -> Given:
        weight = constant_factor(call)
        if self.met or weight is None:
            return transposed(call, amounts, read)
        self.met = True
        learned = read(weight)
        drawn = torch.randn(weight.size, generator=torch.Generator().manual_seed(0)).to(learned)
        random = drawn * learned.std(correction=0) + learned.mean()
        return transposed(call, amounts, lambda value: random if value is weight else read(value))


def _is_zero(argument: Any) -> bool:
    if isinstance(argument, Value):
        return not argument.depends and not bool(argument.tensor().any())
    return argument is not None and argument == 0
