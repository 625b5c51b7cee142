"""The rules of LRP, each written once in terms of the two maps that every convolution or linear map offers."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.engine.relevance_operations import ZERO
from pellucid.engine.rules import (
    AlphaBeta,
    Epsilon,
    Flat,
    Gamma,
    Norm,
    Pass,
    WeightRule,
    WSquare,
    ZBox,
    ZMinus,
    ZPlus,
)

if TYPE_CHECKING:
    from pellucid.engine.relevance import Propagation
    from pellucid.engine.relevance_products import Product


def redistributed(rule: WeightRule, product: "Product", relevance: Tensor, propagation: "Propagation") -> Tensor:
    """The relevance of a product's inputs; what the rule gives to bias or stabiliser is absorbed."""
    match rule:
        case Epsilon() | Norm():
            return _epsilon(rule, product, relevance, propagation)
        case ZPlus():
            return _one_sided(rule, product, relevance, propagation, 1.0, 1)
        case ZMinus():
            return _one_sided(rule, product, relevance, propagation, 1.0, -1)
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
    factor = rule.bias_factor
    shares = propagation.share(product.call, relevance, denominator, epsilon, bias, absorbing=1 - factor)
    given = product.backward(shares, product.weight).mul_(product.inputs)
    return given if not factor else given.add_(_spread(product, shares, denominator, epsilon, bias), alpha=factor)


def _spread(product: "Product", shares: Tensor, denominator: Tensor, epsilon: float, bias: Tensor | None) -> Tensor:
    """What bias and stabiliser took, divided evenly over the inputs of each output."""
    taken = torch.copysign(denominator.new_full((), epsilon), denominator)
    taken = shares * (taken if bias is None else taken + bias)
    ones = torch.ones_like(product.weight)
    return product.backward(taken / product.forward(torch.ones_like(product.inputs), ones, 0), ones, 0)


def _one_sided(
    rule: ZPlus | ZMinus | AlphaBeta,
    product: "Product",
    relevance: Tensor,
    propagation: "Propagation",
    factor: float,
    sign: int,
) -> Tensor:
    """``factor`` times the share of the terms that raise z (sign 1) or lower it (sign −1)."""
    positive, negative = product.parts()
    up = _clamped(product.weight, sign, propagation)
    denominator = product.forward(positive, up)
    if negative is not None:
        down = _clamped(product.weight, -sign, propagation)
        denominator += product.forward(negative, down)
    bias = None
    if product.bias is not None and not rule.zero_bias:
        bias = product.bias.clamp(min=0) if sign > 0 else product.bias.clamp(max=0)
        denominator += bias
    if factor != 1:
        relevance = relevance * factor
    shares = propagation.share(product.call, relevance, denominator, rule.stabilizer, bias, positive=sign > 0)
    given = product.backward(shares, up).mul_(positive)
    return given if negative is None else given.add_(negative * product.backward(shares, down))


def _clamped(weight: Tensor, sign: int, propagation: "Propagation") -> Tensor:
    """The positive or negative part of a weight, valid until the same part of another one is asked for."""
    part = propagation.scratch(sign, weight)
    return torch.clamp(weight, min=0, out=part) if sign > 0 else torch.clamp(weight, max=0, out=part)


def _gamma(rule: Gamma, product: "Product", relevance: Tensor, propagation: "Propagation") -> Tensor:
    """Everything from one modified weight, because (w + γw⁺) + (w + γw⁻) = (2 + γ) w.

    So D₊ + D₋ = (2 + γ) z as well, and neither difference cancels where it is used: there D is at least γ times the larger
    of its positive and negative part.
    """
    gain, both, weight = 1 + rule.gamma, 2 + rule.gamma, product.weight
    positive, negative = product.parts()
    size = positive if negative is None else product.inputs.abs()
    bias = None if rule.zero_bias else product.bias
    total = product.output - product.bias if rule.zero_bias and product.bias is not None else product.output
    # w + γw⁺ but for the factor 1 + γ, which goes where it costs less.
    leaning = torch.ops.aten.leaky_relu.out(weight, 1 / gain, out=propagation.scratch(1, weight))
    if product.light:
        leaning.mul_(gain)
        gain = 1.0
    raising = _times(product.forward(size, leaning), gain)
    if negative is not None:
        raising += (
            product.forward(negative, weight * both) if product.light else product.forward(negative, weight) * both
        )
    if bias is not None:
        raising += bias + bias.clamp(min=0) * rule.gamma

    # threshold_backward keeps relevance where z > 0, in one pass.
    above = torch.ops.aten.threshold_backward(relevance, product.output, 0)
    rest = torch.sub(relevance, above, out=propagation.scratch(2, relevance))
    signed = bool(rest.any())
    lowering = total * both - raising if signed else None
    own = None if bias is None else bias + bias.clamp(min=0) * rule.gamma
    # Where z > 0, D is too, with its bias; elsewhere nothing arrives.
    positive_only = own is not None or product.bias is None
    raised = raising.clamp_(min=0) if positive_only else raising
    upper = propagation.share(product.call, above, raised, rule.stabilizer, own, positive=positive_only)
    if lowering is None:
        given = product.backward(_times(upper, gain), leaning).mul_(size)
    else:
        below = torch.ops.aten.threshold_backward(relevance, -product.output, 0)
        propagation.absorb(ZERO, rest - below, product.call.outputs[0])
        own = None if bias is None else bias + bias.clamp(max=0) * rule.gamma
        lower = propagation.share(product.call, below, lowering, rule.stabilizer, own)
        given = product.backward(_times(upper - lower, gain), leaning).mul_(size)
        given += product.backward(lower * both, weight).mul_(positive)
    return given if negative is None else given.add_(product.backward(upper * both, weight).mul_(negative))


def _times(amount: Tensor, factor: float) -> Tensor:
    return amount if factor == 1 else amount * factor


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
