"""What captum's relevance rules, held by modules as ``rule``, are on our engine; told by their names and fields."""

from collections.abc import Iterable
from typing import Any, get_args

from torch import nn

from pellucid.core.errors import UsageError
from pellucid.engine.rules import Composite, Epsilon, Gamma, Pass, Rule, ZPlus

_EPSILON = Epsilon(epsilon=1e-9)
COMPOSITE = Composite("captum", convolution=_EPSILON, linear=_EPSILON)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd)


def rules_of(network: nn.Module, called: Iterable[str]) -> dict[str, Rule]:
    """The rule of every layer with weights among those that are ``called``, if it is not the composite's.

    A batch norm has one of its own, by which it is not folded into the layer before it. What has no weights (activations,
    pooling, sums) shares by the ε-rule, and can hold no other.
    """
    parts, found = dict(network.named_modules()), {}
    for name in called:
        module, held = parts[name], getattr(parts[name], "rule", None)
        native = _EPSILON if held is None else _native(held)
        if isinstance(module, _NORMS) or (held is not None and isinstance(module, _WEIGHTED)):
            found[name] = native
        elif native != _EPSILON:
            raise UsageError(
                f"LRP: {type(held).__name__} of a {type(module).__name__} has no weights to act on; leave it out"
            )
    return found


def _native(rule: Any) -> Rule:
    if isinstance(rule, get_args(Rule)):
        return rule
    bias_apart = bool(getattr(rule, "set_bias_to_zero", False))
    match type(rule).__name__:
        case "EpsilonRule":
            return Epsilon(epsilon=rule.STABILITY_FACTOR)
        case "GammaRule":
            return Gamma(gamma=rule.gamma, zero_bias=bias_apart)
        case "Alpha1_Beta0_Rule":
            return ZPlus(zero_bias=bias_apart)
        case "IdentityRule":
            return Pass()
    raise UsageError(
        f"LRP: there is no rule {type(rule).__name__!r} here; use captum's EpsilonRule, GammaRule, Alpha1_Beta0_Rule or "
        "IdentityRule, or one of pellucid.engine.rules"
    )
