"""Stacked denoising autoencoders restore what was hidden, by one set of weights for both directions."""

import pytest
import torch

from pellucid.core.meter import reporting
from pellucid.models import Denoising, DenoisingAutoencoder, StackedAutoencoder


def stripes(number=300):
    """Pictures of 4 × 4 pixels with one bright row or column, of eight kinds."""
    kinds = torch.zeros(8, 4, 4)
    for place in range(4):
        kinds[place, place], kinds[4 + place, :, place] = 1, 1
    return kinds[torch.randint(8, (number,), generator=torch.Generator().manual_seed(2))]


def test_the_same_weights_code_and_restore():
    generator = torch.Generator().manual_seed(1)
    weights, below, above = (torch.randn(*shape, generator=generator) for shape in ((5, 3), (5,), (3,)))
    layer, values = DenoisingAutoencoder(weights, below, above), torch.rand(4, 5)
    code = (values @ weights + above).sigmoid()
    torch.testing.assert_close(layer(values), code)
    torch.testing.assert_close(layer.restored(values), (code @ weights.T + below).sigmoid())
    real = DenoisingAutoencoder(weights, below, above, "gaussian")
    torch.testing.assert_close(real.restored(values), code @ weights.T + below)


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_hidden_pixels_are_restored(optimiser, visible):
    data = stripes()
    rate = {"adam": 0.01, "sgd": 0.5 if visible == "binary" else 0.1}[optimiser]
    net = StackedAutoencoder.fit(data, (24,), Denoising(optimiser=optimiser, rate=rate, epochs=40), visible)
    rows = data[:100].flatten(1)
    hidden = torch.rand(rows.shape, generator=torch.Generator().manual_seed(5)) < 0.2
    restored = net.restored(rows.masked_fill(hidden, 0)).detach()
    ink, paper = restored[hidden & (rows == 1)], restored[hidden & (rows == 0)]
    assert float(ink.mean() - paper.mean()) > 0.3  # 0 where a pixel's neighbours tell nothing about it


def test_each_layer_learns_from_the_codes_below_and_the_stack_restores_through_all():
    data, seen = stripes(), []
    with reporting(lambda *told: seen.append(told)):
        net = StackedAutoencoder.fit(data, (24, 16), Denoising(rate=0.01, epochs=30, seed=3))
    below = Denoising(rate=0.01, epochs=30, seed=3).fitted(data, 24, "binary")
    above = Denoising(rate=0.01, epochs=30, seed=4).fitted(below(data).detach(), 16, "binary")
    assert torch.equal(net.layers[0].weights, below.weights)
    assert torch.equal(net.layers[1].weights, above.weights)
    torch.testing.assert_close(net(data), above(below(data)))
    error = (net.restored(data) - data.flatten(1)).square().mean().detach()
    assert float(error) < 0.25 * float((data - data.mean(0)).square().mean())
    assert seen[-1] == (30, 30, "denoising autoencoder, 24 to 16 units")


def test_sparse_codes_are_silent_most_of_the_time():
    data = stripes()
    plain, sparse = (
        Denoising(rate=0.01, epochs=20, sparsity=target, sparsity_cost=20.0).fitted(data, 24, "binary")
        for target in (None, 0.1)
    )
    assert float(sparse(data).mean(0).detach().sub(0.1).abs().mean()) < 0.04
    assert float(plain(data).mean(0).detach().sub(0.1).abs().mean()) > 0.15
