"""A trained decoder: a small generator that makes inputs from the codes of one layer, with how well it does so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, leaky_relu, linear

from pellucid.core.errors import UsageError
from pellucid.core.record import record
from pellucid.core.result import Result

_SLOPE = 0.3  # of the leaky rectifiers (dosovitskiy2016generating)


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Decoder(Result):
    """Calling it makes pictures ``[n, channels, height, width]``, in the network's own space, of codes ``[n, …code]``.

    ``weights`` are those of a linear layer or a convolution (``code``), of a 3×3 convolution per stage (``0``, ``1``, …),
    each after its hidden picture was enlarged to the next of ``sizes``, and of a last one (``picture``). ``scale`` divides
    the codes first. Where inputs are bounded, pictures lie between ``low`` and ``high`` ``[channels, 1, 1]``.

    ``mean``, ``deviation`` and ``lowest`` are those of each element of the code over the training data. ``errors``
    ``[2, held-out rows]`` are what a reconstruction misses of a picture, and of its code: squared distances, relative to how
    far the picture lies from the mean one, and to the code's square. ``held_out`` are the numbers of these rows, and
    ``reconstructions`` the pictures of the first of them. ``curves`` are the losses by step.
    """

    layer: str
    code: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    weights: Mapping[str, Tensor]
    scale: float
    mean: Tensor
    deviation: Tensor
    lowest: Tensor
    held_out: Tensor
    errors: Tensor
    intervals: Tensor
    reconstructions: Tensor
    curves: Mapping[str, Tensor]
    low: Tensor | None = None
    high: Tensor | None = None
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        for name in ("mean", "deviation", "lowest"):
            if tuple(getattr(self, name).shape) != self.code:
                raise ValueError(f"{name} is {tuple(getattr(self, name).shape)}, codes are {self.code}")
        if tuple(self.errors.shape) != (2, len(self.held_out)) or tuple(self.intervals.shape) != (2, 3):
            raise ValueError(f"errors are {tuple(self.errors.shape)} for {len(self.held_out)} rows that were held out")
        if (self.low is None) != (self.high is None):
            raise ValueError("inputs are bounded on both sides or on none")
        if not self.sizes:
            raise ValueError("a decoder has at least one size")
        needed = {f"{part}.{kind}" for part in ("code", "picture", *self.stages) for kind in ("weight", "bias")}
        if needed - set(self.weights):
            raise ValueError(f"the weights lack {sorted(needed - set(self.weights))[0]!r}")

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the convolutions between code and picture."""
        return tuple(str(number) for number in range(len(self.sizes)))

    @property
    def picture(self) -> tuple[int, int, int]:
        """Channels, height and width of what it makes."""
        return (len(self.weights["picture.bias"]), *self.sizes[-1])

    def __call__(self, codes: Tensor) -> Tensor:
        """Pictures of codes; differentiable."""
        if tuple(codes.shape[1:]) != self.code:
            raise UsageError(f"this decoder reads codes of shape {self.code}, not {tuple(codes.shape[1:])}")
        bounds = None if self.low is None or self.high is None else (self.low, self.high)
        return decoded(self.weights, codes, self.scale, self.sizes, bounds)

    def table(self) -> list[dict[str, Any]]:
        return [
            {"example": number, "picture": picture, "code": code}
            for number, (picture, code) in zip(self.held_out.tolist(), self.errors.T.tolist(), strict=True)
        ]

    def summary(self) -> str:
        (picture, low, high), (code, code_low, code_high) = self.intervals.tolist()
        channels, height, width = self.picture
        return "\n".join(
            [
                f"A decoder from the code {self.code} of {self.layer} to pictures of {channels} × {height} × {width}, "
                f"trained for {len(next(iter(self.curves.values())))} steps.",
                f"Of {len(self.held_out)} pictures that it did not see, its reconstructions miss {picture:.1%} "
                f"(95 % interval {low:.1%} … {high:.1%}) of what tells them from the mean picture, and {code:.1%} "
                f"({code_low:.1%} … {code_high:.1%}) of their codes.",
                *self.notes,
            ]
        )


def decoded(
    weights: Mapping[str, Tensor],
    codes: Tensor,
    scale: float,
    sizes: Sequence[tuple[int, int]],
    bounds: tuple[Tensor, Tensor] | None,
) -> Tensor:
    """The pictures that ``weights`` make of codes."""
    codes = codes / scale
    if weights["code.weight"].ndim == 2:
        hidden = linear(codes.flatten(1), weights["code.weight"], weights["code.bias"]).unflatten(1, (-1, *sizes[0]))
    else:
        hidden = conv2d(codes, weights["code.weight"], weights["code.bias"], padding=1)
    for stage, size in enumerate(sizes):
        hidden = leaky_relu(hidden, _SLOPE)
        hidden = hidden if tuple(hidden.shape[2:]) == tuple(size) else interpolate(hidden, tuple(size))
        hidden = conv2d(hidden, weights[f"{stage}.weight"], weights[f"{stage}.bias"], padding=1)
    shown = conv2d(leaky_relu(hidden, _SLOPE), weights["picture.weight"], weights["picture.bias"], padding=1)
    return shown if bounds is None else torch.lerp(*bounds, shown.sigmoid())
