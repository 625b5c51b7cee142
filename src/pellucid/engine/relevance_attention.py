"""Attention: the softmax, and matrix products of two values that both depend on the point (achtibat2024attnlrp)."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.engine.memory import Value
from pellucid.engine.relevance_gates import kind
from pellucid.engine.relevance_operations import CONSTANT, SOFTMAX, Operation, register_operation, unanswerable
from pellucid.engine.relevance_products import Contraction
from pellucid.engine.rules import Attention

if TYPE_CHECKING:
    from pellucid.engine.relevance import Propagation
    from pellucid.engine.tape import Call

_SOFTMAXES = frozenset({"aten._softmax", "aten._safe_softmax"})


class Softmax(Operation):
    """Each input gets what it changes to first order, x (R − s ΣR); the rest of R is absorbed."""

    families = frozenset({"attention"})

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        source, axis = call.args[0], call.args[1]
        propagation.special(call, Attention)
        chances = propagation.output(call)
        given = propagation.tensor(source) * (relevance - chances * relevance.sum(axis, keepdim=True))
        # A masked score is −∞; its chance is 0, and it takes part in nothing.
        given = torch.where(chances == 0, 0, given)
        propagation.absorb(SOFTMAX, relevance - given, call.outputs[0])
        propagation.give(source, given)

    def output_axis(self, call: "Call", source: Value, axis: int) -> int | None:
        return None if axis == call.args[1] % len(source.size) else axis


class LogSoftmax(Softmax):
    """The same for the logarithm of a softmax: x (c − s Σc), where c is the relevance of an output over its value."""

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        source, axis = call.args[0], call.args[1]
        output = propagation.output(call)
        share = propagation.share(call, relevance, output)
        given = propagation.tensor(source) * (share - output.exp() * share.sum(axis, keepdim=True))
        propagation.absorb(SOFTMAX, share * output - given, call.outputs[0])
        propagation.give(source, given)


class MatrixProduct(Contraction):
    """A matrix product: with weights by the composite's rule; of two values that depend on the point, half to each.

    Under ``Attention("cp-lrp")`` the weights of an attention (a softmax) are held fixed instead, and the values take all.
    """

    families = frozenset({"weights", "attention"})

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        left, right = call.args[self.left], call.args[self.right]
        if not (left.depends and right.depends):
            super().distribute(call, relevance, propagation)
            return
        offset = None if self.bias is None else call.args[self.bias]
        if offset is not None and offset.depends:
            raise unanswerable(call, "three of its terms depend on the input")
        shares = self._shares(call, propagation)
        share = propagation.share(call, relevance, propagation.output(call))
        if offset is not None:
            self._absorb_offset(call, offset, share, propagation)
        one, other = propagation.tensor(left), propagation.tensor(right)
        factor = call.kwargs.get("alpha", 1)
        if shares[0]:
            propagation.give(left, one * _times(share, other.mT, left.size) * (shares[0] * factor))
        if shares[1]:
            propagation.give(right, other * _times(one.mT, share, right.size) * (shares[1] * factor))

    def _shares(self, call: "Call", propagation: "Propagation") -> tuple[float, float]:
        rule = propagation.special(call, Attention)
        if rule.kind == "cp-lrp":
            weights = [kind(call.args[place], call, propagation) in _SOFTMAXES for place in (self.left, self.right)]
            if weights[0] != weights[1]:
                return (0.0, 1.0) if weights[0] else (1.0, 0.0)
        return 0.5, 0.5

    @staticmethod
    def _absorb_offset(call: "Call", offset: Value, share: Tensor, propagation: "Propagation") -> None:
        term = propagation.tensor(offset) * call.kwargs.get("beta", 1)
        # A mask of −∞ stands where nothing arrives.
        propagation.absorb(CONSTANT, torch.where(share == 0, 0, share * term), call.outputs[0])

    def output_axis(self, call: "Call", source: Value, axis: int) -> int | None:
        left, right = call.args[self.left], call.args[self.right]
        if left.depends and right.depends:
            # Both carry the examples along the axis that the product is batched over; elsewhere they would be mixed.
            return 0 if axis == 0 and len(source.size) == 3 else None
        return super().output_axis(call, source, axis)


def _times(one: Tensor, other: Tensor, like: tuple[int, ...]) -> Tensor:
    return (one @ other).reshape(like)


for _name in _SOFTMAXES:
    register_operation(_name, Softmax())
register_operation("aten._log_softmax", LogSoftmax())
for _name in ("mm", "bmm", "mv", "dot"):
    register_operation(f"aten.{_name}", MatrixProduct(0, 1))
for _name in ("addmm", "baddbmm", "addmv"):
    register_operation(f"aten.{_name}", MatrixProduct(1, 2, bias=0))
