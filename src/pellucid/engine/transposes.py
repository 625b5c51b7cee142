"""The transpose of one recorded operation: what arrives at its outputs, handed to its inputs by its derivative.

By default that is a vector–Jacobian product of the operation, run again under autograd with any values for its own; for
the operations that most of a network's time goes to there are formulas that do without running it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.engine.dispatch import results
from pellucid.engine.memory import Value
from pellucid.engine.tape import Call

Amounts = Sequence[Tensor | None]
Reading = Callable[[Value], Tensor]
Given = list[tuple[Value, Tensor]]
Formula = Callable[[Call, Tensor, Reading], Given | None]

# What torch puts in the place of a derivative that a library did not provide.
_UNKNOWN = ("torch::autograd::WarnNotImplemented", "NotImplemented")


def reader(dtype: torch.dtype) -> Reading:
    """Values as they were, in one precision; whole, complex and truth values as they are."""

    def read(value: Value) -> Tensor:
        tensor = value.tensor()
        if tensor.is_inference():
            tensor = tensor.clone()
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return read


def transposed(call: Call, amounts: Amounts, read: Reading) -> Given:
    """What each input of ``call`` that depends on the point gets for ``amounts``, one per output or None.

    The derivative is taken where ``read`` says the values are; only the winners of a pooling are those on record.
    """
    amount = amounts[0]
    formula = FORMULAS.get(call.name)
    if formula is not None and amount is not None and not amount.is_complex():
        found = formula(call, amount, read)
        if found is not None:
            return found
    return by_autograd(call, amounts, read)


def by_autograd(call: Call, amounts: Amounts, read: Reading, instead: Mapping[int, Any] | None = None) -> Given:
    """The same for any operation, by running it again; ``instead`` replaces arguments by position.

    An operation of torch's own without a derivative hands on nothing, as in autograd; one of another library is refused.
    """
    leaves: list[Tensor] = []

    def leaf(value: Value) -> Tensor:
        tensor = read(value)
        if not value.depends:
            return tensor
        leaves.append(tensor.detach().requires_grad_())
        return leaves[-1]

    try:
        with torch.enable_grad():
            outputs = results(call.run(leaf, instead))
        pairs = [
            (output, amount.to(output.dtype))
            for output, amount in zip(outputs, amounts, strict=False)
            if amount is not None and output.requires_grad
        ]
        unknown = any(output.grad_fn is not None and output.grad_fn.name() in _UNKNOWN for output, _ in pairs)
        if unknown or (not pairs and not call.name.startswith("aten.")):
            raise NotAnswerable(f"{call} has no derivative; ask occlusion or another method that needs outputs only")
        if not pairs:
            return []
        ends, seeds = zip(*pairs, strict=True)
        found = torch.autograd.grad(ends, leaves, seeds, allow_unused=True)
    except RuntimeError as error:
        raise NotAnswerable(
            f"{call} cannot be differentiated ({str(error).splitlines()[0]}); ask occlusion or another method that "
            "needs outputs only"
        ) from error
    inputs = [value for value in call.values if value.depends]
    return [(value, gradient) for value, gradient in zip(inputs, found, strict=True) if gradient is not None]


def constant_factor(call: Call) -> Value | None:
    """The weights of a convolution or matrix product that has one input and one constant factor."""
    factors = [call.args[place] for place in FACTORS.get(call.name, ())]
    constant = [factor for factor in factors if not factor.depends]
    return constant[0] if len(constant) == 1 else None


def _convolution(call: Call, amount: Tensor, read: Reading) -> Given | None:
    source, weight, bias = call.args[:3]
    if weight.depends or (bias is not None and bias.depends):
        return None
    # Only the shape of the input matters for its own gradient.
    like, only_input = amount.new_empty(source.size), [True, False, False]
    back = torch.ops.aten.convolution_backward
    return [(source, back(amount, like, read(weight), None, *call.args[3:9], only_input)[0])]


def _matrix_product(call: Call, amount: Tensor, read: Reading) -> Given | None:
    if call.kwargs:
        return None
    left, right = (call.args[place] for place in FACTORS[call.name])
    given = []
    if FACTORS[call.name] == (1, 2) and call.args[0].depends:
        given.append((call.args[0], amount.sum_to_size(call.args[0].size)))
    if left.depends:
        given.append((left, amount @ read(right).mT))
    if right.depends:
        given.append((right, read(left).mT @ amount))
    return given


def _sum(first: float, second: float, scaled: int = 1) -> Formula:
    """``first·args[0] + second·args[1]``; ``alpha`` multiplies the one at ``scaled``."""

    def formula(call: Call, amount: Tensor, read: Reading) -> Given:
        alpha = call.args[2] if len(call.args) > 2 else call.kwargs.get("alpha", 1)
        factors = [first, second]
        factors[scaled] *= alpha
        return [
            (value, (amount if factor == 1 else amount * factor).sum_to_size(value.size))
            for value, factor in zip(call.args[:2], factors, strict=True)
            if isinstance(value, Value) and value.depends
        ]

    return formula


def _times(call: Call, amount: Tensor, read: Reading) -> Given:
    first, second = call.args[:2]
    return [
        (value, (amount * (read(other) if isinstance(other, Value) else other)).sum_to_size(value.size))
        for value, other in ((first, second), (second, first))
        if isinstance(value, Value) and value.depends
    ]


def _quotient(call: Call, amount: Tensor, read: Reading) -> Given | None:
    first, second = call.args[:2]
    if call.kwargs or (isinstance(second, Value) and second.depends):
        return None
    return [(first, (amount / (read(second) if isinstance(second, Value) else second)).sum_to_size(first.size))]


def _relu(call: Call, amount: Tensor, read: Reading) -> Given:
    return [(call.args[0], torch.ops.aten.threshold_backward(amount, read(call.args[0]), 0))]


def _copied(call: Call, amount: Tensor, read: Reading) -> Given | None:
    source = call.values[-1]
    if not source.depends or not source.live.is_floating_point():
        return None
    return [(source, amount.sum_to_size(source.size))]


def _pieces(call: Call, amount: Tensor, read: Reading) -> Given:
    dim = call.args[1] if len(call.args) > 1 else call.kwargs.get("dim", 0)
    # An empty vector may be among tensors of any rank.
    pieces = [value for value in call.args[0] if value.size != (0,)]
    parts = amount.split([value.size[dim] for value in pieces], dim)
    return [(value, part) for value, part in zip(pieces, parts, strict=True) if value.depends]


def _stack(call: Call, amount: Tensor, read: Reading) -> Given:
    dim = call.args[1] if len(call.args) > 1 else call.kwargs.get("dim", 0)
    parts = amount.unbind(dim)
    return [(value, part) for value, part in zip(call.args[0], parts, strict=True) if value.depends]


def _max_pooling(call: Call, amount: Tensor, read: Reading) -> Given:
    source, winners = call.args[0], call.outputs[1]
    assert winners is not None
    settings = [*call.args[1:], *((), 0, 1, False)[len(call.args) - 2 :]]
    back = torch.ops.aten.max_pool2d_with_indices_backward
    like = amount.new_empty(source.size)
    return [(source, back(amount.contiguous(), like, *settings, winners.tensor()))]


def _batch_norm(call: Call, amount: Tensor, read: Reading) -> Given | None:
    source, weight, bias, mean, variance, training, _, eps = call.args[:8]
    if training or any(value is not None and value.depends for value in (weight, bias, mean, variance)):
        return None
    scale = (read(variance) + eps).rsqrt()
    scale = scale if weight is None else scale * read(weight)
    return [(source, amount * scale.reshape(1, -1, *[1] * (len(source.size) - 2)))]


# Where the two factors of a product are among its arguments.
FACTORS: Mapping[str, tuple[int, int]] = {
    **{f"aten.{name}": (0, 1) for name in ("convolution", "_convolution", "mm", "bmm", "mv", "dot")},
    **{f"aten.{name}": (1, 2) for name in ("addmm", "baddbmm", "addmv")},
}
FORMULAS: Mapping[str, Formula] = {
    **dict.fromkeys(("aten.convolution", "aten._convolution"), _convolution),
    **dict.fromkeys(("aten.mm", "aten.bmm", "aten.addmm", "aten.baddbmm"), _matrix_product),
    **dict.fromkeys(("aten.clone", "aten._to_copy", "aten.copy", "aten.lift_fresh_copy"), _copied),
    **dict.fromkeys(("aten.native_batch_norm", "aten.cudnn_batch_norm", "aten.miopen_batch_norm"), _batch_norm),
    "aten.add": _sum(1, 1),
    "aten.sub": _sum(1, -1),
    "aten.rsub": _sum(-1, 1, scaled=0),
    "aten.mul": _times,
    "aten.div": _quotient,
    "aten.relu": _relu,
    "aten.cat": _pieces,
    "aten.stack": _stack,
    "aten.max_pool2d_with_indices": _max_pooling,
}
