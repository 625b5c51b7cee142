"""Grad-CAM: a published vector, the class activation map, finite differences, and every kind of question and position."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import pellucid as pl
from methods.class_activation.networks import (
    PICTURES,
    asked,
    at_layer,
    averaged,
    draws,
    flattened,
    from_layer,
    one_convolution,
    seeded,
    smooth,
)
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.engine.targets import again, resolve
from pellucid.methods import GradCam


def test_one_convolution_gives_the_published_map():
    net, pixels = one_convolution(), torch.arange(16, dtype=torch.float64).view(1, 1, 4, 4)
    answer = GradCam()(pl.wrap(net), pl.Decision(pixels, target=0, at="0"))
    assert float(answer.value) == 54
    assert answer.scores.sum(1).flatten().tolist() == pytest.approx([11.25, 13.5, 20.25, 22.5], abs=1e-7)


def test_before_a_global_average_it_is_the_class_activation_map():
    net = averaged()
    activation = net[:3](PICTURES).detach()
    expected = torch.einsum("k,bkij->bkij", net[5].weight[1].detach(), activation) / 16
    answer = asked(GradCam(), net, at="2")
    torch.testing.assert_close(answer.scores, expected, rtol=0, atol=1e-14)


def test_weights_are_means_of_derivatives():
    """By central differences at every place of the layer, of a network that is curved everywhere."""
    net, step = smooth(), 1e-6
    activation, _ = at_layer(net, 0)
    answer = asked(GradCam(), net, at="0")
    for row, (maps, scores) in enumerate(zip(activation, answer.scores, strict=True)):
        moves = torch.eye(maps.numel(), dtype=maps.dtype).view(-1, *maps.shape) * step
        with torch.no_grad():
            slopes = (from_layer(net, 0, maps + moves) - from_layer(net, 0, maps - moves))[:, 1] / (2 * step)
        weights = slopes.view(maps.shape).mean((1, 2), keepdim=True)
        torch.testing.assert_close(scores, weights * maps, rtol=0, atol=1e-8)
        assert float(answer.value[row]) == pytest.approx(float(net(PICTURES).detach()[row, 1]), abs=1e-12)


def test_at_the_input_the_rectified_sum_is_interpolated_between_centres():
    """From 2 positions to 4, the centres lie at ¼, ¾ of the distance: values a, ¾a+¼b, ¼a+¾b, b along each axis."""

    def build():
        return nn.Sequential(nn.Conv2d(2, 3, 2, stride=2), nn.Flatten(), nn.Linear(12, 2))

    net, pixels = seeded(build), draws(3, 2, 4, 4)
    coarse = asked(GradCam(), net, pixels, at="0").scores.sum(1).clamp(min=0)
    along = torch.tensor([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]], dtype=torch.float64)
    expected = along @ coarse @ along.T
    answer = asked(GradCam(), net, pixels)
    torch.testing.assert_close(answer.scores.sum(1), expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(answer.scores[:, 0], answer.scores[:, 1], rtol=0, atol=0)
    assert bool((coarse == 0).any())


def test_with_a_foil_both_signs_are_kept_and_the_map_is_a_difference():
    net = flattened()
    plain = GradCam(final_relu=False)
    first, second = (asked(plain, net, target=target).scores for target in (0, 2))
    contrast = asked(GradCam(), net, target=0, foil=2).scores
    torch.testing.assert_close(contrast, first - second, rtol=0, atol=1e-14)
    assert bool((contrast < 0).any())
    coarse = asked(plain, net, target=0, foil=2, at="1").scores.sum(1, keepdim=True).clamp(min=0)
    cut = asked(GradCam(final_relu=True), net, target=0, foil=2).scores.sum(1, keepdim=True)
    torch.testing.assert_close(cut, functional.interpolate(coarse, (8, 8), mode="bilinear"), rtol=0, atol=1e-14)


@pytest.mark.parametrize("of", ["probability", "log-probability", "loss"])
def test_other_quantities_weigh_with_their_own_derivative(of):
    net = flattened()
    activation = net[:2](PICTURES).detach().requires_grad_()
    logs = from_layer(net, 1, activation).log_softmax(1)[:, 1]
    quantity = {"probability": logs.exp(), "log-probability": logs, "loss": -logs}[of]
    (gradient,) = torch.autograd.grad(quantity.sum(), activation)
    expected = gradient.mean((2, 3), keepdim=True) * activation.detach()
    torch.testing.assert_close(asked(GradCam(), net, of=of, at="1").scores, expected, rtol=0, atol=1e-14)


def test_of_a_unit_the_last_maps_before_it_are_read():
    net = averaged()
    answer = asked(GradCam(final_relu=False), net, of=pl.Unit("1", 2))
    activation = net[:1](PICTURES).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(net[1](activation)[:, 2].mean((1, 2)).sum(), activation)
    coarse = (gradient.mean((2, 3), keepdim=True) * activation.detach()).sum(1, keepdim=True)
    torch.testing.assert_close(
        answer.scores.sum(1, keepdim=True), functional.interpolate(coarse, (8, 8), mode="bilinear"), rtol=0, atol=1e-14
    )
    assert "layer '0'" in answer.notes[-1]


class Series(nn.Module):
    """Convolutions over time of a series ``[batch, positions, channels]``, a strided one last, and an average."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv1d(2, 4, 3, padding=1), nn.Conv1d(4, 3, 4, stride=2, padding=1)
        self.relu, self.head = nn.ReLU(), nn.Linear(3, 2)

    def forward(self, series):
        return self.head(self.relu(self.second(self.first(series.transpose(1, 2)).tanh())).mean(2))


