"""Deconvnet: whole numbers by hand, a backward pass of one's own, and what is no rectifier."""

import torch
from torch import nn
from torch.nn import functional

import pellucid as pl
from engine.networks import seeded
from engine.rectifier_networks import WHOLE, OneConvolution, Rectified, by_hand, pixels
from pellucid.core.query import Unit
from pellucid.methods import Deconvnet, Gradient


def deconvolved(gradient, derivative):
    return gradient.clamp(min=0)


def ask(network, points, **asked):
    return Deconvnet()(pl.wrap(network), pl.Decision(points, **({"target": 0} | asked)))


def test_the_map_of_one_convolution_is_known_in_whole_numbers():
    answer = ask(OneConvolution(), WHOLE)
    assert answer.value.tolist() == [54]
    assert answer.scores[0, 0].tolist() == [[2, 3, 3, 1], [3, 5, 5, 2], [3, 5, 5, 2], [1, 2, 2, 1]]


def test_the_map_is_that_of_a_network_with_this_backward_pass():
    answer = ask(Rectified(functional.relu), pixels(), target=[1, 3])
    expected = by_hand(deconvolved, pixels(), lambda scores: scores[[0, 1], [1, 3]])
    torch.testing.assert_close(answer.scores, expected, rtol=1e-12, atol=0)
    assert not torch.allclose(answer.scores, Gradient()(pl.wrap(Rectified(functional.relu)), answer.query).scores)


def test_a_relu6_is_a_rectifier_whatever_saturates_on_the_way_forward():
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU6(), nn.Linear(2, 1)).double()
    network[0].weight.data, network[2].weight.data = torch.eye(2).double(), torch.tensor([[2.0, -3.0]]).double()
    assert ask(network, torch.tensor([[9.0, -9.0]]).double()).scores.tolist() == [[2, 0]]
    assert Gradient()(pl.wrap(network), pl.Decision(torch.tensor([[9.0, -9.0]]).double(), 0)).scores.tolist() == [
        [0, 0]
    ]


def test_other_activations_pass_the_signal_by_their_own_derivative():
    network = nn.Sequential(nn.Linear(3, 3), nn.LeakyReLU(0.25), nn.GELU(), nn.ReLU(), nn.Linear(3, 2)).double()
    point = torch.tensor([[0.3, -1.2, 0.8]], dtype=torch.float64)
    hidden = network[0](point).detach().requires_grad_()
    signal = network[4].weight.data[:1].clamp(min=0)
    (below,) = torch.autograd.grad(network[2](network[1](hidden)), hidden, signal)
    torch.testing.assert_close(ask(network, point).scores, below @ network[0].weight.data)


def test_a_foil_a_probability_and_a_unit_start_the_signal_each_in_its_way():
    network = Rectified(functional.relu)
    quantities = {
        "foil": ({"target": 0, "foil": 2}, lambda scores: scores[:, 0] - scores[:, 2]),
        "probability": ({"target": 0, "of": "probability"}, lambda scores: scores.softmax(1)[:, 0]),
        "loss": ({"target": 0, "of": "loss"}, lambda scores: -scores.log_softmax(1)[:, 0]),
        "unit": ({"target": None, "of": Unit("last", 3)}, lambda scores: scores[:, 3]),
    }
    for asked, quantity in quantities.values():
        expected = by_hand(deconvolved, pixels(), quantity)
        torch.testing.assert_close(ask(network, pixels(), **asked).scores, expected, rtol=1e-10, atol=1e-15)


def test_without_max_pooling_the_map_is_the_same_for_all_inputs_and_says_so():
    network = seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU6(), nn.Flatten(), nn.Linear(36, 2))
    )
    answer = ask(network, pixels())
    assert torch.equal(answer.scores[0], answer.scores[1])
    assert any("the same for every input" in note for note in answer.notes)
    pooling = ask(Rectified(functional.relu), pixels())
    assert not torch.allclose(pooling.scores[0], pooling.scores[1])
    assert not any("the same for every input" in note for note in pooling.notes)
    smooth = ask(nn.Sequential(*network[:2], nn.GELU(), *network[2:]), pixels())
    assert not torch.allclose(smooth.scores[0], smooth.scores[1])
    assert not any("the same for every input" in note for note in smooth.notes)
