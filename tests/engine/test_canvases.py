"""Canvases draw what they are made of, in any shape and number of channels, and stay within their bounds."""

import pytest
import torch

from pellucid.engine.canvases import (
    Levels,
    Magnitudes,
    Pixels,
    Spectrum,
    bounded,
    coloured,
    drawn,
    frequencies,
    mean_magnitude,
)

SHAPES = [(3, 8, 8), (3, 9, 7), (1, 5, 8), (2, 7, 5), (4, 6, 9), (3, 1, 6)]
LOW, HIGH = torch.tensor(-1.5), torch.tensor(2.0)


def pictures(shape, rows=2, seed=0):
    return LOW + 0.1 + (HIGH - LOW - 0.2) * torch.rand(rows, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bounds", [None, (LOW, HIGH)], ids=["free", "bounded"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_spectrum_of_pictures_draws_them(shape, bounds):
    images = pictures(shape)
    canvas = Spectrum.of(images, bounds)
    assert canvas.leaf.shape == (2, *shape[:2], shape[2] // 2 + 1, 2)
    assert torch.allclose(canvas.draw(canvas.leaf), images, atol=1e-4)


def test_a_spectrum_of_pictures_beyond_the_bounds_stays_inside():
    images = torch.tensor([LOW - 1, LOW, HIGH, HIGH + 3]).view(1, 1, 2, 2)
    found = Spectrum.of(images, (LOW, HIGH)).draw(Spectrum.of(images, (LOW, HIGH)).leaf)
    assert torch.allclose(found, images.clamp(LOW, HIGH), atol=0.01)
    assert (found > LOW).all()
    assert (found < HIGH).all()


@pytest.mark.parametrize("kind", [Spectrum, Magnitudes])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_start_is_the_seed_s_alone_and_differentiable(kind, shape):
    canvas = kind.noise([4, 5, 4], shape, (LOW, HIGH))
    images = canvas.draw(canvas.leaf.requires_grad_())
    assert images.shape == (3, *shape)
    assert torch.equal(images[0], images[2])
    assert not torch.equal(images[0], images[1])
    assert torch.allclose(kind.noise([5], shape, (LOW, HIGH)).draw(canvas.leaf[1:2]), images[1:2], atol=1e-6)
    (gradient,) = torch.autograd.grad(images[1].square().sum(), canvas.leaf)
    assert gradient.isfinite().all()
    assert gradient[1].any()
    assert not gradient[0].any()
    assert images.min() >= LOW
    assert images.max() <= HIGH


def test_coarse_waves_move_first_and_the_mean_scale_does_not_depend_on_the_steepness():
    shape = (1, 16, 16)
    for steepness in (1.0, 1.5):
        canvas = Spectrum(torch.zeros(1, 1, 16, 9, 2), shape, None, steepness)
        leaf = canvas.leaf.clone().requires_grad_()
        probe = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        (gradient,) = torch.autograd.grad((canvas.draw(leaf) * probe).sum(), leaf)
        size = gradient.square().sum(-1).sqrt()[0, 0]
        assert size[:3, :3].mean() > 3 * size[6:10, 6:].mean()


def test_a_wave_is_drawn_where_its_coefficient_is():
    canvas = Spectrum(torch.zeros(1, 1, 8, 5, 2), (1, 8, 8), None)
    leaf = canvas.leaf.clone()
    leaf[0, 0, 0, 2, 0] = 1.0
    row = canvas.draw(leaf)[0, 0, 0]
    assert torch.allclose(row / row[0], torch.cos(2 * torch.pi * 2 * torch.arange(8) / 8), atol=1e-5)


def test_frequencies_are_those_of_each_coefficient():
    assert frequencies((4, 5)).shape == (4, 3)
    assert frequencies((4, 5))[0].tolist() == pytest.approx([0, 0.2, 0.4])
    assert frequencies((4, 5))[:, 0].tolist() == pytest.approx([0, 0.25, 0.5, 0.25])


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 8, 6), (2, 9, 8)])
def test_phases_alone_leave_the_magnitudes_as_they_are(shape):
    images = pictures(shape, rows=1)
    magnitude = mean_magnitude(images, shape, None)
    canvas = Magnitudes.noise([0, 1], shape, None, magnitude)
    found = mean_magnitude(canvas.draw(canvas.leaf)[:1], shape, None)
    inner = slice(
        1, (shape[2] - 1) // 2
    )  # the first and the last column of half a spectrum hold conjugates of themselves
    assert torch.allclose(found[..., inner], magnitude[..., inner], atol=1e-3)
    phases = torch.view_as_complex(Spectrum.of(images, None).leaf).angle()
    again = Magnitudes(phases, magnitude, shape, None)
    assert torch.allclose(again.draw(phases), images, atol=1e-4)


def test_colours_are_mixed_only_where_there_are_three():
    assert torch.equal(coloured(torch.ones(1, 2, 2, 2)), torch.ones(1, 2, 2, 2))
    assert torch.equal(coloured(torch.ones(1, 1, 2, 2)), torch.ones(1, 1, 2, 2))
    grey = coloured(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)).flatten()
    assert float(grey.max() - grey.min()) < 0.05 * float(grey.mean())


def test_anything_is_squeezed_between_the_bounds_with_zero_in_the_middle():
    values = torch.tensor([-1e9, 0.0, 1e9])
    assert bounded(values, (LOW, HIGH)).tolist() == [-1.5, 0.25, 2.0]
    assert bounded(values, None) is values


@pytest.mark.parametrize(
    "mean", [0.0, 127.5, torch.tensor([10.0, 20.0]).view(2, 1, 1)], ids=["0", "middle", "channels"]
)
def test_levels_are_255ths_of_the_range_and_back(mean):
    bounds = torch.tensor([-1.0, 0.0]).view(2, 1, 1), torch.tensor([1.0, 4.0]).view(2, 1, 1)
    levels = Levels(torch.zeros(1, 2, 3, 3), bounds, mean)
    points = torch.rand(2, 2, 3, 3)
    assert torch.allclose(levels.draw(levels.of(points)), points, atol=1e-5)
    assert torch.allclose(levels.draw(torch.zeros(1, 2, 3, 3) - mean)[0], bounds[0].expand(2, 3, 3), atol=1e-6)
    assert torch.allclose(levels.draw(255 - torch.zeros(1, 2, 3, 3) - mean)[0], bounds[1].expand(2, 3, 3), atol=1e-5)
    free = Levels(levels.leaf, None, mean)
    assert torch.allclose(free.of(free.draw(points)), points, atol=1e-5)


def test_pixels_are_as_they_are_and_numbers_are_drawn_for_each_seed():
    leaf = torch.rand(2, 3)
    assert Pixels(leaf).draw(leaf) is leaf
    assert torch.equal(drawn([7, 8], (4,))[1], drawn([8], (4,))[0])
