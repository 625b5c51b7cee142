"""Operations between the steps of an ascent: projections, blurs against scipy, clipping, denoising, moving."""

import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from skimage.restoration import denoise_tv_bregman

from pellucid.engine.optimize import Moment, total_variation
from pellucid.engine.shaping import (
    blurred,
    clipped,
    decayed,
    denoised,
    gaussian_blur,
    in_ball,
    in_box,
    jittered,
    on_sphere,
)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moment(step=0, steps=10, gradient=None):
    nothing = torch.empty(0)
    return Moment(step, steps, nothing, nothing, nothing, nothing if gradient is None else gradient, None)


def test_projections_are_the_nearest_points_of_their_sets():
    x = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]]).double()
    assert torch.allclose(on_sphere(2)(x, moment()), torch.tensor([[1.2, 1.6], [1.2, 1.6], [0, 0]]).double())
    assert torch.allclose(in_ball(2)(x, moment()), torch.tensor([[1.2, 1.6], [0.3, 0.4], [0, 0]]).double())
    bounds = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0])
    assert torch.allclose(in_box(bounds)(x, moment()), torch.tensor([[1.0, 2.0], [0.3, 1.0], [0, 1.0]]).double())
    assert in_box(None)(x, moment()) is x


def test_values_decay_at_every_step():
    x = noise(2, 3)
    assert torch.allclose(decayed(0.25)(x, moment(9)), 0.75 * x)


@pytest.mark.parametrize("radius", [0.3, 0.5, 1.0, 2.4])
@pytest.mark.parametrize("shape", [(2, 3, 9, 12), (1, 1, 7, 3), (1, 2, 1, 5)])
def test_a_blur_is_that_of_scipy(radius, shape):
    images = noise(*shape)
    reach = max(1, round(3 * radius))
    expected = images.numpy()
    for axis in (2, 3):
        expected = gaussian_filter1d(expected, radius, axis, mode="nearest", radius=reach)
    assert torch.allclose(gaussian_blur(images, radius), torch.from_numpy(expected), atol=1e-12)


def test_pictures_are_blurred_at_every_so_many_steps():
    x = noise(1, 1, 6, 6)
    changed = [step for step in range(9) if not torch.equal(blurred(1.0, 4)(x, moment(step)), x)]
    assert changed == [0, 4, 8]


@pytest.mark.parametrize("percentile", [0, 30, 90])
def test_the_least_are_set_to_zero(percentile):
    x, gradient = noise(2, 3, 10, 10), noise(2, 3, 10, 10, seed=1)
    weights = {
        "size": x.abs(),
        "norm": x.square().sum(1, keepdim=True),
        "contribution": (x * gradient).sum(1, keepdim=True),
        "contribution size": (x * gradient).sum(1, keepdim=True).abs(),
    }
    for by, weight in weights.items():
        found = clipped(by, percentile)(x, moment(gradient=gradient))
        kept = found != 0
        assert torch.equal(found[kept], x[kept])
        for row in range(2):
            inside = kept[row] if by == "size" else kept[row].any(0, keepdim=True)
            assert float(inside.double().mean()) == pytest.approx(1 - percentile / 100, abs=0.02)
            assert weight[row][inside].min() >= weight[row][~inside].max() if percentile else bool(inside.all())


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_denoising_takes_variation_out_of_any_number_of_channels(channels):
    x = 50 * noise(2, channels, 9, 12)
    found = denoised([0.001, 0.1, 2])(x, moment(1))
    assert found.shape == x.shape
    expected = denoise_tv_bregman(x[1, 0].numpy(), 0.1, max_num_iter=100, eps=1e-3, isotropic=False)
    assert torch.allclose(found[1, 0], torch.from_numpy(expected))
    smooth = [float(total_variation(denoised([0.001, 0.1, 2])(x, moment(step)), 1).sum()) for step in (0, 1, 2, 7)]
    assert smooth[0] < smooth[1] < smooth[2] == smooth[3] < float(total_variation(x, 1).sum())


def sources(rows):
    return [torch.Generator().manual_seed(seed) for seed in range(rows)]


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 1, 5, 9), (3, 2, 7, 4)])
def test_pictures_that_are_not_moved_are_as_they_were(shape):
    images = noise(*shape)
    assert torch.allclose(jittered(0, 0, 0)(images, sources(len(images))), images, atol=1e-5)


def test_each_picture_is_moved_on_its_own_by_no_more_than_is_said():
    ramp = torch.linspace(0, 1, 40, dtype=torch.float64).expand(6, 1, 40, 40)
    found = jittered(0.1, 0, 0)(ramp, sources(6))
    shifts = (found - ramp)[:, 0, 20, 20]
    assert len(set(shifts.tolist())) == 6
    assert shifts.abs().max() <= 0.1 * 40 / 39
    assert torch.allclose(jittered(0.1, 0, 0)(ramp[:2], sources(6)[:2]), found[:2])


def test_turning_a_picture_that_is_not_square_keeps_lengths():
    rows, columns = torch.meshgrid(torch.arange(30.0) - 14.5, torch.arange(50.0) - 24.5, indexing="ij")
    disc = ((rows.square() + columns.square()).sqrt() - 8).sigmoid().double()[None, None]
    found = jittered(0, 30, 0)(disc, sources(1))
    assert (found - disc).abs().max() < 0.06
