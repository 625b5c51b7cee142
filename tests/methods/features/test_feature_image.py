"""Feature images: optima that are known, silent units, and spectra whose magnitudes stay."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.results import feature_images as named

SIDE = 16


def convolutional(kernels, bias=0.0, after=None):
    network = nn.Sequential(nn.Conv2d(1, len(kernels), kernels.shape[2:]), after or nn.Identity())
    with torch.no_grad():
        network[0].weight.copy_(kernels)
        network[0].bias.fill_(bias)
    return pl.wrap(network, pl.tasks.Image(SIDE, (0.5,), (0.5,), output="value"))


def stripes(period):
    wave = torch.cos(2 * torch.pi * torch.arange(SIDE) / period)
    return wave.expand(1, 1, SIDE, SIDE)


def test_the_picture_of_a_filter_as_large_as_the_picture_is_the_filter():
    kernel = stripes(4.0)
    found = pl.methods.FeatureImage(steps=120, rate=0.1, jitter=0)(convolutional(kernel), pl.Unit("0", 0))
    cosines = torch.nn.functional.cosine_similarity(found.images.flatten(1), kernel.flatten().expand(3, -1))
    assert bool((cosines > 0.65).all())
    power = torch.fft.rfft2(found.images).abs().square().flatten(1)
    assert (power.argmax(1) == SIDE // 4).all()  # the coefficient of a wave of 4 pixels along the columns


def test_bounded_pixels_reach_the_optimum():
    kernel = torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    found = pl.methods.FeatureImage(steps=80, rate=0.1, parametrisation="pixel", starts=1)(
        convolutional(kernel), pl.Unit("0", 0)
    )
    assert torch.equal(found.images[0], kernel[0].sign())
    assert float(found.activations) == pytest.approx(float(kernel.abs().sum()), rel=1e-5)


def test_a_unit_that_is_silent_at_its_start_is_woken():
    subject = convolutional(stripes(4.0), bias=-20.0, after=nn.ReLU())
    found = pl.methods.FeatureImage(steps=60, rate=0.1, jitter=0)(subject, pl.Unit("1", 0))
    assert float(found.trace[:, 0].max()) == 0.0
    assert bool((found.activations > 10).all())


def test_a_unit_that_nothing_moves_is_refused():
    with pytest.raises(NotAnswerable, match="constant"):
        pl.methods.FeatureImage(steps=3)(convolutional(torch.zeros(1, 1, 3, 3), 1.0), pl.Unit("0", 0))


def test_natural_magnitudes_are_those_of_the_data():
    """Of a space without bounds or colours the spectrum of every picture has the data's mean magnitudes."""
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU())
    subject = pl.wrap(network, pl.tasks.TensorTask(shape=(2, 12, 12), output="value"))
    data = torch.randn(5, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    found = pl.methods.FeatureImage(magnitude="natural", steps=10)(subject, pl.Unit("0", 1, data=data))
    expected = torch.fft.rfft2(data, norm="ortho").abs().mean(0)
    magnitudes = torch.fft.rfft2(found.images, norm="ortho").abs()
    inner = (slice(None), slice(None), slice(1, 6), slice(1, 6))  # elsewhere a real picture has its own symmetry
    assert torch.allclose(magnitudes[inner], expected.expand_as(magnitudes)[inner], rtol=1e-3, atol=1e-4)


def test_pixels_have_no_magnitudes_to_keep():
    with pytest.raises(UsageError, match="no magnitudes"):
        pl.methods.FeatureImage(parametrisation="pixel", magnitude="natural")


def test_data_tell_how_unusual_the_activation_is():
    subject = convolutional(stripes(4.0))
    data = torch.rand(30, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(2)) * 2 - 1
    found = pl.methods.FeatureImage(steps=60, rate=0.1, starts=2)(subject, pl.Unit("0", 0, data=data))
    values = subject.run(subject.prepare(data), capture=("0",)).activations["0"].flatten()
    assert found.evidence[named.MAXIMUM].tolist() == pytest.approx([float(values.max())] * 2)
    assert found.evidence[named.PERCENTILE].tolist() == pytest.approx([float(values.quantile(0.999))] * 2, rel=1e-5)
    nearest = found.evidence[named.NEAREST].long()
    distances = (found.shown()[:, None] - (data + 1)[None] / 2).square().flatten(2).mean(2).sqrt()
    assert torch.equal(nearest, distances.argmin(1))
    assert torch.allclose(found.evidence[named.DISTANCE].float(), distances.amin(1), atol=1e-6)
    assert "more than any of the data" in found.caveats(0)[0]


def test_a_place_of_a_map_and_the_centre_are_units_too():
    subject = convolutional(torch.ones(1, 1, 3, 3))
    centre = pl.methods.FeatureImage(over="centre", parametrisation="pixel", steps=40, rate=0.2, starts=1)
    found = centre(subject, pl.Unit("0", 0)).images[0, 0]
    one = pl.methods.FeatureImage(parametrisation="pixel", steps=40, rate=0.2, starts=1)
    again = one(subject, pl.Unit("0", (0, 7, 7))).images[0, 0]
    assert bool((found[7:10, 7:10] == 1).all())
    assert bool((found == 1).sum() == 9)
    assert bool((again[7:10, 7:10] == 1).all())
    assert bool((again == 1).sum() == 9)


def test_data_that_cannot_be_read_are_left_out_and_named(tmp_path):
    good, broken = tmp_path / "good.png", tmp_path / "broken.png"
    Image.fromarray(np.full((SIDE, SIDE), 90, dtype=np.uint8)).save(good)
    broken.write_bytes(b"no picture")
    found = pl.methods.FeatureImage(steps=2, starts=1)(
        convolutional(stripes(4.0)), pl.Unit("0", 0, data=[good, broken])
    )
    assert "1 of 2 inputs cannot be read" in found.notes[0]
    assert "broken.png" in found.notes[0]
    assert bool(found.evidence[named.MAXIMUM].isfinite().all())
