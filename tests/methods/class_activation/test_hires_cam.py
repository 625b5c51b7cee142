"""HiResCAM: what each place contributes to a linear score, and one with Grad-CAM where the gradient is even."""

import torch

from methods.class_activation.networks import PICTURES, asked, at_layer, averaged, flattened, smooth
from pellucid.methods import GradCam, HiresCam


def test_before_one_linear_map_each_place_scores_what_it_contributes():
    net = flattened()
    maps, head = net[:2](PICTURES).detach(), net[3]
    answer = asked(HiresCam(), net, at="1")
    torch.testing.assert_close(answer.scores, head.weight[1].detach().view(5, 4, 4) * maps, rtol=0, atol=1e-14)
    torch.testing.assert_close(
        answer.quality["total"], answer.value - head.bias[1].detach(), rtol=0, atol=1e-13, check_dtype=False
    )


def test_a_place_that_is_taken_away_takes_its_score_with_it():
    net = flattened()
    maps = net[:2](PICTURES).detach()
    places = asked(HiresCam(), net, at="1").scores.sum(1)
    without = maps.clone()
    without[:, :, 2, 1] = 0
    fall = (net[2:](maps) - net[2:](without)).detach()[:, 1]
    torch.testing.assert_close(fall, places[:, 2, 1], rtol=0, atol=1e-13)


def test_where_the_gradient_is_the_same_everywhere_it_is_grad_cam():
    net = averaged()
    torch.testing.assert_close(
        asked(HiresCam(), net).scores, asked(GradCam(final_relu=False), net).scores, rtol=0, atol=1e-14
    )
    net = flattened()
    assert not torch.allclose(asked(HiresCam(), net).scores, asked(GradCam(final_relu=False), net).scores)


def test_it_is_activation_times_gradient():
    net = smooth()
    activation, gradient = at_layer(net, 0)
    answer = asked(HiresCam(), net, at="0")
    torch.testing.assert_close(answer.scores, activation * gradient, rtol=0, atol=1e-14)


def test_both_signs_are_shown_unless_the_final_relu_is_asked_for():
    net = flattened()
    both, cut = asked(HiresCam(), net).scores, asked(HiresCam(final_relu=True), net).scores
    assert bool((both < 0).any())
    assert bool((cut >= 0).all())
    assert not torch.allclose(cut, both.clamp(min=0))  # The ReLU comes before the interpolation.
