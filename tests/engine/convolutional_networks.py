"""Convolutional networks of the literature, small and seeded, written in as many ways as people write them.

Functions and modules, in place and not, ``+=`` and ``torch.cat``, one activation used again and again. With
``bias=False`` every one of them is positively homogeneous where its activations are.
"""

import torch
from torch import nn
from torch.nn import functional


class VGG(nn.Module):
    """Convolutions, batch norm and in-place ReLU between max pools; two linear maps (simonyan2015very)."""

    def __init__(self, bias=True, norm=True):
        super().__init__()
        layers, inputs = [], 3
        for outputs in (8, "pool", 12, 12, "pool"):
            if outputs == "pool":
                layers.append(nn.MaxPool2d(2))
                continue
            layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))
            layers += [nn.BatchNorm2d(outputs)] * norm
            layers.append(nn.ReLU(inplace=True))
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(48, 16, bias=bias), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 5, bias=bias)
        )

    def forward(self, pixels):
        pooled = nn.AdaptiveAvgPool2d(2)(self.features(pixels))
        return self.classifier(pooled.view(pooled.size(0), -1))


class DenseLayer(nn.Module):
    """Batch norm and ReLU before the convolution, so that no convolution can take the norm in (huang2017densely)."""

    def __init__(self, inputs, growth, bias, norm):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs) if norm else nn.Identity()
        self.conv1 = nn.Conv2d(inputs, 2 * growth, 1, bias=bias)
        self.norm2 = nn.BatchNorm2d(2 * growth) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(2 * growth, growth, 3, padding=1, bias=bias)
        self.relu = nn.ReLU(inplace=not norm)

    def forward(self, earlier):
        found = self.norm1(torch.cat(earlier, 1))
        return self.conv2(self.relu(self.norm2(self.conv1(self.relu(found)))))