def test_a_series_has_a_map_over_time():
    net, series = seeded(Series), draws(2, 8, 2)
    subject = pl.wrap(net, pl.tasks.Sequence(channels=("left", "right")))
    answer = GradCam(final_relu=False)(subject, pl.Decision(series, target=0))
    maps = net.relu(net.second(net.first(series.transpose(1, 2)).tanh())).detach()
    coarse = torch.einsum("k,bkt->bt", net.head.weight[0].detach(), maps)[:, None] / 4
    expected = functional.interpolate(coarse, 8, mode="linear", align_corners=False)[:, 0]
    for vector, row in zip(answer.by_feature(), expected, strict=True):
        torch.testing.assert_close(vector, row, rtol=0, atol=1e-14)
    torch.testing.assert_close(answer.scores, expected[:, :, None].expand(-1, -1, 2) / 2, rtol=0, atol=1e-14)


def test_a_plain_series_of_channels_first_has_one_too():
    net = seeded(lambda: nn.Sequential(nn.Conv1d(2, 3, 3, padding=1), nn.Flatten(), nn.Linear(15, 2)))
    series = draws(2, 2, 5)
    answer = asked(GradCam(final_relu=False), net, series)
    weights = net[2].weight[1].detach().view(3, 5).mean(1)
    expected = torch.einsum("k,bkt->bt", weights, net[0](series).detach())
    torch.testing.assert_close(answer.scores.sum(1), expected, rtol=0, atol=1e-14)


def test_a_volume_has_a_map_of_three_axes():
    net = seeded(lambda: nn.Sequential(nn.Conv3d(1, 2, 2, stride=2), nn.Flatten(), nn.Linear(2 * 8, 2)))
    answer = asked(GradCam(final_relu=False), net, draws(1, 1, 4, 4, 4))
    coarse = asked(GradCam(), net, draws(1, 1, 4, 4, 4), at="0").scores.sum(1, keepdim=True)
    expected = functional.interpolate(coarse, (4, 4, 4), mode="trilinear", align_corners=False)
    torch.testing.assert_close(answer.scores, expected, rtol=0, atol=1e-14)


class Tokens(nn.Module):
    """Positions see each other by one attention that padding takes no part in; the first one is classified."""

    def __init__(self):
        super().__init__()
        self.wide, self.attention, self.head = nn.Linear(3, 4), nn.Linear(4, 1), nn.Linear(4, 2)

    def forward(self, sequence):
        hidden = self.wide(sequence).tanh()
        real = sequence.abs().sum(2, keepdim=True) > 0
        share = self.attention(hidden).masked_fill(~real, -torch.inf).softmax(1)
        return self.head((share * hidden).sum(1))


