"""Inversion: closed forms of affine layers, the published energy, and how much each layer of a real network keeps."""

import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import pellucid as pl
from engine.networks import seeded
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.engine.codes import CodeMatch
from pellucid.engine.inverting import Grey, descending_momentum, moved, priors, settling_adam
from pellucid.methods.inversion.inversion import Inversion
from pellucid.methods.inversion.train_decoder import TrainDecoder


def rows(*shape, seed=3):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(outputs, inputs, seed=1):
    layer = nn.Linear(inputs, outputs).double()
    with torch.no_grad():
        layer.weight.copy_(rows(outputs, inputs, seed=seed) / math.sqrt(inputs))
        layer.bias.copy_(rows(outputs, seed=seed + 1))
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(outputs, 2).double()).eval()


@pytest.fixture(scope="module")
def digits():
    return torch.tensor(load_digits().images[:4]).float()[:, None] / 16


@pytest.fixture(scope="module")
def reader():
    return pl.load("digits-cnn")


def test_an_affine_layer_is_inverted_exactly_with_least_norm():
    network, points = linear(4, 9), rows(3, 9)
    found = Inversion(recipe="exact")(pl.wrap(network), pl.Code(points, "0"))
    weight = network[0].weight.data
    expected = points @ weight.T @ torch.linalg.inv(weight @ weight.T) @ weight
    torch.testing.assert_close(found.images[:, 0], expected, rtol=1e-8, atol=1e-10)
    assert found.error.max() < 1e-20
    ridge = Inversion(recipe="exact", ridge=0.5)(pl.wrap(network), pl.Code(points, "0"))
    square = weight.T @ weight + 0.5 * torch.eye(9, dtype=torch.float64)
    expected = torch.linalg.solve(square, weight.T @ weight @ points.T).T
    torch.testing.assert_close(ridge.images[:, 0], expected, rtol=1e-8, atol=1e-10)
    assert (ridge.error > 1e-6).all()


def test_a_layer_that_is_not_affine_has_no_exact_inverse():
    with pytest.raises(NotAnswerable, match="not an affine function"):
        Inversion(recipe="exact")(pl.wrap(linear(12, 9)), pl.Code(rows(3, 9), "1"))


def test_the_descent_ends_where_algebra_says():
    """With a quadratic norm and no variation the energy of an affine layer is a ridge regression."""
    network, points = linear(6, 4), rows(2, 4)
    method = Inversion(alpha=2.0, norm_weight=0.2, variation_weight=0, steps=600, rate=4.0, starts=2)
    found = method(pl.wrap(network), pl.Code(points, "0"))
    weight, bias = network[0].weight.data, network[0].bias.data
    for example, point in enumerate(points):
        code = weight @ point + bias
        size = code.square().sum()
        # The norm counts in 64ths and is divided by 64² and the number of elements.
        square = weight.T @ weight / size + 0.2 / 4 * torch.eye(4, dtype=torch.float64)
        expected = torch.linalg.solve(square, weight.T @ (code - bias) / size)
        torch.testing.assert_close(found.images[example], expected.expand(2, -1), rtol=1e-3, atol=1e-4)
    assert (found.agreement > 0.999).all()


