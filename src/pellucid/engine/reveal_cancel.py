"""Multipliers that keep apart what raised and what lowered the input of an element-wise function.

The change that a linear map makes is a sum of positive and of negative terms, Δ = Δ⁺ + Δ⁻. Where they nearly cancel a
rectifier may hardly change, and yet each part alone would change it; so the function's change is divided between the two
parts, averaged over the orders in which they may arrive (shrikumar2017learning).
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pellucid.engine.alignment import Alignment
from pellucid.engine.dispatch import results
from pellucid.engine.memory import Ledger, Value
from pellucid.engine.multipliers import Rescale, output
from pellucid.engine.tape import Call
from pellucid.engine.transposes import Amounts, Given, Reading, by_autograd, transposed


class RevealCancel(Rescale):
    """Like ``Rescale``, but for element-wise functions of what a linear map made.

    A linear map is here a convolution or matrix product, and what follows before the function: batch norms, constant
    factors, and sums, also with what no linear map made, which is one term. Of the multipliers m⁺ and m⁻ of the two parts
    the walk carries the mean, and beside it their *tilt* (m⁺ − m⁻) / 2. A term with change δ gets the tilt with the sign
    of δ, because all of its change belongs to one part.
    """

    def __init__(self, alignment: Alignment, dtype: torch.dtype) -> None:
        super().__init__(alignment, dtype)
        self._tilts = Ledger()
        self._spreads: dict[Call, Tensor] = {}

    def __call__(self, call: Call, amounts: Amounts, read: Reading) -> Given:
        given = super().__call__(call, amounts, read)
        made = call.outputs[0]
        if made is None or not self._is_linear(call):
            return given
        tilt, _ = self._tilts.take(made.memory, made.geometry)
        if tilt is None:
            return given
        for value, part in by_autograd(call, (tilt,), read, _absolute(call, read)):
            part = part * _sign(call, value)
            if call.name in _PRODUCTS or self._spread(value, read) is None:
                given.append((value, part * self.change(value, read).sign()))
            else:
                self._tilts.give(value, part, ())
        return given

    def curve(self, call: Call, amount: Tensor, read: Reading, differs: bool) -> Given:
        """Both parts get half of what they change alone, and half of what they change after the other."""
        source, made = call.inputs[0], call.outputs[0]
        spread = None if differs or made is None or made.size != source.size else self._spread(source, read)
        if spread is None:
            return super().curve(call, amount, read, differs)
        start, change = read(self.alignment.twin(source)), self.change(source, read)
        up, down = (change + spread) / 2, (change - spread) / 2
        at_start, at_end = output(self.alignment.reference(call), read), output(call, read)
        at_up, at_down = (results(call.run(_with(source, start + part, read)))[0] for part in (up, down))
        sizes = sum(tensor.abs() for tensor in (at_start, at_end, at_up, at_down, start, up, down))
        multipliers = []
        for part, alone, other, before in ((up, at_up, at_down, down), (down, at_down, at_up, up)):
            rise = (alone - at_start + at_end - other) / 2
            quotient = amount * rise / torch.where(part == 0, 1, part)
            slopes = [dict(transposed(call, (amount,), _with(source, at, read))) for at in (start, start + before)]
            slope = sum((found.get(source, torch.zeros_like(part)) for found in slopes), torch.zeros_like(part)) / 2
            multipliers.append(self.steadier(quotient, slope, part, amount.abs() * sizes))
        self._tilts.give(source, (multipliers[0] - multipliers[1]) / 2, ())
        return [(source, (multipliers[0] + multipliers[1]) / 2)]

    def _spread(self, value: Value, read: Reading) -> Tensor | None:
        """Δ⁺ − Δ⁻ of what a linear map made: the sum of its terms' sizes; None for what none made."""
        writer = value.content.writer
        made = None if writer is None else writer.outputs[0]
        if made is None or not self._is_linear(writer):
            return None
        if writer not in self._spreads:
            terms = {term: self._term(writer, term, read) for term in writer.inputs}
            substitute = lambda term: terms[term] if term.depends else read(term)  # noqa: E731
            self._spreads[writer] = results(writer.run(substitute, _absolute(writer, read)))[0]
        whole = self._spreads[writer]
        if made.geometry == value.geometry:
            return whole
        if math.prod(made.size) != made.memory.cells:
            return None
        flat = whole.new_zeros(made.memory.cells)
        flat.as_strided(*made.geometry).copy_(whole)
        return flat.as_strided(*value.geometry)

    def _term(self, call: Call, value: Value, read: Reading) -> Tensor:
        """The size of one term of a sum, or of the input of a product; signed so that the operation adds it."""
        inner = None if call.name in _PRODUCTS else self._spread(value, read)
        return _sign(call, value) * (self.change(value, read).abs() if inner is None else inner)

    def _is_linear(self, call: Call) -> bool:
        factors, offsets = _PARTS.get(call.name, ((), ()))
        if not (factors or offsets) or call.kwargs or self.alignment.differs(call):
            return False
        varying = [place for place in (*factors, *offsets) if _depends(call.args[place])]
        if call.name == "aten.native_batch_norm" and call.args[5]:
            return False
        return not factors or varying == [factors[0]] or (varying == [factors[-1]] and call.name != "aten.div")


def _absolute(call: Call, read: Reading) -> Mapping[int, Any]:
    """Arguments with which a linear operation adds up sizes: factors without their sign, and no offsets."""
    factors, offsets = _PARTS[call.name]
    instead: dict[int, Any] = {}
    for place in (*factors, *offsets):
        argument = call.args[place]
        if argument is None or _depends(argument):
            continue
        number = read(argument) if isinstance(argument, Value) else argument
        instead[place] = abs(number) if place in factors else number * 0
    return instead


def _with(source: Value, tensor: Tensor, read: Reading) -> Reading:
    return lambda value: tensor if value is source else read(value)


def _sign(call: Call, value: Value) -> int:
    place = _NEGATIVE.get(call.name)
    return -1 if place is not None and call.args[place] is value else 1


def _depends(argument: Any) -> bool:
    return isinstance(argument, Value) and argument.depends


_PRODUCTS = {f"aten.{name}" for name in ("convolution", "_convolution", "mm", "bmm", "addmm", "baddbmm")}
# The places of what is multiplied and of what is added.
_PARTS: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    **dict.fromkeys(("aten.convolution", "aten._convolution"), ((0, 1), (2,))),
    **dict.fromkeys(("aten.mm", "aten.bmm", "aten.mul", "aten.div"), ((0, 1), ())),
    **dict.fromkeys(("aten.addmm", "aten.baddbmm"), ((1, 2), (0,))),
    **dict.fromkeys(("aten.add", "aten.sub", "aten.rsub"), ((), (0, 1))),
    "aten.native_batch_norm": ((0, 1), (2, 3)),
    "aten.neg": ((0,), ()),
}
_NEGATIVE = {"aten.sub": 1, "aten.rsub": 0, "aten.neg": 0}
