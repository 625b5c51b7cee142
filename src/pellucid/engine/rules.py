"""LRP rules and composites as data: what each redistributes, and which operations get which.

Throughout, z = Σ aw + b is the output of a convolution or linear map, ⁺ and ⁻ are positive and negative parts, and
stab(z) = z + ε·sign(z) with sign(0) = +1. A rule divides the relevance R of an output among the terms of a denominator D,
as term · R / stab(D); what falls to the bias or to ε is absorbed. ``zero_bias`` leaves the bias out of D.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from pellucid.core.content import by_content
from pellucid.core.errors import UsageError, nearest


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise UsageError(message)


@dataclass(frozen=True)
class Epsilon:
    """D = z. With ``epsilon=0`` this is LRP-0. (bach2015pixel)

    ``bias_factor`` of what falls to the bias and to ε is not absorbed but spread evenly over the inputs; with 1, nothing is
    lost. (arras2017explaining)
    """

    epsilon: float = 1e-6
    zero_bias: bool = False
    bias_factor: float = 0.0

    def __post_init__(self) -> None:
        _require(self.epsilon >= 0, "Epsilon: epsilon must be ≥ 0")
        _require(0 <= self.bias_factor <= 1, "Epsilon: bias_factor must be between 0 and 1")


@dataclass(frozen=True)
class Gamma:
    """Favours terms of the sign of z. (montavon2019layerwise, andeol2021learning)

    Where z > 0, D = a⁺(w + γw⁺) + a⁻(w + γw⁻) + b + γb⁺; where z < 0, D = a⁺(w + γw⁻) + a⁻(w + γw⁺) + b + γb⁻;
    where z = 0 nothing is passed on.
    """

    gamma: float = 0.25
    stabilizer: float = 1e-6
    zero_bias: bool = False

    def __post_init__(self) -> None:
        _require(self.gamma >= 0, "Gamma: gamma must be ≥ 0")


@dataclass(frozen=True)
class ZPlus:
    """D = a⁺w⁺ + a⁻w⁻ + b⁺: only terms that raise z. (bach2015pixel, montavon2017explaining)"""

    stabilizer: float = 1e-6
    zero_bias: bool = False


@dataclass(frozen=True)
class ZMinus:
    """D = a⁺w⁻ + a⁻w⁺ + b⁻: only terms that lower z, as z⁺ with negated weights. (zhang2018top)"""

    stabilizer: float = 1e-6
    zero_bias: bool = False


@dataclass(frozen=True)
class AlphaBeta:
    """α · share of (a⁺w⁺ + a⁻w⁻ + b⁺) − β · share of (a⁺w⁻ + a⁻w⁺ + b⁻), with α − β = 1. (bach2015pixel)"""

    alpha: float = 2.0
    beta: float = 1.0
    stabilizer: float = 1e-6
    zero_bias: bool = False

    def __post_init__(self) -> None:
        _require(self.alpha >= 0 and self.beta >= 0, "AlphaBeta: alpha and beta must be ≥ 0")
        _require(abs(self.alpha - self.beta - 1) < 1e-9, "AlphaBeta: alpha − beta must be 1")


@by_content
@dataclass(frozen=True, eq=False)
class ZBox:
    """D = aw − lw⁺ − hw⁻ for inputs between ``low`` and ``high``; the bias cancels. (montavon2017explaining)

    Bounds are those of the point as the model receives it (after normalisation), and broadcast to it, for example
    ``[1, channels, 1, 1]``. Without bounds of its own it takes those of the point, and is for first layers only.
    """

    low: float | Tensor | None = None
    high: float | Tensor | None = None
    stabilizer: float = 1e-6


@dataclass(frozen=True)
class WSquare:
    """D = Σ w² + b²; the terms are w², whatever the input. (montavon2017explaining)"""

    stabilizer: float = 1e-6
    zero_bias: bool = False


@dataclass(frozen=True)
class Flat:
    """D = the number of inputs of the output; every input gets the same. (lapuschkin2019unmasking)"""

    stabilizer: float = 1e-6


@dataclass(frozen=True)
class Pass:
    """Relevance goes on unchanged; only where input and output have the same shape."""


@dataclass(frozen=True)
class Norm:
    """The ε-rule where ε is no choice but only keeps the division defined: sums, means, average pooling.

    ``split`` says how they divide: in *proportion* to the terms, whose shares explode where they nearly cancel; two signals
    in proportion to their *size*, |a| against |b|, whose shares never exceed the whole; or among *positive* terms alone, a⁺
    against b⁺, as under z⁺. ``bias_factor`` of what constant terms and ε would absorb is spread evenly over the signals.
    """

    stabilizer: float = 1e-9
    split: Literal["proportion", "size", "positive"] = "proportion"
    bias_factor: float = 0.0

    def __post_init__(self) -> None:
        _require(0 <= self.bias_factor <= 1, "Norm: bias_factor must be between 0 and 1")
        known = ("proportion", "size", "positive")
        _require(self.split in known, "Norm: split must be proportion, size or positive")


@dataclass(frozen=True)
class Gate:
    """A gate gets this ``share`` of the relevance of gate × signal: none by default, the signal takes all.

    (arras2017explaining)
    """

    share: float = 0.0

    def __post_init__(self) -> None:
        _require(0 <= self.share <= 1, "Gate: share must be between 0 and 1")


@dataclass(frozen=True)
class Attention:
    """How relevance passes the softmax and the products of an attention.

    ``attn-lrp``: both factors of a matrix product share evenly, and the softmax passes on what its scores change to first
    order (achtibat2024attnlrp). ``cp-lrp``: attention weights are held fixed, so values take all (ali2022xai).
    """

    kind: Literal["attn-lrp", "cp-lrp"] = "attn-lrp"

    def __post_init__(self) -> None:
        _require(self.kind in ("attn-lrp", "cp-lrp"), "Attention: kind must be attn-lrp or cp-lrp")


@dataclass(frozen=True)
class NormLayer:
    """How relevance passes a layer, group or root-mean-square norm.

    ``linear``: mean and standard deviation are held fixed, the shift absorbs its share (ali2022xai). ``identity``:
    relevance passes unchanged.
    """

    kind: Literal["linear", "identity"] = "linear"
    stabilizer: float = 1e-9

    def __post_init__(self) -> None:
        _require(self.kind in ("linear", "identity"), "NormLayer: kind must be linear or identity")


WeightRule = Epsilon | Gamma | ZPlus | ZMinus | AlphaBeta | ZBox | WSquare | Flat | Pass | Norm
Rule = WeightRule | Gate | Attention | NormLayer


@dataclass(frozen=True)
class Composite:
    """Which rule convolutions and linear maps get, and which the first of them on a path from the point gets.

    Activations pass relevance on, maxima pass it to the winner, sums and averages take ``sum``; products of two signals,
    softmaxes and norms take ``gate``, ``attention`` and ``norm``.
    """

    name: str
    convolution: WeightRule
    linear: WeightRule = Epsilon()
    first_convolution: WeightRule | None = None
    first_linear: WeightRule | None = None
    sum: Norm = Norm()
    gate: Gate = Gate()
    attention: Attention = Attention()
    norm: NormLayer = NormLayer()

    def rule(self, kind: str, first: bool) -> WeightRule:
        """The rule of an operation of ``kind`` ``"convolution"`` or ``"linear"``."""
        usual, special = (
            (self.convolution, self.first_convolution) if kind == "convolution" else (self.linear, self.first_linear)
        )
        return special if first and special is not None else usual


COMPOSITES: Mapping[str, Composite] = {
    entry.name: entry
    for entry in (
        Composite("epsilon", convolution=Epsilon()),
        Composite("epsilon-plus", convolution=ZPlus()),
        Composite("epsilon-plus-flat", convolution=ZPlus(), first_convolution=Flat(), first_linear=Flat()),
        Composite("epsilon-gamma-box", convolution=Gamma(), first_convolution=ZBox()),
        Composite("epsilon-alpha2-beta1", convolution=AlphaBeta()),
    )
}


def composite(name: str) -> Composite:
    """The composite of this name. Raises ``UsageError`` with the nearest names for another one."""
    if name not in COMPOSITES:
        raise UsageError(f"there is no composite {name!r}; {nearest(name, COMPOSITES)}")
    return COMPOSITES[name]