def test_a_layer_of_tokens_is_read_by_name_and_its_padding_counts_nothing():
    subject = pl.wrap(seeded(Tokens).float(), pl.tasks.Sequence("abc", labels=("no", "yes")))
    method = GradCam(layer="wide", final_relu=False)
    answer = method(subject, pl.Decision(["abca", "cb"], target=1))
    alone = method(subject, pl.Decision("cb", target=1))
    torch.testing.assert_close(answer.scores[1, :2], alone.scores[0], rtol=1e-5, atol=1e-7)
    assert not answer.scores[1, 2:].any()
    net, point = subject.module, subject.prepare("cb").value
    tokens = net.wide(point).detach().requires_grad_()
    hidden = tokens.tanh()
    score = net.head((net.attention(hidden).softmax(1) * hidden).sum(1))[0, 1]
    (gradient,) = torch.autograd.grad(score, tokens)
    expected = (gradient.mean(1, keepdim=True) * tokens.detach()).sum(2)[0]
    torch.testing.assert_close(alone.by_feature()[0], expected, rtol=1e-5, atol=1e-7)
    at_layer = GradCam()(subject, pl.Decision(["abca", "cb"], target=1, at="wide")).scores
    torch.testing.assert_close(at_layer[1, :2].sum(1), expected, rtol=1e-5, atol=1e-7)
    assert not at_layer[1, 2:].any()


def test_without_maps_the_question_is_refused_with_the_way_out():
    subject = pl.wrap(seeded(Tokens).float(), pl.tasks.Sequence("abc", labels=("no", "yes")))
    with pytest.raises(NotAnswerable, match="no convolution .* ask integrated-gradients or occlusion"):
        GradCam()(subject, pl.Decision("abc", target=1))
    with pytest.raises(NotAnswerable, match=r"layer '5' gives \(4,\) .* no map"):
        asked(GradCam(layer="5"), averaged())
    with pytest.raises(UsageError, match="layer='1' is to be read; leave it out"):
        asked(GradCam(layer="1"), averaged(), at="2")
    with pytest.raises(UsageError, match="no layer 'nowhere'"):
        asked(GradCam(layer="nowhere"), averaged())


def test_a_map_without_anything_for_the_class_is_zero_and_says_so():
    net = averaged()
    net[5].weight.data[1] = -1
    answer = asked(GradCam(), net)
    assert not answer.scores.any()
    assert "Nothing in the map of examples 0, 1 raises the score" in answer.notes[-1]
    assert bool((asked(GradCam(final_relu=False), net).scores < 0).any())


def test_the_result_says_what_was_read():
    assert asked(GradCam(), averaged()).notes == ("Read at layer '2': 6 channels of 4 × 4 positions.",)


@pytest.mark.parametrize("targets", [[2, 0, 1], torch.tensor([2, 0, 1]), None])
def test_batches_ask_each_example_its_own_question(targets):
    net, pictures = flattened(), draws(3, 3, 8, 8)
    expected = net(pictures).argmax(1).tolist() if targets is None else [2, 0, 1]
    foils = [(target + 1) % 4 for target in expected]
    whole = asked(GradCam(), net, pictures, target=targets, foil=foils)
    with pl.byte_budget(1):
        parts = asked(GradCam(), net, pictures, target=targets, foil=foils)
    assert whole.target.tolist() == parts.target.tolist() == expected
    assert whole.foil.tolist() == parts.foil.tolist() == foils
    torch.testing.assert_close(parts.scores, whole.scores, rtol=0, atol=1e-14)
    for row, (target, foil) in enumerate(zip(expected, foils, strict=True)):
        alone = asked(GradCam(), net, pictures[row : row + 1], target=target, foil=foil)
        torch.testing.assert_close(whole.scores[row], alone.scores[0], rtol=0, atol=1e-14)
    with pytest.raises(UsageError, match="2 targets for 3 examples"), pl.byte_budget(1):
        asked(GradCam(), net, pictures, target=[0, 1])


def test_a_target_that_is_known_can_be_asked_again():
    net = flattened()
    subject, inputs = pl.wrap(net), pl.wrap(net).prepare(PICTURES)
    target = resolve(subject, inputs, pl.Decision(inputs, target=[1, 2], foil=0))
    with pl.byte_budget(1):
        answer = GradCam()(subject, again(pl.Decision(inputs), inputs, target))
    torch.testing.assert_close(answer.scores, asked(GradCam(), net, target=[1, 2], foil=0).scores)
    assert bool((answer.scores < 0).any())


def test_it_costs_one_backward_pass_and_batches_do_not_matter():
    net = smooth()
    whole = asked(GradCam(layer="0"), net)
    assert whole.evaluations == {"F": 0, "B": 2}
    with pl.byte_budget(1):
        torch.testing.assert_close(asked(GradCam(layer="0"), net).scores, whole.scores, rtol=0, atol=1e-14)
