"""Ablation-CAM: falls by plain loops, shares and slopes, and that only what lies above the layer runs per channel."""

import pytest
import torch
from torch import nn

import pellucid as pl
from methods.class_activation.networks import (
    PICTURES,
    asked,
    at_layer,
    averaged,
    draws,
    flattened,
    rectified,
    seeded,
    smooth,
)
from pellucid.core import meter
from pellucid.core.errors import NotAnswerable
from pellucid.methods import AblationCam, XgradCam


def falls(net, layer, pictures, target=1):
    """The fall without each channel, one at a time."""
    maps = net[: layer + 1](pictures).detach()
    found = torch.zeros(maps.shape[:2], dtype=maps.dtype)
    with torch.no_grad():
        for channel in range(maps.shape[1]):
            without = maps.clone()
            without[:, channel] = 0
            found[:, channel] = (net[layer + 1 :](maps) - net[layer + 1 :](without))[:, target]
    return maps, found


@pytest.mark.parametrize(("make", "layer"), [(averaged, 2), (rectified, 1), (smooth, 2)])
def test_shares_and_slopes_follow_the_definition(make, layer):
    net = make()
    maps, fall = falls(net, layer, PICTURES)
    scores = net(PICTURES).detach()[:, 1]
    share = (fall / scores.abs()[:, None])[:, :, None, None] * maps
    slope = (fall / maps.flatten(2).norm(dim=2))[:, :, None, None] * maps
    answer = asked(AblationCam(), net, at=str(layer))
    torch.testing.assert_close(answer.quality["fall"], fall, rtol=0, atol=1e-12)
    torch.testing.assert_close(answer.scores, share, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        asked(AblationCam(weight="slope"), net, at=str(layer)).scores, slope.nan_to_num(), rtol=0, atol=1e-12
    )


def test_before_a_linear_map_the_fall_is_what_xgrad_cam_gives_the_channel():
    net = flattened()
    answer, other = asked(AblationCam(), net, at="1"), asked(XgradCam(), net, at="1")
    torch.testing.assert_close(answer.quality["fall"], other.scores.sum((2, 3)), rtol=0, atol=1e-12)


def test_a_score_below_zero_does_not_turn_the_map_over():
    """Two networks that differ by a constant owe their scores to the same places."""
    net = averaged()
    high = asked(AblationCam(), net, at="2")
    net[5].bias.data -= 100
    low = asked(AblationCam(), net, at="2")
    assert bool((low.value < 0).all())
    rows = [answer.scores * answer.value.abs().view(-1, 1, 1, 1) for answer in (low, high)]
    torch.testing.assert_close(*rows, rtol=1e-9, atol=1e-9)


def test_of_a_score_of_zero_nothing_is_a_share():
    net = seeded(lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 2)))
    net[2].weight.data.zero_()
    net[2].bias.data.zero_()
    with pytest.raises(NotAnswerable, match="exactly 0.*weight='slope'"):
        asked(AblationCam(), net)
    assert not asked(AblationCam(weight="slope"), net).scores.any()


class Bypassed(nn.Module):
    """The input goes around the layer "features" and is put beside it: rows and example do not fit together."""

    def __init__(self, width=2):
        super().__init__()
        self.features, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(7, width)
        self.rows = []

    def forward(self, pixels):
        self.rows.append(len(pixels))
        return self.head(torch.cat([self.features(pixels).relu(), pixels], 1).mean((2, 3)))


class Added(Bypassed):
    """The input goes around the layer and is added: rows and example fit by broadcasting."""

    def forward(self, pixels):
        self.rows.append(len(pixels))
        maps = self.features(pixels).relu()
        return self.head(torch.cat([maps + pixels.mean(1, keepdim=True), maps[:, :3]], 1).mean((2, 3)))


class Mixing(Bypassed):
    """Numbers its rows by the input's, so that rows at the layer would be taken for places."""

    def forward(self, pixels):
        self.rows.append(len(pixels))
        maps = self.features(pixels).relu()
        means = maps.reshape(len(pixels), -1, 4, *maps.shape[2:]).mean((1, 3, 4))
        return self.head(torch.cat([means, means[:, :3]], 1).expand(len(maps), -1))


@pytest.mark.parametrize(("kind", "shared"), [(Bypassed, False), (Added, True), (Mixing, False)])
def test_what_lies_below_the_layer_runs_once_where_the_network_carries_on_with_the_rows(kind, shared):
    net, pixels = seeded(kind), draws(1, 3, 6, 6)
    subject = pl.wrap(net)
    answer = AblationCam()(subject, pl.Decision(pixels, target=0, at="features"))
    maps = net.features(pixels).detach()
    for channel in range(4):
        without = maps.clone()
        without[:, channel] = 0
        expected = subject.run(subject.prepare(pixels), replace={"features": without}).scores[0, 0]
        assert float(answer.quality["fall"][0, channel]) == pytest.approx(float(answer.value[0] - expected), abs=1e-12)
    with pl.byte_budget(10**9):
        net.rows.clear()
        AblationCam()(subject, pl.Decision(pixels, target=0, at="features"))
    assert (net.rows[-1] == 1) is shared


def test_channels_that_are_nowhere_active_are_not_taken_away():
    net = averaged()
    net[1].weight.data[4], net[1].bias.data[4] = 0, -1
    with meter.metered() as passes:
        answer = asked(AblationCam(), net, PICTURES[:1], at="2")
    assert answer.quality["fall"][0, 4] == 0
    # To read the layer, two rows each way to see whether they can go on together, 5 channels.
    assert passes.forward == 1 + 4 + 5
    net[1].weight.data, net[1].bias.data = 0 * net[1].weight.data, 0 * net[1].bias.data - 1
    assert not asked(AblationCam(), net, at="2").scores.any()


def test_a_budget_takes_the_largest_channels_and_says_so():
    net = averaged()
    maps, fall = falls(net, 2, PICTURES)
    answer = asked(AblationCam(channels=2), net, at="2")
    order = maps.flatten(2).norm(dim=2).argsort(1, descending=True)
    expected = torch.zeros_like(fall).scatter(1, order[:, :2], fall.gather(1, order[:, :2]))
    torch.testing.assert_close(answer.quality["fall"], expected, rtol=0, atol=1e-12)
    assert answer.notes[-1].startswith("Only 2 of 6 channels were tried")


def test_a_unit_above_the_layer_can_be_asked_and_one_below_it_not():
    net = smooth()
    answer = asked(AblationCam(layer="0", weight="slope", final_relu=False), net, of=pl.Unit("2", 1))
    activation, _ = at_layer(net, 0)
    without = activation.clone()
    without[:, 3] = 0
    with torch.no_grad():
        fall = (net[1:3](activation) - net[1:3](without))[:, 1].mean((1, 2))
    torch.testing.assert_close(answer.quality["fall"][:, 3], fall, rtol=0, atol=1e-12)
    below = asked(AblationCam(layer="2", weight="slope"), net, of=pl.Unit("0", 1))
    assert not below.quality["fall"].any()


def test_progress_is_told_and_batches_do_not_matter():
    seen = []
    net = smooth()
    with meter.reporting(lambda done, total, what: seen.append((done, total, what))), pl.byte_budget(1):
        small = asked(AblationCam(), net, PICTURES[:1]).scores
    assert seen[-1] == (6, 6, "ablation-cam")
    assert len(seen) == 6
    torch.testing.assert_close(asked(AblationCam(), net).scores[:1], small, rtol=0, atol=1e-12)
