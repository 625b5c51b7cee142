"""Zero padding, convolution and activation as one operation, with the weights in the order in which it reads them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pellucid.engine.passages import Passage

# Rows before and after, columns before and after.
Sides = tuple[tuple[int, int], tuple[int, int]]
Activation = tuple[str, list[float], str]

_NOWHERE: Sides = ((0, 0), (0, 0))
_NONE: Activation = ("none", [], "")
# What oneDNN calls an activation, its numbers and its variant.
_ACTIVATIONS: Mapping[type[nn.Module], Callable[[Any], Activation]] = {
    nn.ReLU: lambda module: ("relu", [], ""),
    nn.ReLU6: lambda module: ("hardtanh", [module.min_val, module.max_val], ""),
    nn.Hardtanh: lambda module: ("hardtanh", [module.min_val, module.max_val], ""),
    nn.LeakyReLU: lambda module: ("leaky_relu", [module.negative_slope], ""),
    nn.SiLU: lambda module: ("swish", [], ""),
    nn.GELU: lambda module: ("gelu", [], module.approximate),
    nn.Hardswish: lambda module: ("hardswish", [], ""),
    nn.Sigmoid: lambda module: ("sigmoid", [], ""),
    nn.Tanh: lambda module: ("tanh", [], ""),
}
# From this many output channels per input channel on, a kernel padded with zeros costs more than a padded copy.
_MOST_CHANNELS = 32


@dataclass(frozen=True)
class Pixels:
    """What was seen to go into a convolution: the ``shape``, and the zeros that ``pad`` put ``around`` it."""

    shape: tuple[int, ...]
    around: Sides = _NOWHERE
    pad: nn.Module | None = None


def fuse(network: nn.Module, seen: Mapping[str, Passage]) -> None:
    """Let every convolution that was called once also do the padding before it and the activation after it.

    Those parts become identities. Only for float32 on the CPU, and where torch has the operation.
    """
    parts = dict(network.named_modules())
    givers = {passage.reader: name for name, passage in seen.items() if passage.reader is not None}
    for name, passage in seen.items():
        convolution = parts[name]
        if not _fusable(convolution, passage):
            continue
        pixels, activation = Pixels(passage.shape), _NONE
        before, after = givers.get(name), _past_identities(passage.reader, parts, seen)
        around = None if before is None else _foldable(convolution, seen[before])
        if before is not None and around is not None:
            pixels = Pixels(seen[before].shape, around, parts[before])
            put(network, before, nn.Identity())
        if after is not None and type(parts[after]) in _ACTIVATIONS:
            activation = _ACTIVATIONS[type(parts[after])](parts[after])
            put(network, after, nn.Identity())
        put(network, name, FusedConvolution(convolution, pixels, activation))


def put(network: nn.Module, name: str, module: nn.Module) -> None:
    """Put ``module`` in the place of the part of that name."""
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, module)


class FusedConvolution(nn.Module):
    """``activation(convolution(pad(pixels)))`` as one operation, for ``pixels`` that look like those that were seen.

    The operation pads opposite sides alike; where the padding differs, the kernel has zeros on the other side instead.
    Pixels of another shape are padded by ``pad`` itself.
    """

    def __init__(self, convolution: nn.Conv2d, pixels: Pixels, activation: Activation) -> None:
        super().__init__()
        own, steps = _padding(convolution), convolution.dilation
        padding = [(a + c, b + d) for (a, b), (c, d) in zip(own, pixels.around, strict=True)]
        zeros = [(max(after - before, 0), max(before - after, 0)) for before, after in padding]
        taps = [(before // step, after // step) for (before, after), step in zip(zeros, steps, strict=True)]
        kernel = functional.pad(convolution.weight.detach(), _flat(taps))
        geometry = convolution.stride, steps, convolution.groups
        self._pad, self._shape, self._rest = pixels.pad, pixels.shape[1:], (*geometry, *activation)
        self._padding = [max(sides) for sides in padding]
        self._elsewhere = _flat([(a + c, b + d) for (a, b), (c, d) in zip(own, zeros, strict=True)])
        self._kernel = torch.ops.mkldnn._reorder_convolution_weight(kernel, self._padding, *geometry, pixels.shape)
        self._bias = None if convolution.bias is None else convolution.bias.detach()

    def forward(self, pixels: Tensor) -> Tensor:
        padding = self._padding
        if self._pad is not None and pixels.shape[1:] != self._shape:
            pixels, padding = functional.pad(self._pad(pixels), self._elsewhere), [0, 0]
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(pixels, self._kernel, self._bias, padding, *self._rest)
        return result


def _past_identities(name: str | None, parts: Mapping[str, nn.Module], seen: Mapping[str, Passage]) -> str | None:
    """The reader of what a batch norm returned that was folded."""
    while name is not None and type(parts[name]) is nn.Identity:
        # What an identity returns is what it was given, so that where nothing reads it after it, it reads itself.
        name = None if seen[name].reader == name else seen[name].reader
    return name


def _fusable(module: nn.Module, seen: Passage) -> bool:
    if type(module) is not nn.Conv2d or module.padding_mode != "zeros" or len(seen.shape) != 4:
        return False
    offered = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    return bool(offered) and module.weight.device.type == "cpu" and module.weight.dtype == torch.float32


def _foldable(convolution: nn.Conv2d, seen: Passage) -> Sides | None:
    """The zeros that a module was seen to put around, if that is all it does and the convolution had better do it."""
    if seen.operation is not torch.ops.aten.constant_pad_nd.default:
        return None
    amounts, *value = seen.arguments
    if any(value) or len(amounts) > 4 or min(amounts) < 0:
        return None
    left, right, top, bottom = [*amounts, 0, 0][:4]
    around = (top, bottom), (left, right)
    if all(before == after for before, after in around):
        return around
    whole = all((a - b) % step == 0 for (a, b), step in zip(around, convolution.dilation, strict=True))
    cheap = convolution.out_channels // convolution.groups <= _MOST_CHANNELS
    return around if whole and cheap else None


def _padding(convolution: nn.Conv2d) -> Sides:
    if convolution.padding == "valid":
        return _NOWHERE
    if convolution.padding == "same":
        rows, columns = (
            step * (side - 1) for step, side in zip(convolution.dilation, convolution.kernel_size, strict=True)
        )
        return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)
    rows, columns = map(int, convolution.padding)
    return (rows, rows), (columns, columns)


def _flat(sides: Sequence[tuple[int, int]]) -> list[int]:
    """Columns before rows, as ``functional.pad`` wants them."""
    rows, columns = sides
    return [*columns, *rows]
