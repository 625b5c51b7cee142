"""Pixel flipping: a flipped pixel is its own negative, and what the curve of an additive picture model is."""

import pytest
import torch

import pellucid as pl
from metrics.additive_models import heights, judgement, letters_model, mean_height, picture_model, pictures
from pellucid.core.errors import UsageError
from pellucid.methods import InputXGradient
from pellucid.metrics.pixel_flipping import PixelFlipping


def test_a_flipped_pixel_takes_its_opposite_between_the_bounds():
    subject, weights = picture_model(4)
    point = pictures(1, 4)  # between −2 and 2, so that the opposite is the negative
    found = PixelFlipping()(subject, judgement(point, point * weights))
    losses = (2 * point * weights).flatten()
    order = losses.argsort(descending=True).tolist()
    curve = heights(losses, order, float(losses.sum()) / 2)
    assert found.curve[0].tolist() == pytest.approx(curve)
    assert float(found.value) == pytest.approx(mean_height(curve))
    assert curve[-1] == pytest.approx(-curve[0])


def test_fewer_steps_flip_several_pixels_at_once():
    subject, weights = picture_model(4)
    point = pictures(1, 4)
    whole = PixelFlipping(steps=16)(subject, judgement(point, point * weights)).curve[0]
    coarse = PixelFlipping(steps=4)(subject, judgement(point, point * weights)).curve[0]
    assert torch.allclose(coarse, whole[::4])


def test_what_is_no_picture_takes_the_default_baseline_of_its_task():
    subject = letters_model()
    answer = InputXGradient()(subject, pl.Decision(["fade"]))
    found, same = (
        PixelFlipping(cover=cover)(subject, pl.Judgement([answer])) for cover in (None, subject.task.baselines()[0])
    )
    assert torch.equal(found.curve, same.curve)
    assert found.curve[0].tolist() == pytest.approx([12, 7, 3, 0, 0])
    with pytest.raises(UsageError, match="baseline"):
        PixelFlipping(cover="blur")(subject, pl.Judgement([answer]))


def test_as_quantus_counts_elements_go_to_the_smallest_value_and_the_start_is_left_out():
    subject, weights = picture_model(4)
    point = pictures(1, 4)
    found = PixelFlipping(compat="quantus")(subject, judgement(point, point * weights))
    losses = ((point - point.min()) * weights).flatten()
    order = (point * weights).flatten().argsort(descending=True).tolist()
    curve = heights(losses, order, float((point * weights).sum()))[1:]
    assert float(found.value) == pytest.approx(sum(curve) - (curve[0] + curve[-1]) / 2)


def test_channels_are_flipped_together_but_apart_as_quantus_does():
    weights = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 1, bias=False))
    module[1].weight = torch.nn.Parameter(weights.view(1, -1))
    subject = pl.wrap(module.eval(), pl.tasks.Image(4, output="value"))
    point = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    asked = judgement(point, point * weights)
    assert PixelFlipping(steps=100)(subject, asked).curve.shape[1] == 16 + 1
    assert PixelFlipping(steps=100, compat="quantus")(subject, asked).curve.shape[1] == 48 + 1
