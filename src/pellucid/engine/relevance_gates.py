"""Products and quotients of two values that both depend on the point: gates, normalisers, attention weights.

What a factor is, is told by the operation that wrote it, whatever stands in between: a constant factor, one minus it, a
copy, a view.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pellucid.engine.memory import Value
from pellucid.engine.relevance_operations import Operation, Scaling, register_operation, unanswerable
from pellucid.engine.relevance_sums import apart_from, reduced
from pellucid.engine.rules import Gate

if TYPE_CHECKING:
    from pellucid.engine.relevance import Propagation
    from pellucid.engine.tape import Call

GATES = frozenset({"aten.sigmoid", "aten.hardsigmoid"})
# Factors and denominators that only bring the other to a size or a sign.
FACTORS = frozenset({"aten.rsqrt", "aten.reciprocal", "aten.sign"})
NORMS = frozenset(f"aten.{name}" for name in ("sqrt", "pow", "linalg_vector_norm", "std", "var", "sum", "mean"))
# These keep what a factor is: a gate times a constant, or one minus a gate, is a gate.
_KEEPING = frozenset(
    f"aten.{name}"
    for name in ("mul", "div", "add", "sub", "rsub", "neg", "clone", "copy", "_to_copy", "clamp_min", "clamp")
)


class Product(Scaling):
    """A product or quotient. Of two values that both depend on the point:

    a gate (a sigmoid, one minus it, a multiple of it) gets the share that ``Gate`` names; what normalises gets nothing,
    its size is a fact of the example that is held fixed; two signals share evenly.
    """

    families = frozenset({"gate"})

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        first, second = call.args[0], call.args[1]
        if not (_depends(first) and _depends(second)):
            super().distribute(call, relevance, propagation)
            return
        if call.kwargs.get("rounding_mode") is not None:
            raise unanswerable(call, "it rounds")
        shares = self._shares(call, propagation)
        for value, share in zip((first, second), shares, strict=True):
            if share:
                propagation.give(value, (relevance * share).sum_to_size(value.size))

    def _shares(self, call: "Call", propagation: "Propagation") -> tuple[float, float]:
        kinds = [kind(value, call, propagation) for value in call.args[:2]]
        if call.name == "aten.div":
            if kinds[1] not in NORMS:
                raise unanswerable(call, "a quotient by something that depends on the input and is no norm")
            return 1.0, 0.0
        if (kinds[0] in FACTORS) != (kinds[1] in FACTORS):
            return (0.0, 1.0) if kinds[0] in FACTORS else (1.0, 0.0)
        if (kinds[0] in GATES) != (kinds[1] in GATES):
            share = propagation.special(call, Gate).share
            return (share, 1 - share) if kinds[0] in GATES else (1 - share, share)
        return 0.5, 0.5


def kind(value: Value, call: "Call", propagation: "Propagation") -> str:
    """The name of the operation that made what ``call`` reads as ``value``, behind those that keep what it is; "" where
    that is not one operation."""
    writer = propagation.writer(value, call)
    while writer is not None and writer.name in _KEEPING and len(writer.inputs) == 1:
        writer = propagation.writer(writer.inputs[0], writer)
    return "" if writer is None else writer.name


def _depends(value: Any) -> bool:
    return isinstance(value, Value) and value.depends


class GatedHalf(Operation):
    """The first half of an axis times the sigmoid of the second: ``glu``."""

    families = frozenset({"gate"})

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        axis = call.args[1] if len(call.args) > 1 else call.kwargs.get("dim", -1)
        share = propagation.special(call, Gate).share
        propagation.give(call.args[0], torch.cat([relevance * (1 - share), relevance * share], axis))

    def output_axis(self, call: "Call", source: Value, axis: int) -> int | None:
        return apart_from(1, -1)(call, source, axis)


class Power(Operation):
    """A positive constant power, element by element: relevance passes, as through any activation."""

    transparent = True

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        exponent = call.args[1]
        if isinstance(exponent, Value) or exponent <= 0:
            raise unanswerable(call, "its exponent is not a positive number")
        propagation.give(call.args[0], relevance)


class Held(Operation):
    """A part of what normalises: it is held fixed, so relevance never comes here but by another way, which is refused.

    ``dim`` is the position of the axes that it reduces; None where it works element by element.
    """

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        if bool(relevance.any()):
            raise unanswerable(call, "it is known only as a part of a norm")

    def output_axis(self, call: "Call", source: Value, axis: int) -> int | None:
        return super().output_axis(call, source, axis) if self.dim is None else reduced(call, source, axis, self.dim)


for _name in ("rsqrt", "reciprocal", "sign"):
    register_operation(f"aten.{_name}", Held())
for _name in ("var", "std"):
    register_operation(f"aten.{_name}", Held(1))
register_operation("aten.linalg_vector_norm", Held(2))
for _name in ("mul", "div"):
    register_operation(f"aten.{_name}", Product())
register_operation("aten.pow", Power())
register_operation("aten.glu", GatedHalf())
