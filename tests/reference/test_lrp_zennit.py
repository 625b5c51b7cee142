"""Relevance beside zennit 0.5.1: equal where zennit sees the network as it is, and who is right where it does not."""

import dataclasses
import sys
import types

import pytest
import torch
from torch import nn

from engine.networks import explained, seeded
from pellucid.engine import rules
from pellucid.engine.rules import COMPOSITES, Composite, Epsilon

# zennit imports torchvision for its canonizers of torchvision's models, none of which is used here. The stand-in goes
# again at once: others look whether torchvision is there.
_STAND_INS = ("torchvision", "torchvision.models", "torchvision.models.resnet")
for _name in _STAND_INS:
    sys.modules[_name] = types.ModuleType(_name)
for _block in ("Bottleneck", "BasicBlock"):
    setattr(sys.modules["torchvision.models.resnet"], _block, type(_block, (), {}))

from zennit import composites  # noqa: E402
from zennit.attribution import Gradient  # noqa: E402
from zennit.canonizers import SequentialMergeBatchNorm  # noqa: E402
from zennit.rules import Epsilon as ZennitEpsilon  # noqa: E402
from zennit.rules import Norm, Pass  # noqa: E402
from zennit.types import Activation, AvgPool, BatchNorm, Linear  # noqa: E402

for _name in _STAND_INS:
    del sys.modules[_name]

pytestmark = pytest.mark.reference

LOW, HIGH = -3.0, 3.0


class Added(nn.Module):
    """A sum as a module, the only form in which zennit sees one."""

    def forward(self, branches):
        return branches.sum(-1)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1, self.relu1 = self.convolution(inputs, outputs, 3, stride)
        self.conv2, self.bn2, self.relu2 = self.convolution(outputs, outputs, 3, 1)
        project = stride > 1 or inputs != outputs
        self.shortcut = nn.Sequential(*self.convolution(inputs, outputs, 1, stride)[:2]) if project else nn.Identity()
        self.added = Added()

    @staticmethod
    def convolution(inputs, outputs, kernel, stride):
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        return convolution, nn.BatchNorm2d(outputs, eps=0.0), nn.ReLU()

    def forward(self, x):
        main = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(self.added(torch.stack([main, self.shortcut(x)], -1)))


def resnet18():
    layers = [*Block.convolution(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1)]
    sizes = (16, 16, 32, 64, 128)
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        layers += [Block(inputs, outputs, 1 + (inputs != outputs)), Block(outputs, outputs, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def vgg():
    layers, inputs = [], 3
    for outputs in (8, "pool", 16, "pool", 32, 32, "pool"):
        if outputs == "pool":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs, eps=0.0), nn.ReLU()]
            inputs = outputs
    head = [nn.Flatten(), nn.Linear(32 * 16, 40), nn.ReLU(), nn.Dropout(), nn.Linear(40, 10)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), *head)


def epsilon_everywhere(layer_map, canonizers):
    base = [(Activation, Pass()), (AvgPool, Norm()), (BatchNorm, Pass()), (Linear, ZennitEpsilon())]
    return composites.LayerMapComposite([*layer_map, *base], canonizers=canonizers)


THEIRS = {
    "epsilon": epsilon_everywhere,
    "epsilon-plus": composites.EpsilonPlus,
    "epsilon-plus-flat": composites.EpsilonPlusFlat,
    "epsilon-gamma-box": lambda **more: composites.EpsilonGammaBox(LOW, HIGH, **more),
    "epsilon-alpha2-beta1": composites.EpsilonAlpha2Beta1,
}


def theirs(network, point, name, target):
    composite = THEIRS[name](layer_map=[(Added, Norm())], canonizers=[SequentialMergeBatchNorm()])

    def seed(scores):
        result = torch.zeros_like(scores)
        rows = torch.arange(len(scores))
        result[rows, target] = scores[rows, target]
        return result

    with Gradient(network, composite) as attributor:
        return attributor(point, seed)[1]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-8)])
@pytest.mark.parametrize("make", [vgg, resnet18])
@pytest.mark.parametrize("name", THEIRS)
def test_maps_equal_those_of_zennit(name, make, dtype, tolerance):
    network = seeded(make, seed=4, dtype=dtype)
    point = torch.randn(2, 3, 32, 32, dtype=dtype).clamp(LOW, HIGH)
    # zennit stabilises sums as much as products.
    composite = dataclasses.replace(COMPOSITES[name], sum=rules.Norm(1e-6))
    ours = explained(network, point, composite, target=[3, 7], low=LOW, high=HIGH).scores
    other = theirs(network, point, name, [3, 7])
    assert float((ours - other).norm() / other.norm()) <= tolerance


def test_of_a_module_that_is_called_twice_zennit_remembers_only_the_last_call():
    """y = w(wx): the relevance of an input is its part x ⊙ (ww)ᵀ1 of the score. zennit's sum looks right all the same."""
    torch.manual_seed(0)
    square = nn.Linear(3, 3, bias=False).double()
    network = nn.Sequential(square, square)
    point = torch.randn(1, 3, dtype=torch.float64)
    weight = square.weight.detach()
    right = point * (weight @ weight)[1]
    ours = explained(network, point, Composite("lrp-0", convolution=Epsilon(1e-12), linear=Epsilon(1e-12)), target=1)
    other = theirs(network, point, "epsilon", [1])
    torch.testing.assert_close(ours.scores, right, rtol=1e-8, atol=0)
    torch.testing.assert_close(ours.total, other.sum(1), rtol=1e-2, atol=0)
    assert float((other - right).abs().max()) > 0.5 * float(right.abs().max())


def test_a_folded_batch_norm_of_zennit_keeps_its_eps():
    """After folding, zennit's batch norm still divides by √(1 + eps): its score is not that of the network."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=0.1), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    network = network.double().eval()
    point = torch.randn(1, 3, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        score = network(point)[0, 1]
        composite = composites.EpsilonPlus(canonizers=[SequentialMergeBatchNorm()])
        with composite.context(network) as changed:
            other = changed(point)[0, 1]
    assert explained(network, point, "epsilon-plus", target=1).value[0] == score
    assert abs(float(other - score)) > 1e-3
