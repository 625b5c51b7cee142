"""Score-CAM: the increases and their softmax by plain loops and in closed form, and what is left out."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import pellucid as pl
from methods.class_activation.networks import PICTURES, asked, averaged, draws, flattened, seeded
from methods.class_activation.test_grad_cam import Tokens
from pellucid.core import meter
from pellucid.methods import ScoreCam


def one_by_one(net, layer, pictures, cover=0.0, of=lambda scores: scores[:, 1]):
    """Increase of every channel and the weighted channels, as the paper says it."""
    maps = net[: layer + 1](pictures).detach()
    increases = torch.zeros(maps.shape[:2], dtype=maps.dtype)
    with torch.no_grad():
        for row, channels in enumerate(maps):
            nothing = of(net(torch.full_like(pictures[row : row + 1], cover)))
            for number, channel in enumerate(channels):
                grown = functional.interpolate(channel[None, None], pictures.shape[2:], mode="bilinear")
                if grown.max() > grown.min():
                    mask = (grown - grown.min()) / (grown.max() - grown.min())
                    shown = mask * pictures[row] + (1 - mask) * cover
                    increases[row, number] = of(net(shown)) - nothing
    return increases, increases.softmax(1)[:, :, None, None] * maps


@pytest.mark.parametrize("cover", [0.0, 0.5])
@pytest.mark.parametrize(("make", "layer"), [(averaged, 2), (flattened, 1)])
def test_increases_and_weights_follow_the_definition(make, layer, cover):
    net = make()
    increases, contributions = one_by_one(net, layer, PICTURES, cover)
    answer = asked(ScoreCam(baseline=cover), net, at=str(layer))
    torch.testing.assert_close(answer.quality["increase"], increases, rtol=0, atol=1e-12)
    torch.testing.assert_close(answer.scores, contributions, rtol=0, atol=1e-12)
    assert float(answer.quality["increase"].abs().max()) > 0.01


def test_of_two_channels_that_show_one_half_each_the_closed_form():
    """A score that adds up the pixels: the half with the brighter pixels wins, by the softmax of their sums."""
    net = nn.Sequential(
        nn.Conv2d(1, 2, (2, 2), stride=2, bias=False), nn.Flatten(), nn.Linear(4, 2, bias=False)
    ).double()

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = net[0]

        def forward(self, pixels):
            maps = self.features(pixels)
            return torch.stack([pixels.sum((1, 2, 3)), 0 * maps.sum((1, 2, 3))], 1)

    net[0].weight.data = torch.tensor([1.0, -1.0]).double().view(2, 1, 1, 1).expand(2, 1, 2, 2).clone()
    pixels = torch.tensor([[0.0, 0, 0, 0], [0.0, 0, 0, 0], [3, 3, 1, 1], [3, 3, 1, 1]]).double().view(1, 1, 4, 4)
    answer = ScoreCam()(pl.wrap(Sum()), pl.Decision(pixels, target=0, at="features"))
    # Channel 0 is [[0, 0], [12, 4]]; grown to 4 × 4 its rows are 0, ¼, ¾, 1 of the last one: 12, 10, 6, 4. It shows
    # (¾ + 1) × (3·1 + 3·10/12 + 6/12 + 4/12); its negative shows what that one hides.
    shown = 1.75 * (3 + 2.5 + 0.5 + 1 / 3)
    weights = torch.tensor([shown, 16 - shown]).double().softmax(0)
    assert answer.quality["increase"][0].tolist() == pytest.approx([shown, 16 - shown], abs=1e-12)
    assert answer.scores[0, 0].flatten().tolist() == pytest.approx(
        [0, 0, 12 * float(weights[0]), 4 * float(weights[0])]
    )


def test_a_contrast_weighs_by_the_increase_of_the_difference():
    net = averaged()
    _, contributions = one_by_one(net, 2, PICTURES, of=lambda scores: scores[:, 0] - scores[:, 3])
    answer = asked(ScoreCam(), net, target=0, foil=3, at="2")
    torch.testing.assert_close(answer.scores, contributions, rtol=0, atol=1e-12)


def test_a_channel_that_is_the_same_everywhere_is_not_tried():
    net = averaged()
    net[1].weight.data[4] = 0
    with meter.metered() as passes:
        answer = asked(ScoreCam(), net, PICTURES[:1], at="2")
    assert answer.quality["increase"][0, 4] == 0
    assert passes.forward == 1 + 1 + 5  # to read the layer, the cover, the other channels
    _, contributions = one_by_one(net, 2, PICTURES[:1])
    torch.testing.assert_close(answer.scores, contributions, rtol=0, atol=1e-12)


def test_a_budget_tries_the_channels_that_vary_most_and_says_so():
    net = averaged()
    maps = net[:3](PICTURES).detach()
    answer = asked(ScoreCam(channels=2), net, at="2")
    full = asked(ScoreCam(), net, at="2")
    for row, spread in enumerate(maps.flatten(2).std(2)):
        chosen = spread.argsort(descending=True)[:2]
        left_out = spread.argsort(descending=True)[2:]
        increase = full.quality["increase"][row, chosen]
        expected = increase.softmax(0)[:, None, None] * maps[row, chosen]
        torch.testing.assert_close(answer.scores[row, chosen], expected, rtol=0, atol=1e-12)
        assert not answer.scores[row, left_out].any()
    assert answer.notes[-1].startswith("Only 2 of 6 channels were tried")
    assert len(full.notes) == 1


class OverTime(nn.Module):
    """A convolution over a series that leaves its length; the largest value over time counts."""

    def __init__(self):
        super().__init__()
        self.convolution, self.head = nn.Conv1d(2, 3, 1), nn.Linear(3, 2)

    def forward(self, series):
        return self.head(self.convolution(series.transpose(1, 2)).tanh().sum(2))


def test_a_series_fades_over_time_and_its_padding_does_not_count():
    subject = pl.wrap(seeded(OverTime).float(), pl.tasks.Sequence(channels=("left", "right")))
    series = draws(1, 5, 2).float()
    answer = ScoreCam()(subject, pl.Decision(series, target=0, at="convolution"))
    net = subject.module
    with torch.no_grad():
        maps = net.convolution(series.transpose(1, 2))[0]
        low, high = maps.amin(1, keepdim=True), maps.amax(1, keepdim=True)
        shown = ((maps - low) / (high - low))[:, :, None] * series
        expected = (net(shown) - net(torch.zeros_like(series)))[:, 0]
    torch.testing.assert_close(answer.quality["increase"][0], expected, rtol=1e-4, atol=1e-6)


def test_padding_stays_as_it_is_and_a_map_is_stretched_over_real_positions():
    subject = pl.wrap(seeded(Tokens).float(), pl.tasks.Sequence("abc", labels=("no", "yes")))
    method = ScoreCam(layer="wide", baseline=0.25)
    together = method(subject, pl.Decision(["abcab", "cb"], target=1))
    alone = method(subject, pl.Decision("cb", target=1))
    torch.testing.assert_close(together.quality["increase"][1], alone.quality["increase"][0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(together.scores[1, :2], alone.scores[0], rtol=1e-5, atol=1e-6)
    assert float(alone.quality["increase"].abs().max()) > 1e-3


def test_progress_is_told_and_batches_do_not_matter():
    seen = []
    net = averaged()
    with meter.reporting(lambda done, total, what: seen.append((done, total, what))), pl.byte_budget(1):
        small = asked(ScoreCam(), net, PICTURES[:1]).scores
    assert seen[-1] == (7, 7, "score-cam")
    assert len(seen) == 7
    torch.testing.assert_close(asked(ScoreCam(), net).scores[:1], small, rtol=0, atol=1e-12)
