"""A gallery: which layers and channels it shows, and that wavelengths are those of what was planted."""

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.methods.features.feature_gallery import WAVELENGTH


class TwoScales(nn.Module):
    """A first layer of waves of 3 pixels, a second that reads waves of 12 from the picture beside it."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = (nn.Sequential(nn.Conv2d(1, 4, 12, bias=False), nn.ReLU()) for _ in range(2))
        self.head = nn.Linear(8, 2)
        with torch.no_grad():
            for layer, period in ((self.fine, 4.0), (self.coarse, 12.0)):
                wave = 2 * torch.pi * torch.arange(12) / period
                shifted = torch.stack([(wave + phase).cos() for phase in torch.arange(4) * torch.pi / 4])
                layer[0].weight.copy_(shifted[:, None, None].expand(-1, 1, 12, -1) / 12)

    def forward(self, pixels):
        return self.head(torch.cat([self.fine(pixels).amax((2, 3)), self.coarse(pixels).amax((2, 3))], 1))


@pytest.fixture(scope="module")
def subject():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return pl.wrap(TwoScales().eval(), pl.tasks.Image(24, (0.5,), (0.5,)), name="two-scales")


def test_the_wavelength_of_each_picture_is_that_of_its_filter(subject):
    gallery = pl.methods.FeatureGallery(channels=3, steps=60)
    found = gallery(subject, pl.Representation(("fine", "coarse"), None))
    assert found.units == ("fine/0", "fine/1", "fine/2", "coarse/0", "coarse/1", "coarse/2")
    fine, coarse = found.evidence[WAVELENGTH].view(2, 3).median(1).values.tolist()
    assert fine < 7 < coarse
    assert "Rank correlation with depth" in found.notes[0]
    assert "fine" in found.notes[0]


def test_layers_are_chosen_over_the_depth_of_the_network():
    found = pl.methods.FeatureGallery(channels=1, steps=1)(pl.load("digits-cnn"), pl.Representation((), None))
    layers = [unit.partition("/")[0] for unit in found.units]
    known = [layer.name for layer in pl.load("digits-cnn").layers()]
    assert len(layers) >= 2
    assert sorted(layers, key=known.index) == layers


def test_the_recipe_of_keras_vis_keeps_the_picture_with_the_least_loss(subject):
    gallery = pl.methods.FeatureGallery(channels=2, recipe="keras-vis", steps=30)
    with torch.no_grad():
        subject.module.fine[0].weight.mul_(1000)  # so that the unit outweighs the smoothness
    found = gallery(subject, pl.Representation(("fine",), None))
    with torch.no_grad():
        subject.module.fine[0].weight.div_(1000)
    run = subject.run(subject.prepare(found.images), capture=("fine",))
    assert torch.allclose(
        found.activations.float(), 1000 * run.activations["fine"].mean((2, 3))[[0, 1], [0, 2]], rtol=1e-3
    )
    assert bool((found.activations.float()[:, None] - found.trace).abs().amin(1).eq(0).all())
    assert float(found.images.abs().max()) <= 1
