"""What an operation does with relevance: the contract, the registry, and the element-wise operations.

Three kinds cover almost everything without weights: *passing* relevance on, element by element; *selections*, whose
outputs are copies of inputs or of constants; *sums*, which divide it in proportion to their terms.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.engine.memory import Value

if TYPE_CHECKING:
    from pellucid.engine.relevance import Propagation
    from pellucid.engine.tape import Call

OPERATIONS: dict[str, "Operation"] = {}

CONSTANT, BIAS, SHIFT, STABILIZER, ZERO = "constant", "bias", "batch-norm shift", "stabiliser", "zero"
NORM_SHIFT, SOFTMAX = "norm shift", "softmax"


class Operation:
    """How one operation hands the relevance of its output to its inputs.

    ``parametric``: it has weights, so it ends what is first on a path from the point. ``transparent``: it may stand
    between the point and a first-layer rule, whose relevance is not proportional to the values it goes to. ``families``:
    the kinds of rules that it can be given by place.
    """

    parametric = False
    transparent = False
    families: frozenset[str] = frozenset()

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        """Give all of ``relevance`` (in the shape of the first output) to inputs, or absorb it under a named source."""
        raise NotImplementedError

    def distribute_all(self, call: "Call", relevances: tuple[Tensor | None, ...], propagation: "Propagation") -> None:
        """The same where several outputs may carry relevance; overridden by operations for which that has a meaning."""
        relevance, *others = relevances
        if relevance is None or any(other is not None and bool(other.any()) for other in others):
            raise unanswerable(call, "relevance arrives at its second output")
        self.distribute(call, relevance, propagation)

    def output_axis(self, call: "Call", source: Value, axis: int) -> int | None:
        """Where the batch axis of an input is in the output; None where examples do not stay apart.

        Here: the same axis, counted from the right as in broadcasting.
        """
        output = call.outputs[0]
        assert output is not None
        place = len(output.size) - len(source.size) + axis
        return place if place >= 0 and output.size[place] == source.size[axis] else None


def register_operation(name: str, operation: Operation) -> None:
    """Teach the engine an operation, ``"library::name"`` or ``"aten.name"``; its in-place and out forms come with it."""
    if not isinstance(operation, Operation):
        raise UsageError(f"register_operation takes an Operation such as Passing(), not a {type(operation).__name__}")
    OPERATIONS[name.replace("::", ".")] = operation


def unanswerable(call: "Call", reason: str = "") -> NotAnswerable:
    """The refusal of one operation, with its name, its place and the way out."""
    because = f" ({reason})" if reason else ""
    return NotAnswerable(
        f"relevance has no rule for {call}{because}; teach it one with register_operation of "
        "pellucid.engine.relevance_operations, or ask integrated-gradients or occlusion"
    )


class Passing(Operation):
    """Relevance goes on unchanged to the first argument: activations."""

    transparent = True

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        if any(value.depends for value in call.values[1:]):
            raise unanswerable(call, "its parameters depend on the input")
        propagation.give(call.args[0], relevance)


class RandomLeak(Passing):
    """A leaky ReLU whose slopes are random in training, and fixed otherwise."""

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        if len(call.args) > 4 and call.args[4]:
            raise unanswerable(call, "it is random in training mode")
        super().distribute(call, relevance, propagation)


class Copy(Operation):
    """The output is the last tensor argument, copied, cast or broadcast."""

    transparent = True

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        source = call.values[-1]
        if source.depends:
            propagation.give(source, relevance.sum_to_size(source.size))
        else:
            propagation.absorb(CONSTANT, relevance, call.outputs[0])


class Overwrite(Operation):
    """Everything is replaced by constants."""

    transparent = True

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        propagation.absorb(CONSTANT, relevance, call.outputs[0])


class Scaling(Operation):
    """A product with a constant, or a quotient by one: relevance passes, except where the factor is zero."""

    transparent = True

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        signal, factor = call.args[0], call.args[1]
        if call.name == "aten.mul" and isinstance(factor, Value) and factor.depends:
            signal, factor = factor, signal
        if not signal.depends:
            raise unanswerable(call, "a constant divided by something that depends on the input")
        if call.kwargs.get("rounding_mode") is not None:
            raise unanswerable(call, "it rounds")
        if call.name == "aten.mul":
            relevance = self._without_dead(call, relevance, factor, propagation)
        propagation.give(signal, relevance.sum_to_size(signal.size))

    @staticmethod
    def _without_dead(call: "Call", relevance: Tensor, factor: Any, propagation: "Propagation") -> Tensor:
        dead = factor.tensor() == 0 if isinstance(factor, Value) else torch.tensor(factor == 0)
        if not bool(dead.any()):
            return relevance
        propagation.absorb(ZERO, relevance * dead, call.outputs[0])
        return relevance * ~dead


class Addition(Operation):
    """``first·args[0] + second·args[1]`` divides relevance in proportion to its terms; constant terms absorb theirs.

    ``scaled`` says which of the two ``alpha`` multiplies.
    """

    transparent = True

    def __init__(self, first: float, second: float, scaled: int = 1) -> None:
        self.factors, self.scaled = (first, second), scaled

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        signals = [value for value in call.args[:2] if isinstance(value, Value) and value.depends]
        if propagation.disproportionate(call):
            if len(signals) > 1:
                raise unanswerable(call, "a sum before the first layer, under a rule that ignores the input's values")
            propagation.give(signals[0], relevance.sum_to_size(signals[0].size))
            return
        rule, terms = propagation.composite.sum, self.terms(call, propagation)
        one_sided = rule.split == "positive" or (len(signals) == 2 and rule.split == "size")
        if one_sided:
            terms = [term.abs() if rule.split == "size" else term.clamp(min=0) for term in terms]
        total = terms[0] + terms[1] if one_sided else propagation.output(call)
        share = propagation.share(call, relevance, total, positive=one_sided, absorbing=1 - rule.bias_factor)
        given = [share * term for term in terms]
        for place, value in enumerate(call.args[:2]):
            if not (isinstance(value, Value) and value.depends):
                # A mask of −∞ stands where nothing arrives.
                given[place] = torch.where(share == 0, 0, given[place])
                propagation.absorb(CONSTANT, given[place] * (1 - rule.bias_factor), call.outputs[0])
        if len(signals) == 2:
            propagation.watch_cancellation(relevance, given[0].abs() + given[1].abs(), call.outputs[0])
        rest = self._rest(call, relevance, given, rule.bias_factor)
        for place, value in enumerate(call.args[:2]):
            if isinstance(value, Value) and value.depends:
                amount = given[place] if rest is None else given[place] + rest / len(signals)
                propagation.give(value, amount.sum_to_size(value.size))

    @staticmethod
    def _rest(call: "Call", relevance: Tensor, given: list[Tensor], factor: float) -> Tensor | None:
        """What no signal got of the relevance, times ``factor``."""
        if not factor:
            return None
        signals = [
            amount
            for value, amount in zip(call.args, given, strict=False)
            if isinstance(value, Value) and value.depends
        ]
        return (relevance - sum(signals, torch.zeros_like(relevance))) * factor

    def factor(self, call: "Call", place: int) -> float:
        """What the term at ``place`` is multiplied by."""
        alpha = call.args[2] if len(call.args) > 2 else call.kwargs.get("alpha", 1)
        return self.factors[place] * (alpha if place == self.scaled else 1)

    def terms(self, call: "Call", propagation: "Propagation") -> list[Tensor]:
        """Both terms, factors included; a number is a tensor without axes."""
        found = []
        for place, value in enumerate(call.args[:2]):
            given = isinstance(value, Value)
            amount = propagation.tensor(value) if given else torch.tensor(float(value), dtype=propagation.dtype)
            factor = self.factor(call, place)
            found.append(amount if factor == 1 else amount * factor)
        return found


class Extremum(Operation):
    """The larger (or smaller) of two values: the winner takes all, equals share."""

    def __init__(self, larger: bool) -> None:
        self.larger = larger

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        first, second = (propagation.tensor(value) for value in call.args[:2])
        ahead = first - second if self.larger else second - first
        won = (ahead > 0).to(relevance) + (ahead == 0).to(relevance) / 2
        shares = (won, 1 - won)
        for value, part in zip(call.args[:2], shares, strict=True):
            given = relevance * part
            if value.depends:
                propagation.give(value, given.sum_to_size(value.size))
            else:
                propagation.absorb(CONSTANT, given, call.outputs[0])


_ACTIVATIONS = (
    "relu relu6 hardtanh leaky_relu elu celu selu gelu silu mish sigmoid tanh hardswish hardsigmoid softplus "
    "log_sigmoid_forward _prelu_kernel threshold clamp clamp_min clamp_max hardshrink softshrink neg "
    "abs sqrt exp expm1 log log1p log10 log2 sin cos tan asinh atan erf"
)

for _name in _ACTIVATIONS.split():
    register_operation(f"aten.{_name}", Passing())
for _name in ("clone", "_to_copy", "copy", "lift_fresh_copy"):
    register_operation(f"aten.{_name}", Copy())
for _name in ("zero", "fill"):
    register_operation(f"aten.{_name}", Overwrite())
register_operation("aten.rrelu_with_noise", RandomLeak())
register_operation("aten.rsub", Addition(-1, 1, scaled=0))
register_operation("aten.maximum", Extremum(larger=True))
register_operation("aten.minimum", Extremum(larger=False))
