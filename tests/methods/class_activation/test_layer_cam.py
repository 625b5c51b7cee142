"""LayerCAM: each place weighs with its own gradient where that is positive."""

import pytest
import torch
from torch.nn import functional

from methods.class_activation.networks import PICTURES, asked, at_layer, flattened, smooth
from pellucid.methods import LayerCam


def test_before_one_linear_map_only_positive_weights_count():
    net = flattened()
    maps, weights = net[:2](PICTURES).detach(), net[3].weight[1].detach().view(5, 4, 4)
    expected = weights.clamp(min=0) * maps
    answer = asked(LayerCam(), net, at="1")
    torch.testing.assert_close(answer.scores, expected, rtol=0, atol=1e-14)
    assert bool((weights < 0).any())
    grown = functional.interpolate(expected.sum(1, keepdim=True), (8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(asked(LayerCam(), net).scores.sum(1, keepdim=True), grown, rtol=0, atol=1e-14)


@pytest.mark.parametrize("layer", ["0", "2"])
def test_early_layers_can_be_read_too(layer):
    net = smooth()
    activation, gradient = at_layer(net, layer)
    answer = asked(LayerCam(layer=layer, final_relu=False), net)
    coarse = (gradient.clamp(min=0) * activation).sum(1, keepdim=True)
    grown = functional.interpolate(coarse, (8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(answer.scores.sum(1, keepdim=True), grown, rtol=0, atol=1e-14)


def test_for_the_foil_the_gradient_of_the_difference_decides():
    net = flattened()
    maps, weights = net[:2](PICTURES).detach(), net[3].weight.detach().view(4, 5, 4, 4)
    answer = asked(LayerCam(), net, target=0, foil=3, at="1")
    torch.testing.assert_close(answer.scores, (weights[0] - weights[3]).clamp(min=0) * maps, rtol=0, atol=1e-14)