class DenseNet(nn.Module):
    """Every layer reads what all earlier ones of its block found."""

    def __init__(self, bias=False, norm=True, growth=4):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=bias)
        self.blocks, self.transitions, width = nn.ModuleList(), nn.ModuleList(), 8
        for _ in range(2):
            self.blocks.append(
                nn.ModuleList(DenseLayer(width + growth * number, growth, bias, norm) for number in range(3))
            )
            width += 3 * growth
            shrink = [nn.BatchNorm2d(width)] * norm + [nn.ReLU(), nn.Conv2d(width, width // 2, 1, bias=bias)]
            self.transitions.append(nn.Sequential(*shrink))
            width //= 2
        self.classifier = nn.Linear(width, 5, bias=bias)

    def forward(self, pixels):
        found = self.stem(pixels)
        for layers, transition in zip(self.blocks, self.transitions, strict=True):
            parts = [found]
            for layer in layers:
                parts.append(layer(parts))
            found = functional.avg_pool2d(transition(torch.cat(parts, dim=1)), 2)
        return self.classifier(functional.relu(found, inplace=True).mean([2, 3]))


class InvertedBottleneck(nn.Module):
    """Widen, filter every channel on its own, narrow; the same ReLU6 twice (sandler2018mobilenetv2)."""

    def __init__(self, width, bias, norm, stride=1):
        super().__init__()
        self.expand = nn.Conv2d(width, 3 * width, 1, bias=bias)
        self.depthwise = nn.Conv2d(3 * width, 3 * width, 3, stride, 1, groups=3 * width, bias=bias)
        self.project = nn.Conv2d(3 * width, width, 1, bias=bias)
        norms = [nn.BatchNorm2d(channels) if norm else nn.Identity() for channels in (3 * width, 3 * width, width)]
        self.norms, self.clip, self.residual = nn.ModuleList(norms), nn.ReLU6(), stride == 1

    def forward(self, found):
        first, second, third = self.norms
        wide = self.clip(first(self.expand(found)))
        narrow = third(self.project(self.clip(second(self.depthwise(wide)))))
        return found + narrow if self.residual else narrow


class MobileNetV2(nn.Module):
    """Inverted bottlenecks with residuals."""

    def __init__(self, bias=False, norm=True):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, 2, 1, bias=bias)
        self.blocks = nn.Sequential(*(InvertedBottleneck(6, bias, norm, stride) for stride in (1, 2, 1)))
        self.classifier = nn.Linear(6, 5, bias=bias)

    def forward(self, pixels):
        return self.classifier(self.blocks(functional.relu6(self.stem(pixels))).mean((2, 3)))


class SqueezeExcite(nn.Module):
    """Channels times gates that were computed from all channels: a product of two things that depend on the input."""

    def __init__(self, width):
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(width, width // 2, 1), nn.Conv2d(width // 2, width, 1)

    def forward(self, found):
        gates = functional.relu(self.squeeze(functional.adaptive_avg_pool2d(found, 1)))
        return found * functional.hardsigmoid(self.excite(gates))


class MobileNetV3(nn.Module):
    """Depthwise convolutions, hard-swish and squeeze-and-excitation (howard2019searching)."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.depthwise, self.norm2 = nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False), nn.BatchNorm2d(8)
        self.gates, self.project = SqueezeExcite(8), nn.Conv2d(8, 8, 1, bias=False)
        self.head, self.classifier = nn.Linear(8, 12), nn.Linear(12, 5)

    def forward(self, pixels):
        found = nn.Hardswish(inplace=True)(self.norm(self.stem(pixels)))
        inner = self.project(self.gates(functional.hardswish(self.norm2(self.depthwise(found)))))
        inner += found
        return self.classifier(functional.hardswish(self.head(functional.adaptive_avg_pool2d(inner, 1)[:, :, 0, 0])))


class Inception(nn.Module):
    """Parallel branches of different reach: factorised convolutions, an average pool, a max pool (szegedy2016rethinking)."""

    def __init__(self, bias=False, norm=True):
        super().__init__()
        self.stem = self.convolution(3, 8, 3, bias, norm)
        self.one = self.convolution(8, 4, 1, bias, norm)
        self.wide = nn.Sequential(
            self.convolution(8, 4, 1, bias, norm),
            self.convolution(4, 4, (1, 5), bias, norm),
            self.convolution(4, 4, (5, 1), bias, norm),
        )
        self.pooled, self.largest = self.convolution(8, 4, 1, bias, norm), self.convolution(8, 4, 1, bias, norm)
        self.classifier = nn.Linear(16, 5, bias=bias)

    @staticmethod
    def convolution(inputs, outputs, size, bias, norm):
        reach = (size, size) if isinstance(size, int) else size
        padding = tuple(side // 2 for side in reach)
        layers = [nn.Conv2d(inputs, outputs, reach, padding=padding, bias=bias)]
        return nn.Sequential(*layers, *[nn.BatchNorm2d(outputs, eps=1e-3)] * norm, nn.ReLU())

    def forward(self, pixels):
        found = functional.max_pool2d(self.stem(pixels), 3, 2)
        average = functional.avg_pool2d(found, kernel_size=3, stride=1, padding=1)
        largest = functional.max_pool2d(found, kernel_size=3, stride=1, padding=1)
        branches = [self.one(found), self.wide(found), self.pooled(average), self.largest(largest)]
        return self.classifier(torch.cat(branches, 1).mean(3).mean(2))


class UNet(nn.Module):
    """Down and up again, with what was seen on the way down; scores [B, classes, height, width] (ronneberger2015unet).

    One step up is a transposed convolution with batch norm, the other an interpolation.
    """

    def __init__(self, bias=False, norm=True, mode="bilinear"):
        super().__init__()
        self.down1, self.down2 = self.double(3, 6, bias, norm), self.double(6, 8, bias, norm)
        self.bottom, self.mode = self.double(8, 12, bias, norm), mode
        self.up2 = nn.ConvTranspose2d(12, 8, 2, 2, bias=bias)
        self.up2_norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.join2, self.join1 = self.double(16, 8, bias, norm), self.double(14, 6, bias, norm)
        self.head = nn.Conv2d(6, 3, 1, bias=bias)

    @staticmethod
    def double(inputs, outputs, bias, norm):
        layers = []
        for width in (inputs, outputs):
            layers += [nn.Conv2d(width, outputs, 3, padding=1, bias=bias), *[nn.BatchNorm2d(outputs)] * norm, nn.ReLU()]
        return nn.Sequential(*layers)

    def forward(self, pixels):
        high = self.down1(pixels)
        middle = self.down2(functional.max_pool2d(high, 2))
        low = self.bottom(functional.max_pool2d(middle, 2))
        risen = functional.relu(self.up2_norm(self.up2(low)))
        joined = self.join2(torch.cat((middle, risen), dim=1))
        smooth = {} if self.mode == "nearest" else {"align_corners": False}
        wide = functional.interpolate(joined, scale_factor=2, mode=self.mode, **smooth)
        return self.head(self.join1(torch.cat([high, wide], 1)))
