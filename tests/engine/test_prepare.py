"""The prepared copy answers as the model does, is folded only where that is right, and is not the model."""

import copy

import pytest
import torch
from torch import nn

from pellucid.engine.prepare import prepared


def settled(network):
    """Batch norms with statistics and weights that matter, in eval mode and double precision."""
    draws = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features, generator=draws)
            module.running_var = torch.rand(module.num_features, generator=draws) + 0.5
            if module.affine:
                module.weight.data = torch.randn(module.num_features, generator=draws)
                module.bias.data = torch.randn(module.num_features, generator=draws)
    return network.double().eval()


def call(module, tensors):
    return module(*tensors.values())


def picture():
    return {"pixels": torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))}


def norms(module):
    return sum(isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d) for child in module.modules())


def same(network, tensors):
    """The prepared copy, which must give the same scores to 1e-12 and be a copy."""
    before = copy.deepcopy(network.state_dict())
    replica = prepared(network, tensors, call)
    with torch.no_grad():
        bare, ours = call(network, tensors), call(replica, tensors)
    assert (bare - ours).abs().max() <= 1e-12 * bare.abs().max()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not {id(p) for p in network.parameters()} & {id(p) for p in replica.parameters()}
    return replica


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_norm_is_folded_into_the_convolution_before_it(bias, affine):
    network = settled(nn.Sequential(nn.Conv2d(3, 5, 3, bias=bias), nn.BatchNorm2d(5, affine=affine), nn.ReLU()))
    assert norms(same(network, picture())) == 0
    assert norms(network) == 1


def test_groups_and_linear_maps_are_folded_too():
    layers = [nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(216, 4), nn.BatchNorm1d(4)]
    assert norms(same(settled(nn.Sequential(*layers)), picture())) == 0


class TwoReaders(nn.Module):
    """The convolution is read by its norm and by a sum."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)

    def forward(self, pixels):
        features = self.convolution(pixels)
        return self.norm(features) + features


class CalledTwice(nn.Module):
    """One convolution before two norms."""

    def __init__(self):
        super().__init__()
        self.convolution, self.first, self.second = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, pixels):
        return self.second(self.convolution(self.first(self.convolution(pixels))))


class ActivationBetween(nn.Module):
    """The norm reads what a function made of the convolution."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)

    def forward(self, pixels):
        return self.norm(self.convolution(pixels).relu())


class InPlaceBetween(nn.Module):
    """The convolution's result is changed in place before the norm reads it."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)

    def forward(self, pixels):
        features = self.convolution(pixels)
        features += 1
        return self.norm(features)


class SharedWeight(nn.Module):
    """Two convolutions with one weight, of which only one has a norm."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.norm = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.second.weight = self.first.weight

    def forward(self, pixels):
        return self.second(self.norm(self.first(pixels)))


class NormFirst(nn.Module):
    """The norm comes before the convolution."""

    def __init__(self):
        super().__init__()
        self.norm, self.convolution = nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)

    def forward(self, pixels):
        return self.convolution(self.norm(pixels))


@pytest.mark.parametrize("build", [TwoReaders, CalledTwice, ActivationBetween, InPlaceBetween, SharedWeight, NormFirst])
def test_a_batch_norm_that_cannot_be_folded_stays(build):
    network = settled(build())
    assert norms(same(network, picture())) == norms(network)


def test_a_norm_of_the_batch_itself_stays():
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5, track_running_stats=False)).double().eval()
    assert norms(same(network, picture())) == 1


def test_a_model_that_cannot_be_copied_is_used_as_it_is():
    class Alone(nn.Linear):
        def __deepcopy__(self, memory):
            raise TypeError("there is only one")

    network = Alone(3, 2)
    assert prepared(network, {"rows": torch.ones(1, 3)}, call) is network


def test_a_copy_that_answers_otherwise_is_not_used():
    class Counting(nn.Module):
        calls = 0

        def forward(self, rows):
            Counting.calls += 1
            return rows + Counting.calls

    network = Counting()
    assert prepared(network, {"rows": torch.ones(1, 3)}, call) is network


def test_the_copy_has_no_gradients_and_the_model_keeps_its_own():
    network = settled(nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)))
    replica = prepared(network, picture(), call)
    assert not any(parameter.requires_grad for parameter in replica.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_no_hook_is_left_on_the_model():
    network = settled(nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)))
    prepared(network, picture(), call)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
