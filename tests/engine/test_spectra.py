"""Spectra of known waves: their share of fine power and their mean frequency."""

import pytest
import torch

from pellucid.engine.spectra import centroid, high_frequency_share, power


def wave(rows, columns, height=16, width=16):
    """A wave with so many periods down and across."""
    phase = torch.arange(height)[:, None] * rows / height + torch.arange(width) * columns / width
    return torch.cos(2 * torch.pi * phase)[None, None]


@pytest.mark.parametrize(
    ("rows", "columns", "fine"), [(1, 0, 0), (0, 4, 0), (0, 5, 1), (3, 3, 1), (2, 3, 0), (8, 0, 1), (0, 8, 1)]
)
def test_a_wave_is_fine_or_not_by_its_frequency(rows, columns, fine):
    assert float(high_frequency_share(wave(rows, columns))) == pytest.approx(fine, abs=1e-9)


def test_the_share_is_that_of_power_over_all_channels_and_without_the_mean():
    coarse, fine = wave(1, 1).double(), wave(6, 0).double()
    mixed = torch.cat([3 * coarse + 100, fine - 7], 1)
    assert float(high_frequency_share(mixed)) == pytest.approx(0.1, abs=1e-6)
    assert float(high_frequency_share(2 * coarse + fine)) == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize(("height", "width"), [(15, 16), (9, 12), (7, 7), (16, 15)])
def test_power_is_that_of_the_picture_in_any_shape(height, width):
    images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0)).double()
    found, frequency = power(images)
    centred = images - images.mean((2, 3), keepdim=True)
    assert torch.allclose(found.sum((1, 2)), centred.square().sum((1, 2, 3)) * height * width)
    assert frequency.shape == (height, width)
    assert torch.allclose(high_frequency_share(images), high_frequency_share(images.transpose(2, 3)))


@pytest.mark.parametrize("periods", [1, 2, 4, 5])
def test_the_mean_frequency_of_a_wave_is_its_own(periods):
    assert float(centroid(wave(0, periods, 20, 20))) == pytest.approx(periods / 20)


def test_white_noise_has_the_share_of_its_frequencies_and_a_flat_picture_none():
    images = torch.randn(20, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    _, frequency = power(images)
    assert float(high_frequency_share(images).mean()) == pytest.approx(
        float((frequency > 0.25).double().mean()), abs=0.01
    )
    assert high_frequency_share(torch.ones(1, 1, 8, 8)).tolist() == [0]
    assert centroid(torch.ones(1, 1, 8, 8)).tolist() == [0]
