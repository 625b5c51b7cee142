"""Networks, and the one call by which the tests of relevance explain them."""

import dataclasses

import torch
from torch import nn
from torch.nn import functional

from pellucid.engine.relevance import propagate
from pellucid.engine.rules import COMPOSITES, Composite, Epsilon, Norm, NormLayer
from pellucid.engine.tape import Tape

LRP0 = Composite(
    "lrp-0", convolution=Epsilon(1e-12), linear=Epsilon(1e-12), sum=Norm(1e-12), norm=NormLayer(stabilizer=1e-12)
)


def sharp(name):
    """A composite with stabilisers so small that they absorb nothing that can be seen in float64."""
    fields = {}
    for field in dataclasses.fields(COMPOSITES[name]):
        rule = getattr(COMPOSITES[name], field.name)
        if isinstance(rule, Epsilon):
            fields[field.name] = dataclasses.replace(rule, epsilon=1e-14)
        elif hasattr(rule, "stabilizer"):
            fields[field.name] = dataclasses.replace(rule, stabilizer=1e-14)
    return dataclasses.replace(COMPOSITES[name], **fields)


def explained(
    model, point, composite="epsilon", target=0, foil=None, seed=None, module=None, low=-3.0, high=3.0, **more
):
    """The relevance of ``point`` for a target of each example, or for a whole ``seed``."""
    module = model if module is None and isinstance(model, nn.Module) else module
    with Tape(point, module) as tape:
        scores = model(point)
    if seed is None:
        rows = torch.arange(len(scores))
        seed = torch.zeros_like(scores)
        seed[rows, target] = scores[rows, target]
        if foil is not None:
            seed[rows, foil] = -scores[rows, foil]
    composite = COMPOSITES[composite] if isinstance(composite, str) else composite
    return propagate(tape, scores, seed, composite, bounds=(low, high), **more)


def closes(relevance, tolerance=1e-5):
    """Whether every unit of the value is accounted for, in sum and at every operation."""
    scale = relevance.value.abs().clamp(min=1e-300)
    layers = max(float((layer.residual.abs() / scale).max()) for layer in relevance.layers)
    return bool((relevance.residual.abs() <= tolerance * scale).all()) and layers <= tolerance


class Block(nn.Module):
    """Two convolutions beside an identity or a projection, added in place."""

    def __init__(self, inputs, outputs, stride, bias=False, norm=True):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=bias)
        self.bn1 = nn.BatchNorm2d(outputs) if norm else nn.Identity()
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=bias)
        self.bn2 = nn.BatchNorm2d(outputs) if norm else nn.Identity()
        self.project = nn.Conv2d(inputs, outputs, 1, stride, bias=bias) if stride > 1 or inputs != outputs else None

    def forward(self, inputs):
        main = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(inputs)))))
        main += inputs if self.project is None else self.project(inputs)
        return self.relu(main)


class ResNet(nn.Module):
    """ResNet-18 (with ``width=64, stages=4``) or smaller: stem, blocks at halving resolutions, average, linear map."""

    def __init__(self, width=8, classes=10, bias=False, norm=True, stem=7, linear_bias=True, stages=3):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, stem, 2, stem // 2, bias=bias)
        self.bn1 = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.pool = nn.MaxPool2d(3, 2, 1)
        sizes = [width * 2**stage for stage in range(stages) for _ in range(2)]
        blocks = [
            Block(inputs, outputs, 1 + (inputs != outputs), bias, norm)
            for inputs, outputs in zip([width, *sizes[:-1]], sizes, strict=True)
        ]
        self.layers = nn.Sequential(*blocks)
        self.fc = nn.Linear(sizes[-1], classes, bias=linear_bias)

    def forward(self, pixels):
        found = self.pool(functional.relu(self.bn1(self.conv1(pixels))))
        return self.fc(torch.flatten(functional.adaptive_avg_pool2d(self.layers(found), 1), 1))


def seeded(make, seed=0, dtype=torch.float64, trivial=False):
    """A network in eval mode with random weights, and batch norms that are not ``trivial``."""
    torch.manual_seed(seed)
    network = make().to(dtype)
    for module in network.modules():
        if not trivial and isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()
