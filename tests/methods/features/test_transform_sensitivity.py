"""Transform sensitivity: closed forms for features that move with the picture, that turn with it, or do not notice."""

import pytest
import torch
from torch import nn

import pellucid as pl
from engine.networks import seeded
from pellucid.core.errors import UsageError
from pellucid.methods import TransformSensitivity


class Averages(nn.Module):
    """Pixels, their mean, and two classes of which one likes light above, the other below."""

    def __init__(self):
        super().__init__()
        self.pixels, self.mean = nn.Identity(), nn.AdaptiveAvgPool2d(1)

    def forward(self, pixels):
        light = self.pixels(pixels).mean((1, 3))
        middle = light.shape[1] // 2
        return torch.stack([light[:, :middle].sum(1), light[:, middle:].sum(1)], 1) + 0 * self.mean(pixels)[:, :1, 0, 0]


def subject():
    return pl.wrap(Averages(), pl.tasks.Image(8, (0.0,), (1.0,), labels=("above", "below")), name="averages")


def above(number=4):
    data = torch.zeros(number, 1, 8, 8)
    data[:, :, :4] = 0.2 + 0.5 * torch.rand(number, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    return data


def lines(profile, quantity, axis):
    panel = next(
        panel for panel in profile.panels if panel.quantity.startswith(quantity) and panel.axis.startswith(axis)
    )
    return panel, {line.name: line for line in panel.lines}


def test_half_a_turn_has_a_distance_that_is_known_and_the_mean_does_not_notice():
    data = above()
    found = TransformSensitivity(translate=(), scale=(), rotate=(0.0, 180.0))(
        subject(), pl.Representation(("pixels", "mean"), data)
    )
    expected = (data - data.flip((2, 3))).flatten(1).norm(dim=1)
    panel, distance = lines(found, "distance of", "turned")
    assert panel.places == ("0", "180")
    assert float(distance["pixels"].mean[1]) == pytest.approx(float(expected.mean()), rel=1e-5)
    assert float(distance["pixels"].mean[0]) == 0
    assert float(distance["mean"].mean[1]) == pytest.approx(0, abs=1e-6)
    _, relative = lines(found, "distance, relative", "turned")
    lengths = data.flatten(1).norm(dim=1)
    assert float(relative["pixels"].mean[1]) == pytest.approx(float((expected / lengths).mean()), rel=1e-5)
    _, answer = lines(found, "probability", "turned")
    both = torch.softmax(subject().scores(data), 1)
    torch.testing.assert_close(answer["probability"].mean, both.mean(0).double(), rtol=1e-5, atol=0)
    assert bool((answer["probability"].low <= answer["probability"].mean).all())


def test_an_answer_falls_when_the_light_is_shifted_away():
    found = TransformSensitivity(translate=(0.0, 0.25, 0.5), scale=(), rotate=(), outside="mean")(
        subject(), pl.Representation(("pixels",), above())
    )
    _, down = lines(found, "probability", "shift down")
    _, right = lines(found, "probability", "shift right")
    assert bool((down["probability"].mean.diff() < -0.05).all())
    assert float(right["probability"].mean.diff().abs().max()) < float(down["probability"].mean.diff().abs().max())
    assert "goes from" in found.summary()


def test_the_curves_do_not_depend_on_the_batches():
    network = seeded(lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))).float()
    asked = pl.wrap(network, pl.tasks.Image(8, (0.0,), (1.0,)))
    method, query = TransformSensitivity(), pl.Representation(("0", "1"), above(7))
    whole = method(asked, query)
    with pl.byte_budget(2_000):
        small = method(asked, query)
    for one, other in zip(whole.panels, small.panels, strict=True):
        for a, b in zip(one.lines, other.lines, strict=True):
            torch.testing.assert_close(a.mean, b.mean, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(a.low, b.low, rtol=1e-5, atol=1e-6)


def test_one_picture_has_no_interval():
    found = TransformSensitivity(scale=(1.0, 2.0), translate=(), rotate=())(
        subject(), pl.Representation(("pixels",), above(1))
    )
    line = found.panels[0].lines[0]
    assert line.low is None
    assert bool(line.mean.isfinite().all())
    assert found.plot().size[0] > 0


def test_nothing_to_do_is_refused():
    with pytest.raises(UsageError, match="nothing to do"):
        TransformSensitivity(translate=(), scale=(), rotate=())
    with pytest.raises(UsageError, match="factors are above 0"):
        TransformSensitivity(scale=(1.0, 0.0))
    with pytest.raises(UsageError, match="name one or more layers"):
        TransformSensitivity()(subject(), pl.Representation((), above()))
    with pytest.raises(UsageError, match="did you mean 'pixels'"):
        TransformSensitivity()(subject(), pl.Representation(("pixel",), above()))
