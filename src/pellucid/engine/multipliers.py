"""Multipliers between two runs: how much of each operation's change of output each of its inputs accounts for.

A multiplier m of an input with change Δ accounts for m · Δ, and the inputs of an operation together account for all of
its change. That is the operation's derivative averaged over the straight path between its inputs in the two runs: Δout/Δin
for an element-wise function, the transpose for a linear one, the derivative half-way for a product of two values. Maxima
alone go by their winners. (shrikumar2017learning)
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core import meter
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.alignment import Alignment
from pellucid.engine.backward import precision, taped_quantity, walked_back
from pellucid.engine.dispatch import results
from pellucid.engine.gradients import point_value
from pellucid.engine.memory import Value
from pellucid.engine.operation_kinds import chooses, copies, is_bilinear, is_curve, is_extremum, is_gate, is_minimum
from pellucid.engine.path_average import PathAverage, accounted
from pellucid.engine.tape import Call
from pellucid.engine.targets import Target
from pellucid.engine.transposes import Amounts, Given, Reading, transposed

# So many units in the last place may be rounding: of a difference, and of a value that was computed in many steps.
_ROUNDING, _NOISE = 2, 100


@dataclass(frozen=True)
class Contributions:
    """What each element of the point contributed to the change of the explained quantity.

    ``values`` and ``lowest`` ``[batch]`` are that quantity for the inputs and for the reference, ``scores`` the
    ``multipliers`` times the change of the point, in its shape.
    """

    values: Tensor
    lowest: Tensor
    scores: Tensor
    multipliers: Tensor


def contributions(
    subject: Subject, inputs: Inputs, reference: Tensor, target: Target, at: str, rule: "type[Rescale]"
) -> Contributions:
    """Contributions between ``reference``, in the shape of the inputs' point, and the inputs.

    At a layer they are between its activations for both, everything around it being that of the inputs.
    """
    size = max(1, subject.batch_size(inputs) // 4)  # two tapes, and each holds more than a pass does
    parts = [slice(start, start + size) for start in range(0, len(inputs), size)]
    found = [_one_batch(subject, inputs.rows(part), reference[part], target.rows(part), at, rule) for part in parts]
    return Contributions(*(torch.cat(tensors).cpu() for tensors in zip(*found, strict=True)))


def _one_batch(
    subject: Subject, inputs: Inputs, reference: Tensor, target: Target, at: str, rule: "type[Rescale]"
) -> tuple[Tensor, ...]:
    point, start = (point_value(subject, given, at) for given in (inputs, inputs.at(reference)))
    with (
        taped_quantity(subject, inputs, target, at, point) as (tape, values),
        taped_quantity(subject, inputs, target, at, start) as (other, lowest),
    ):
        multipliers = walked_back(tape, values, otherwise=rule(Alignment(tape, other), precision(tape, values)))
    meter.count(backward=len(inputs))
    return values, lowest, multipliers * (point - start).to(multipliers), multipliers


class Rescale:
    """What each operation hands back, for :func:`~pellucid.engine.backward.walked_back` over the tape of the input."""

    def __init__(self, alignment: Alignment, dtype: torch.dtype) -> None:
        self.alignment = alignment
        self.epsilon = torch.finfo(dtype).eps

    def __call__(self, call: Call, amounts: Amounts, read: Reading) -> Given:
        amount, single = amounts[0], all(other is None for other in amounts[1:])
        differs = self.alignment.differs(call)
        if amount is not None and single and not any(value.live.is_complex() for value in call.inputs):
            if is_curve(call) or (differs and is_gate(call)):
                return self.curve(call, amount, read, differs)
            if is_extremum(call) or (differs and chooses(call)):
                return self._won(call, amount, read)
        return self._halfway(call, amounts, read) if is_bilinear(call) else self._averaged(call, amounts, read)

    def curve(self, call: Call, amount: Tensor, read: Reading, differs: bool) -> Given:
        """An element-wise function of one input: Δout/Δin, or the derivative half-way where the input hardly changes.

        ``differs`` says that a constant of it, such as a mask, is another one for the reference.
        """
        source, other = call.inputs[0], self.alignment.reference(call)
        here, there, change = output(call, read), output(other, read), self.change(source, read)
        still = change == 0
        quotient = (amount * (here - there) / change.masked_fill(still, 1)).sum_to_size(source.size)
        exact = copies(call)
        if exact and not bool(still.any()):
            return [(source, quotient)]
        slope = dict(self._halfway(call, (amount,), read)).get(source, torch.zeros_like(change))
        if exact:
            return [(source, torch.where(still, slope, quotient))]
        sizes = here.abs() + there.abs() + read(source).abs()
        return [(source, self.steadier(quotient, slope, change, (amount.abs() * sizes).sum_to_size(source.size)))]

    def steadier(self, quotient: Tensor, slope: Tensor, change: Tensor, size: Tensor) -> Tensor:
        """The quotient by a change, or the slope, where rounding of numbers of that size is all that sets them apart."""
        return torch.where((quotient - slope).abs() * change.abs() <= _ROUNDING * self.epsilon * size, slope, quotient)

    def change(self, value: Value, read: Reading) -> Tensor:
        """Δ: the value less what it is for the reference."""
        return read(value) - read(self.alignment.twin(value))

    def _won(self, call: Call, amount: Tensor, read: Reading) -> Given:
        """The input's winner accounts for the way from the reference's maximum to the higher one of both, the reference's
        winner for the way from there to the input's maximum; to the lower one for minima."""
        other = self.alignment.reference(call)
        here, there = output(call, read), output(other, read)
        best = (torch.minimum if is_minimum(call) else torch.maximum)(here, there)
        won = dict(transposed(call, (amount * (best - there),), read))
        won_there = dict(transposed(other, (amount * (here - best),), read))
        plain, plain_there = dict(transposed(call, (amount,), read)), dict(transposed(other, (amount,), read))
        given = []
        for value in call.inputs:
            twin, small, change = self.alignment.twin(value), self._small(value, read), self.change(value, read)
            quotient = (won.get(value, 0) + won_there.get(twin, 0)) / change.masked_fill(small, 1)
            slope = (plain.get(value, 0) + plain_there.get(twin, 0)) / 2
            given.append((value, torch.where(small, slope, quotient)))
        return given

    def _small(self, value: Value, read: Reading) -> Tensor:
        """Where the change is no more than rounding."""
        here, there = read(value), read(self.alignment.twin(value))
        return (here - there).abs() <= _NOISE * self.epsilon * torch.maximum(here.abs(), there.abs())

    def _halfway(self, call: Call, amounts: Amounts, read: Reading) -> Given:
        """The derivative half-way between both runs: exact for linear operations, and for products of two values."""
        return transposed(call, amounts, self._between(read, 0.5))

    def _averaged(self, call: Call, amounts: Amounts, read: Reading) -> Given:
        """The derivative averaged over the path."""
        given = [(place, amount) for place, amount in enumerate(amounts) if amount is not None]

        def gradients(place: float) -> dict[Value, Tensor]:
            return dict(transposed(call, amounts, self._between(read, place)))

        def height(place: float) -> float:
            outputs = results(call.run(self._between(read, place)))
            return sum(float(accounted(amount, outputs[place]).sum(dtype=torch.float64)) for place, amount in given)

        terms = [accounted(amount, output(call, read, place)) for place, amount in given]
        changes = {value: self.change(value, read) for value in call.inputs}
        return list(PathAverage(gradients, height, changes, terms).average().items())

    def _between(self, read: Reading, place: float) -> Reading:
        """Values on the straight path from the reference, at 0, to the input, at 1."""

        def between(value: Value) -> Tensor:
            here = read(value)
            fixed = not value.depends and self.alignment.equal(value)
            if fixed or not (here.is_floating_point() or here.is_complex()):
                return here
            return torch.lerp(read(self.alignment.twin(value)), here, place)

        return between


def output(call: Call, read: Reading, place: int = 0) -> Tensor:
    """An output of a call, computed again where the model rounds it to less than the precision of the walk."""
    value = call.outputs[place]
    assert value is not None
    recorded, wanted = value.tensor(), read(value)
    return wanted if recorded.dtype == wanted.dtype else results(call.run(read))[place]
