"""XGrad-CAM: its two axioms, where they hold exactly, and its weights everywhere."""

import pytest
import torch

from methods.class_activation.networks import PICTURES, asked, at_layer, averaged, flattened, rectified, smooth
from pellucid.methods import GradCam, XgradCam


def test_weights_are_gradients_averaged_by_activation():
    net = smooth()
    activation, gradient = at_layer(net, 2)
    answer = asked(XgradCam(), net, at="2")
    for row in range(2):
        for channel in range(6):
            maps, slopes = activation[row, channel], gradient[row, channel]
            weight = (slopes * maps).sum() / maps.sum()
            torch.testing.assert_close(answer.scores[row, channel], weight * maps, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_conservation_without_biases_the_map_adds_up_to_the_score(seed):
    net = rectified(seed)
    answer = asked(XgradCam(final_relu=False), net, at="1")
    torch.testing.assert_close(answer.scores.flatten(1).sum(1), answer.value, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(answer.quality["total"], answer.value, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(asked(GradCam(), net, at="1").scores.flatten(1).sum(1), answer.value)


def test_sensitivity_a_channel_scores_the_fall_without_it():
    net = flattened()
    maps = net[:2](PICTURES).detach()
    channels = asked(XgradCam(), net, at="1").scores.sum((2, 3))
    for channel in range(5):
        without = maps.clone()
        without[:, channel] = 0
        fall = (net[2:](maps) - net[2:](without)).detach()[:, 1]
        torch.testing.assert_close(channels[:, channel], fall, rtol=0, atol=1e-13)


def test_where_the_gradient_is_the_same_everywhere_it_is_grad_cam():
    net = averaged()
    torch.testing.assert_close(asked(XgradCam(), net).scores, asked(GradCam(), net).scores, rtol=0, atol=1e-14)


def test_a_channel_that_is_nowhere_active_scores_nothing():
    net = flattened()
    net[0].weight.data[2], net[0].bias.data[2] = 0, -1
    answer = asked(XgradCam(), net, at="1")
    assert not answer.scores[:, 2].any()
    assert bool(answer.scores.isfinite().all())
