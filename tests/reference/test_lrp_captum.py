"""Relevance beside captum's LRP: equal on a plain stack of layers, and who is right where branches meet or layers return."""

import pytest
import torch
from captum.attr import LRP
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import nn

from engine.networks import LRP0, closes, explained, seeded

pytestmark = pytest.mark.reference


class Block(nn.Module):
    """Two convolutions beside an identity or a projection, every activation a module of its own as captum asks."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1, self.relu1 = (
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )
        self.conv2, self.bn2, self.relu2 = (
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )
        same = stride == 1 and inputs == outputs
        projection = [nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)]
        self.shortcut = None if same else nn.Sequential(*projection)

    def forward(self, x):
        main = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(main + (x if self.shortcut is None else self.shortcut(x)))


class Flattened(nn.Module):
    """Layers of pictures, and a linear map of all that they give; captum has no rule for a flattening module."""

    def __init__(self, layers, width, classes):
        super().__init__()
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(width, classes)

    def forward(self, x):
        return self.head(torch.flatten(self.layers(x), 1))


def resnet18():
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    sizes = (64, 64, 128, 256, 512)
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        layers += [Block(inputs, outputs, 1 + (inputs != outputs)), Block(outputs, outputs, 1)]
    return Flattened([*layers, nn.AdaptiveAvgPool2d(1)], 512, 1000)


def stack():
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    return Flattened(layers, 8 * 16, 4)


def theirs(network, point, target):
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.MaxPool2d | nn.AdaptiveAvgPool2d | nn.BatchNorm2d):
            module.rule = EpsilonRule(epsilon=1e-9)
    return LRP(network).attribute(point.clone().requires_grad_(), target=target).detach()


def test_maps_of_a_plain_stack_are_equal():
    network, point = seeded(stack), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    ours = explained(network, point, LRP0, target=1).scores
    torch.testing.assert_close(theirs(network, point, 1), ours, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("seed", [0, 1])
def test_where_branches_meet_captum_makes_relevance_out_of_nothing(seed):
    """A score of about one is handed back as hundreds of thousands of millions. Ours accounts for every unit of it."""
    network = seeded(resnet18, seed, dtype=torch.float32, trivial=True)
    point = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(seed))
    ours = explained(network, point, "epsilon", target=0)
    assert closes(ours, 1e-3)
    assert abs(float(ours.total)) < 100 * abs(float(ours.value))
    assert abs(float(theirs(network, point, 0).sum())) > 1e6 * abs(float(ours.value))


def test_of_a_layer_that_is_called_twice_captum_refuses_and_ours_is_right():
    torch.manual_seed(0)
    square, point = nn.Linear(3, 3, bias=False).double(), torch.randn(1, 3, dtype=torch.float64)
    network = nn.Sequential(square, square)
    with pytest.raises(RuntimeError, match="more than once"):
        theirs(network, point, 1)
    weight = square.weight.detach()
    right = point * (weight @ weight)[1]
    torch.testing.assert_close(explained(network, point, LRP0, target=1).scores, right, rtol=1e-8, atol=0)
