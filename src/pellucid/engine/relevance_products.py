"""Convolutions and linear maps: what each rule does with their relevance, batch norm folded in.

Every rule is written once, in terms of the two maps that an operation offers: forward, a ↦ Σ aw, and backward, its
transpose. A batch norm that follows is a factor per output; its sign goes into the weights, its size onto the outputs, so
that parts of weights are never scaled one by one.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.engine.memory import Value
from pellucid.engine.relevance_operations import (
    OPERATIONS,
    SHIFT,
    Addition,
    Operation,
    register_operation,
    unanswerable,
)
from pellucid.engine.relevance_rules import redistributed
from pellucid.engine.rules import Epsilon, Pass

if TYPE_CHECKING:
    from pellucid.engine.relevance import Propagation
    from pellucid.engine.tape import Call

Map = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Fold:
    """What makes one operation with the product before it: output = scale · product + shift.

    ``scale`` (None for 1) and ``shift`` broadcast to the product's output, whose shape ``output`` has.
    """

    scale: Tensor | None
    shift: Tensor
    output: Tensor


@dataclass
class Product:
    """One call of z = scale · Σ aw + b: ``inputs`` a, ``weight`` w, ``bias`` b, ``output`` z.

    ``scale`` is positive (or None) and, like ``bias``, broadcasts to the output; ``written`` is the output on the tape.
    ``joins``: the transpose also takes several weights at once, side by side on their second axis, for several inputs.
    ``nonnegative`` promises a ≥ 0; ``light``, that a pass over the weights costs less than one over the outputs.
    """

    call: "Call"
    source: Value
    inputs: Tensor
    weight: Tensor
    bias: Tensor | None
    scale: Tensor | None
    written: Tensor
    linear: Map
    transpose: Map
    joins: bool = False
    nonnegative: bool = False

    @property
    def light(self) -> bool:
        """Whether there are fewer weights than outputs."""
        return self.weight.numel() < self.written.numel()

    @functools.cached_property
    def output(self) -> Tensor:
        """z, computed again where the model rounds it to less than the precision of relevance."""
        if self.written.dtype == self.inputs.dtype:
            return self.written
        product = self.forward(self.inputs, self.weight)
        return product if self.bias is None else product + self.bias

    def forward(self, inputs: Tensor, weight: Tensor, power: int = 1) -> Tensor:
        """scaleᵖ · Σ aw, without bias."""
        product = self.linear(inputs, weight)
        return product if self.scale is None or not power else product.mul_(self.scale**power)

    def backward(self, shares: Tensor, weight: Tensor, power: int = 1) -> Tensor:
        """The transpose of :meth:`forward`, in the shape of the inputs."""
        scaled = shares if self.scale is None or not power else shares * self.scale**power
        return self.transpose(scaled, weight)

    def parts(self) -> tuple[Tensor, Tensor | None]:
        """a⁺, and a⁻ if any input is negative."""
        negative = not self.nonnegative and self.inputs.numel() > 0 and float(self.inputs.amin()) < 0
        return (self.inputs.clamp(min=0), self.inputs.clamp(max=0)) if negative else (self.inputs, None)


class Parametric(Operation):
    """A convolution or linear map: its rule comes from the composite, or from an override for its place."""

    parametric = True
    families = frozenset({"weights"})
    kind = "linear"

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        product = self.product(call, propagation)
        rule = propagation.rule(call, self.kind)
        propagation.give(product.source, redistributed(rule, product, relevance, propagation))

    def product(self, call: "Call", propagation: "Propagation") -> Product:
        """The call as a product, with the batch norm behind it folded in."""
        raise NotImplementedError

    def feature_axis(self, call: "Call") -> int:
        """The axis of the output along which weights differ: the only one that a bias and a batch norm may have."""
        raise NotImplementedError

    def _folded(
        self, call: "Call", propagation: "Propagation", weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor]:
        """Weight, bias, scale and output with what is folded into the call."""
        fold = propagation.folds.pop(id(call), None)
        if fold is None:
            output = call.outputs[0]
            assert output is not None
            return weight, bias, None, output.tensor()
        scale = fold.scale
        if scale is None:
            return weight, fold.shift if bias is None else fold.shift + bias, None, fold.output
        shift = fold.shift if bias is None else fold.shift + bias * scale
        if weight.numel() < fold.output.numel():
            return self.scaled(weight, scale, call), shift, None, fold.output
        if bool((scale < 0).any()):
            weight = self.scaled(weight, scale.sign(), call)
            scale = scale.abs()
        return weight, shift, scale, fold.output

    def scaled(self, weight: Tensor, scale: Tensor, call: "Call") -> Tensor:
        """The weight, its outputs multiplied by ``scale`` (broadcastable to the output)."""
        raise NotImplementedError


class Convolution(Parametric):
    """Convolutions and transposed convolutions in any number of dimensions."""

    kind = "convolution"

    def product(self, call: "Call", propagation: "Propagation") -> Product:
        source, kernel, offset, *settings = call.args
        settings = settings[:6]
        if not source.depends or kernel.depends or (offset is not None and offset.depends):
            raise unanswerable(call, "its weights depend on the input")
        bias = None
        if offset is not None:
            bias = propagation.tensor(offset).reshape(1, -1, *[1] * (len(source.size) - 2))
        weight, bias, scale, output = self._folded(call, propagation, propagation.tensor(kernel), bias)
        inputs = propagation.tensor(source)

        def forward(values: Tensor, weight: Tensor) -> Tensor:
            return torch.ops.aten.convolution(values, weight, None, *settings)

        joins = not settings[3] and settings[5] == 1

        def backward(shares: Tensor, weight: Tensor) -> Tensor:
            only_input = [True, False, False]
            like = inputs
            if joins and weight.shape[1] != inputs.shape[1]:
                like = inputs.new_empty(inputs.shape[0], weight.shape[1], *inputs.shape[2:])
            return torch.ops.aten.convolution_backward(shares, like, weight, None, *settings, only_input)[0]

        return Product(
            call, source, inputs, weight, bias, scale, output, forward, backward, joins, _nonnegative(source)
        )

    def feature_axis(self, call: "Call") -> int:
        return 1

    def scaled(self, weight: Tensor, scale: Tensor, call: "Call") -> Tensor:
        transposed, groups = call.args[6], call.args[8]
        scale = scale.reshape(-1)
        if not transposed:
            return weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
        # A transposed convolution keeps its outputs on the second axis, the groups of them along the first.
        grouped = weight.reshape(groups, -1, *weight.shape[1:])
        return (grouped * scale.reshape(groups, 1, -1, *[1] * (weight.ndim - 2))).reshape(weight.shape)

    def output_axis(self, call: "Call", source: Value, axis: int) -> int | None:
        return 0 if axis == 0 else None


class Contraction(Parametric):
    """A matrix product with weights on either side; ``factors`` are the positions of its two matrices."""

    def __init__(self, left: int, right: int, bias: int | None = None) -> None:
        self.left, self.right, self.bias = left, right, bias

    def product(self, call: "Call", propagation: "Propagation") -> Product:
        left, right = call.args[self.left], call.args[self.right]
        offset = None if self.bias is None else call.args[self.bias]
        if left.depends == right.depends or (offset is not None and offset.depends):
            raise unanswerable(call, "a matrix product of two values that both depend on the input")
        source, other = (left, right) if left.depends else (right, left)
        alpha, beta = call.kwargs.get("alpha", 1), call.kwargs.get("beta", 1)
        weight = propagation.tensor(other) if alpha == 1 else propagation.tensor(other) * alpha
        bias = None if offset is None or beta == 0 else propagation.tensor(offset) * beta
        weight, bias, scale, output = self._folded(call, propagation, weight, bias)
        linear, transpose = _CONTRACTIONS[len(left.size), len(right.size)][0 if left.depends else 1]
        return Product(call, source, propagation.tensor(source), weight, bias, scale, output, linear, transpose)

    def feature_axis(self, call: "Call") -> int:
        output = call.outputs[0]
        assert output is not None
        return len(output.size) - 1 if call.args[self.left].depends else max(len(output.size) - 2, 0)

    def scaled(self, weight: Tensor, scale: Tensor, call: "Call") -> Tensor:
        return weight * (scale.reshape(1, -1) if call.args[self.left].depends else scale.reshape(-1, 1))

    def output_axis(self, call: "Call", source: Value, axis: int) -> int | None:
        left = source is call.args[self.left]
        contracted = len(source.size) - 1 if left else max(len(source.size) - 2, 0)
        if axis == contracted or len(source.size) == 1:
            return None
        return axis if left or axis < contracted else len(call.outputs[0].size) - 1  # type: ignore[union-attr]


def _left(values: Tensor, weight: Tensor) -> Tensor:
    return values @ weight


def _right(values: Tensor, weight: Tensor) -> Tensor:
    return weight @ values


# By the number of axes of both factors: forward and transpose where the left, and where the right factor is the signal.
_CONTRACTIONS: dict[tuple[int, int], tuple[tuple[Map, Map], tuple[Map, Map]]] = {
    (2, 2): ((_left, lambda s, w: s @ w.mT), (_right, lambda s, w: w.mT @ s)),
    (3, 3): ((_left, lambda s, w: s @ w.mT), (_right, lambda s, w: w.mT @ s)),
    (2, 1): ((_left, lambda s, w: s[:, None] * w), (_right, lambda s, w: w.mT @ s)),
    (1, 1): ((_left, lambda s, w: s * w), (_right, lambda s, w: s * w)),
}


class BatchNorm(Operation):
    """A batch norm in eval mode: folded into the product before it where that has no other reader.

    Elsewhere it is an affine map of its own, under the ε-rule: the shift absorbs its share.
    """

    transparent = True
    families = frozenset({"weights"})

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        source, weight, bias, mean, variance, training, _, eps = call.args[:8]
        if training:
            raise unanswerable(call, "in training mode it mixes the examples of a batch; put the model in eval mode")
        if any(value is not None and value.depends for value in (weight, bias, mean, variance)):
            raise unanswerable(call, "its parameters depend on the input")
        shape = (1, -1, *[1] * (len(source.size) - 2))
        scale = (propagation.tensor(variance) + eps).rsqrt()
        scale = scale if weight is None else scale * propagation.tensor(weight)
        shift = -propagation.tensor(mean) * scale
        shift = shift if bias is None else shift + propagation.tensor(bias)
        scale, shift = scale.reshape(shape), shift.reshape(shape)
        rule = propagation.override(call, "weights")
        if rule is not None and not isinstance(rule, Pass | Epsilon):
            raise UsageError(f"{type(rule).__name__} is no rule for {call}; it takes Epsilon or Pass")
        output = call.outputs[0]
        assert output is not None
        product = propagation.sole_source(source) if rule is None else None
        if product is not None and _written(product).geometry == source.geometry and _feature_axis(product) == 1:
            propagation.folds[id(product)] = Fold(scale, shift, output.tensor())
            propagation.give(source, relevance)
        elif isinstance(rule, Pass) or propagation.disproportionate(call):
            propagation.give(source, relevance)
        else:
            epsilon = rule.epsilon if isinstance(rule, Epsilon) else propagation.composite.sum.stabilizer
            share = propagation.share(call, relevance, propagation.output(call), epsilon)
            propagation.give(source, share * scale * propagation.tensor(source))
            propagation.absorb(SHIFT, share * shift, output)

    def output_axis(self, call: "Call", source: Value, axis: int) -> int | None:
        return axis


class Shifted(Addition):
    """A sum; where one term is constant along all but the features of a product without another reader, it is its bias."""

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        if not self._folded(call, relevance, propagation):
            super().distribute(call, relevance, propagation)

    def _folded(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> bool:
        signals = [place for place, value in enumerate(call.args[:2]) if isinstance(value, Value) and value.depends]
        source, output = call.args[signals[0]], call.outputs[0]
        assert output is not None
        if len(signals) > 1 or self.factor(call, signals[0]) != 1 or output.size != source.size:
            return False
        product = propagation.sole_source(source)
        if product is None:
            return False
        shift, result = self.terms(call, propagation)[1 - signals[0]], output.tensor()
        written, axis = _written(product), _feature_axis(product)
        if written.geometry != source.geometry:
            # A linear map of more than two axes is a matrix product of rows, seen in another shape when its bias is added.
            whole = result.is_contiguous() and _contiguous(source) and _contiguous(written)
            same = written.size[-1] == source.size[-1] and result.numel() == math.prod(written.size)
            if not whole or not same or shift.numel() != (shift.shape[-1] if shift.ndim else 1):
                return False
            shift, result = shift.reshape(-1), result.view(written.size)
        shift = shift.reshape(*[1] * (len(written.size) - shift.ndim), *shift.shape)
        if shift.numel() != shift.shape[axis]:
            return False
        propagation.folds[id(product)] = Fold(None, shift, result)
        propagation.give(source, relevance)
        return True


def _nonnegative(value: Value) -> bool:
    """Whether a rectifier wrote all of a tensor, or what was padded with zeros to make it."""
    writer = value.content.writer
    while writer is not None and _written(writer).content is value.content and _fills(_written(writer)):
        if writer.name == "aten.relu" or (writer.name == "aten.hardtanh" and (*writer.args, -1)[1] >= 0):
            return True
        if writer.name != "aten.constant_pad_nd" or (*writer.args, 0)[2] < 0:
            return False
        value = writer.args[0]
        writer = value.content.writer
    return False


def _fills(value: Value) -> bool:
    return math.prod(value.size) == value.memory.cells


def _written(product: "Call") -> Value:
    output = product.outputs[0]
    assert output is not None
    return output


def _feature_axis(product: "Call") -> int:
    operation = OPERATIONS[product.name]
    assert isinstance(operation, Parametric)
    return operation.feature_axis(product)


def _contiguous(value: Value) -> bool:
    steps = [math.prod(value.size[place + 1 :]) for place in range(len(value.size))]
    return all(size == 1 or step == given for size, step, given in zip(value.size, steps, value.stride, strict=True))


for _name in ("convolution", "_convolution", "convolution_overrideable"):
    register_operation(f"aten.{_name}", Convolution())
register_operation("aten.add", Shifted(1, 1))
register_operation("aten.sub", Shifted(1, -1))