def test_the_energy_is_the_published_one(digits, reader):
    """Of any picture, in float64, by loops; σ is 64 times the square root of the number of pixels."""
    inputs = reader.prepare(digits[:1])
    other = digits[1:2].double()
    canvas = Grey(torch.zeros(1, 1, 8, 8), reader.task.bounds(inputs))
    variation = norm = 0.0
    grey = (other[0, 0] - 0.5) * 255
    for i in range(8):
        for j in range(8):
            norm += abs(float(grey[i, j])) ** 6
            right = float(grey[i, j + 1] - grey[i, j]) if j < 7 else 0.0
            down = float(grey[i + 1, j] - grey[i, j]) if i < 7 else 0.0
            variation += (right**2 + down**2) ** 1.5
    expected = (8e-10 * norm + 0.3 * variation) / (64**2 * 64)
    found = sum(penalty(other) for penalty in priors(canvas, 6.0, 3.0, 8e-10, 0.3))
    torch.testing.assert_close(float(found), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(canvas.draw(canvas.read(other)), other)


def test_codes_are_matched_by_distance_product_and_caricature():
    network, points = linear(5, 7), rows(2, 7)
    subject = pl.wrap(network)
    codes = network[0](points).detach()
    run = subject.run(subject.prepare(points.flip(0)), capture=("0",))
    a, b = codes
    distance = CodeMatch("0", codes)(run)
    torch.testing.assert_close(distance[0], -(a - b).square().sum() / a.square().sum())
    torch.testing.assert_close(CodeMatch("0", codes, "product")(run)[0], (a * b).sum() / a.square().sum())
    positive = a.clamp(min=0)
    torch.testing.assert_close(
        CodeMatch("0", codes, "caricature")(run)[0], (positive * b).sum() / positive.square().sum()
    )
    part = torch.tensor([1.0, 0, 1, 0, 0])
    a, b = a * part, b * part
    torch.testing.assert_close(
        CodeMatch("0", codes, "distance", part)(run)[0], -(a - b).square().sum() / a.square().sum()
    )


def test_reconstructions_have_nearly_the_code_and_deeper_ones_less_of_the_picture(reader, digits):
    told = []
    for layer in ("convolution1", "convolution2"):
        found = Inversion(starts=2, steps=80)(reader, pl.Code(digits, layer))
        again = reader.run(reader.prepare(found.images[:, 1]), capture=(layer,)).activations[layer].double()
        codes = reader.run(reader.prepare(digits), capture=(layer,)).activations[layer].double()
        missed = (again - codes).flatten(1).square().sum(1) / codes.flatten(1).square().sum(1)
        torch.testing.assert_close(found.error[:, 1], missed, rtol=1e-4, atol=1e-7)
        apart = (codes[2] - codes[1]).square().sum() / codes[1].square().sum()
        torch.testing.assert_close(found.apart[1, 2], apart, rtol=1e-4, atol=1e-7)
        pixels = torch.corrcoef(torch.stack([found.images[0, 0].flatten(), digits[0].flatten()]))[0, 1]
        torch.testing.assert_close(found.correlation[0, 0], pixels.double(), rtol=1e-4, atol=1e-5)
        assert (found.error.amax(1) < found.nearest / 10).all()
        told.append(found)
    assert told[0].correlation.mean() > told[1].correlation.mean()
    assert told[0].agreement.mean() > told[1].agreement.mean()
    assert "miss" in told[0].summary()


def test_the_published_schedule_descends_too(reader, digits):
    found = Inversion(recipe="mahendran", starts=1, norm_weight=0, variation_weight=1e-3, steps=200, rate=0.02)(
        reader, pl.Code(digits[:2], "convolution1")
    )
    assert found.trace.shape == (2, 1, 200)
    assert (found.error[:, 0] < 0.2 * -found.trace[:, 0, 0]).all()
    assert found.agreement.isnan().all()


def test_rates_and_weights_are_the_published_ones(reader, digits):
    step = descending_momentum(0.004, 400, 50)()
    sizes = [float(step(torch.ones(1), torch.zeros(1), number)) for number in range(400)]
    unit = 0.004 * 64**2 * 50 / 2
    assert sizes[0] == pytest.approx(unit)
    assert sizes[1] == pytest.approx(1.9 * unit)
    assert sizes[100] == pytest.approx(0.1 * unit)  # from zero again
    assert sizes[300] == pytest.approx(0.01 * unit)
    names = [layer.name for layer in reader.layers()]
    method = Inversion(recipe="mahendran")
    weights = [method._variation(reader, reader.prepare(digits), name) for name in names]
    assert weights[0] == 1.0
    assert weights[-1] == 100.0
    assert weights == sorted(weights)


def test_a_caricature_has_more_of_its_own_code_than_the_picture(reader, digits):
    found = Inversion(objective="caricature", steps=30, bounded=True)(reader, pl.Code(digits, "convolution2"))
    assert found.images.shape[1] == 1
    assert (found.strength > 1.2).all()
    assert 0 <= found.images.min() <= found.images.max() <= 1
    assert (found.correlation > 0.3).all()


def test_of_a_part_of_the_code_only_that_is_matched(reader, digits):
    asked = pl.Code(digits, "convolution2")
    whole = Inversion(starts=1, steps=40)(reader, asked)
    middle = Inversion(starts=1, steps=40, neighbourhood=2)(reader, asked)
    half = Inversion(starts=1, steps=40, channels=(0, 4))(reader, asked)
    codes = [
        reader.run(reader.prepare(points), capture=("convolution2",)).activations["convolution2"]
        for points in (digits, middle.images[:, 0], half.images[:, 0])
    ]
    side = codes[0].shape[-1]
    square = slice(side // 2 - 1, side // 2 + 1)
    missed = (codes[1] - codes[0])[..., square, square].flatten(1).square().sum(1)
    expected = missed / codes[0][..., square, square].flatten(1).square().sum(1)
    torch.testing.assert_close(middle.error[:, 0], expected.double(), rtol=1e-3, atol=1e-6)
    missed = (codes[2] - codes[0])[:, :4].flatten(1).square().sum(1)
    expected = missed / codes[0][:, :4].flatten(1).square().sum(1)
    torch.testing.assert_close(half.error[:, 0], expected.double(), rtol=1e-3, atol=1e-6)
    assert (middle.correlation < whole.correlation).all()


def test_a_trained_decoder_inverts_without_descent(reader, digits, tmp_path):
    data = torch.tensor(load_digits().images[:20]).float()[:, None] / 16
    decoder = TrainDecoder("convolution1", steps=2, batch=8)(reader, pl.Fit(data))
    path = decoder.save(tmp_path / "decoder.pellucid")
    found = Inversion(recipe="decoder", decoder=str(path))(reader, pl.Code(digits, "convolution1"))
    code = reader.run(reader.prepare(digits), capture=("convolution1",)).activations["convolution1"]
    torch.testing.assert_close(found.images[:, 0], decoder(code).detach(), rtol=1e-5, atol=1e-6)
    assert found.trace is None
    with pytest.raises(UsageError, match="another question or network"):
        Inversion(recipe="decoder", decoder=decoder)(reader, pl.Code(digits, "convolution2"))


def test_jitter_and_size_are_of_pictures(reader, digits):
    network = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.Sigmoid(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        ).eval()
    )
    subject = pl.wrap(network, pl.tasks.Image(16, mean=(0.0,), deviation=(1.0,)))
    found = Inversion(size=9, jitter=2, steps=2)(subject, pl.Code(torch.rand(1, 1, 16, 16), "1"))
    assert found.images.shape == (1, 2, 1, 9, 9)
    decoder = TrainDecoder("1", steps=1)(subject, pl.Fit(torch.rand(4, 1, 16, 16)))
    with pytest.raises(UsageError, match="makes pictures of"):
        Inversion(recipe="decoder", decoder=decoder, size=9)(subject, pl.Code(torch.rand(1, 1, 16, 16), "1"))
    for wrong in (Inversion(size=9), Inversion(jitter=1)):
        with pytest.raises(UsageError, match="of pictures"):
            wrong(pl.wrap(linear(4, 9)), pl.Code(rows(1, 9), "0"))


def test_starts_do_not_depend_on_neighbours(reader, digits):
    method = Inversion(steps=3, starts=2)
    both = method(reader, pl.Code(digits[:2], "convolution1"))
    alone = method(reader, pl.Code(digits[1:2], "convolution1"))
    torch.testing.assert_close(both.images[1:], alone.images, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(both.images[0, 0], both.images[0, 1])
    other = Inversion(steps=3, starts=2, seed=1)(reader, pl.Code(digits[1:2], "convolution1"))
    assert not torch.allclose(other.images, alone.images)


def test_pictures_are_moved_by_no_more_than_asked():
    point = torch.zeros(40, 1, 7, 7)
    point[:, 0, 3, 3] = 1
    places = moved(2)(point, [torch.Generator().manual_seed(seed) for seed in range(40)]).nonzero()[:, 2:] - 3
    assert places.abs().max() == 2
    assert len({tuple(place) for place in places.tolist()}) > 10


def test_steps_grow_smaller_over_the_last_third(reader, digits):
    step = settling_adam(2.0, 30)()
    sizes = [float(step(torch.ones(1, 1), torch.zeros(1), number)) for number in range(30)]
    assert sizes[:20] == pytest.approx([2.0] * 20, rel=2e-3)
    assert sizes[29] == pytest.approx(0.2, rel=2e-3)


def test_impossible_questions_are_refused(reader, digits):
    with pytest.raises(UsageError, match="go together"):
        Inversion(recipe="decoder")
    with pytest.raises(UsageError, match="whole code"):
        Inversion(recipe="exact", objective="caricature")
    with pytest.raises(UsageError, match="first and the one after"):
        Inversion(channels=(3, 3))
    with pytest.raises(UsageError, match="no unit"):
        Inversion(channels=(0, 99))(reader, pl.Code(digits, "convolution1"))
    with pytest.raises(UsageError, match="convolution1"):
        Inversion()(reader, pl.Code(digits, "convolution9"))
    silent = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    nn.init.constant_(silent[0].bias, -100.0)
    with pytest.raises(NotAnswerable, match="nothing to invert"):
        Inversion()(pl.wrap(silent.eval()), pl.Code(rows(1, 3), "1"))


@pytest.mark.slow
def test_a_photograph_is_inverted_at_every_depth_of_an_imagenet_network():
    """Codes of other photographs are far away; what is kept of the pixels falls with depth, starts come apart."""
    data = pytest.importorskip("skimage.data")
    photographs = [data.chelsea(), data.coffee(), data.astronaut()]
    subject = pl.load("efficientnet-lite0")
    kept, agreed = [], []
    for layer in ("blocks.1", "blocks.4", "blocks.10", "blocks.15"):
        found = Inversion(size=96)(subject, pl.Code(photographs, layer))
        assert found.error[0].max() <= 0.06
        assert found.error.amin(1).max() <= 0.06
        assert found.nearest.min() > 1
        kept.append(float(found.correlation.mean()))
        agreed.append(float(found.agreement.mean()))
    assert kept == sorted(kept, reverse=True)
    assert kept[0] > 0.8
    assert kept[3] < 0.1
    assert agreed == sorted(agreed, reverse=True)
