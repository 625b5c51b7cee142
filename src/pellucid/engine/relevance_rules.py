"""The rules of LRP, each written once in terms of the two maps that every convolution or linear map offers."""

import functools
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.engine.relevance_operations import ZERO
from pellucid.engine.rules import AlphaBeta, Epsilon, Flat, Gamma, Norm, Pass, Rule, WSquare, ZBox, ZPlus

if TYPE_CHECKING:
    from pellucid.engine.relevance import Propagation
    from pellucid.engine.relevance_products import Product


def redistributed(rule: Rule, product: "Product", relevance: Tensor, propagation: "Propagation") -> Tensor:
    """The relevance of a product's inputs; what the rule gives to bias or stabiliser is absorbed."""
    match rule:
        case Epsilon() | Norm():
            return _epsilon(rule, product, relevance, propagation)
        case ZPlus():
            return _one_sided(rule, product, relevance, propagation, 1.0, 1)
        case AlphaBeta():
            raising = _one_sided(rule, product, relevance, propagation, rule.alpha, 1)
            return raising + _one_sided(rule, product, relevance, propagation, -rule.beta, -1) if rule.beta else raising
        case Gamma():
            return _gamma(rule, product, relevance, propagation)
        case ZBox():
            return _box(rule, product, relevance, propagation)
        case WSquare() | Flat():
            return _by_weight(rule, product, relevance, propagation)
        case Pass():
            return _passed(product, relevance)


def _epsilon(rule: Epsilon | Norm, product: "Product", relevance: Tensor, propagation: "Propagation") -> Tensor:
    epsilon = rule.epsilon if isinstance(rule, Epsilon) else rule.stabilizer
    without_bias = isinstance(rule, Epsilon) and rule.zero_bias and product.bias is not None
    bias = None if without_bias else product.bias
    denominator = product.output - product.bias if without_bias else product.output  # type: ignore[operator]
    shares = propagation.share(product.call, relevance, denominator, epsilon, bias)
    return product.inputs * product.backward(shares, product.weight)


def _one_sided(
    rule: ZPlus | AlphaBeta, product: "Product", relevance: Tensor, propagation: "Propagation", factor: float, sign: int
) -> Tensor:
    """``factor`` times the share of the terms that raise z (sign 1) or lower it (sign −1)."""
    positive, negative = product.parts()
    up = _clamped(product.weight, sign, propagation)
    denominator = product.forward(positive, up)
    if negative is not None:
        down = _clamped(product.weight, -sign, propagation)
        denominator = denominator + product.forward(negative, down)
    bias = None
    if product.bias is not None and not rule.zero_bias:
        bias = product.bias.clamp(min=0) if sign > 0 else product.bias.clamp(max=0)
        denominator = denominator + bias
    if factor != 1:
        relevance = relevance * factor
    shares = propagation.share(product.call, relevance, denominator, rule.stabilizer, bias, positive=sign > 0)
    given = positive * product.backward(shares, up)
    return given if negative is None else given + negative * product.backward(shares, down)


def _clamped(weight: Tensor, sign: int, propagation: "Propagation") -> Tensor:
    """The positive or negative part of a weight, valid until the same part of another one is asked for."""
    part = propagation.scratch(sign, weight)
    return torch.clamp(weight, min=0, out=part) if sign > 0 else torch.clamp(weight, max=0, out=part)


def _gamma(rule: Gamma, product: "Product", relevance: Tensor, propagation: "Propagation") -> Tensor:
    """D₋ needs no product of its own: D₊ + D₋ = (2 + γ) z, and the difference does not cancel where D₋ is used."""
    gain = 1 + rule.gamma
    positive, negative = product.parts()
    leaning = _Leaning(product.weight, gain, propagation)
    bias = None if rule.zero_bias else product.bias
    total = product.output - product.bias if rule.zero_bias and product.bias is not None else product.output
    raising = product.forward(positive, leaning.up) * gain
    if negative is not None:
        raising = raising + product.forward(negative, leaning.down)
    if bias is not None:
        raising = raising + (bias + bias.clamp(min=0) * rule.gamma)

    # threshold_backward keeps relevance where z > 0, in one pass.
    above = torch.ops.aten.threshold_backward(relevance, product.output, 0)
    rest = relevance - above
    own = None if bias is None else bias + bias.clamp(min=0) * rule.gamma
    shares = propagation.share(product.call, above, raising, rule.stabilizer, own)
    given = positive * product.backward(shares * gain, leaning.up)
    if negative is not None:
        given = given + negative * product.backward(shares, leaning.down)
    if not bool(rest.any()):
        return given

    below = torch.ops.aten.threshold_backward(relevance, -product.output, 0)
    propagation.absorb(ZERO, rest - below, product.call.outputs[0])
    own = None if bias is None else bias + bias.clamp(max=0) * rule.gamma
    shares = propagation.share(product.call, below, total * (1 + gain) - raising, rule.stabilizer, own)
    given = given + positive * product.backward(shares, leaning.down)
    return given if negative is None else given + negative * product.backward(shares * gain, leaning.up)


class _Leaning:
    """w + γw⁺ (but for the factor 1 + γ, which costs less on the outputs), and w + γw⁻; each made when first used."""

    def __init__(self, weight: Tensor, gain: float, propagation: "Propagation") -> None:
        self._weight, self._gain, self._propagation = weight, gain, propagation

    @functools.cached_property
    def up(self) -> Tensor:
        return self._leak(1, 1 / self._gain)

    @functools.cached_property
    def down(self) -> Tensor:
        return self._leak(-1, self._gain)

    def _leak(self, slot: int, slope: float) -> Tensor:
        return torch.ops.aten.leaky_relu.out(self._weight, slope, out=self._propagation.scratch(slot, self._weight))


def _box(rule: ZBox, product: "Product", relevance: Tensor, propagation: "Propagation") -> Tensor:
    """Every term (a − l)w⁺ and (a − h)w⁻ is ≥ 0 inside the box, so nothing cancels."""
    low, high = propagation.box(product.call, product.source, rule)
    up, down = product.weight.clamp(min=0), product.weight.clamp(max=0)
    over, under = product.inputs - low, product.inputs - high
    denominator = product.forward(over, up) + product.forward(under, down)
    shares = propagation.share(product.call, relevance, denominator, rule.stabilizer)
    if not product.joins:
        return over * product.backward(shares, up) + under * product.backward(shares, down)
    # With few input channels, one transposed convolution to twice as many costs no more than to one set of them.
    raised, lowered = product.backward(shares, torch.cat([up, down], 1)).chunk(2, 1)
    return over * raised + under * lowered


def _by_weight(rule: WSquare | Flat, product: "Product", relevance: Tensor, propagation: "Propagation") -> Tensor:
    """The inputs are ones, also under padding that stands before the first layer: there they are zeros."""
    squared = isinstance(rule, WSquare)
    weight = product.weight**2 if squared else torch.ones_like(product.weight)
    power = 2 if squared else 0
    support = propagation.support(product.call, product.source)
    denominator = product.forward(support, weight, power)
    bias = None
    if isinstance(rule, WSquare) and product.bias is not None and not rule.zero_bias:
        bias = product.bias**2
        denominator = denominator + bias
    shares = propagation.share(product.call, relevance, denominator, rule.stabilizer, bias, positive=True)
    return support * product.backward(shares, weight, power)


def _passed(product: "Product", relevance: Tensor) -> Tensor:
    if relevance.shape != product.inputs.shape:
        raise NotAnswerable(f"Pass is no rule for {product.call}: its input and output differ in shape")
    return relevance
