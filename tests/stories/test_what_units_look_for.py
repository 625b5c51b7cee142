"""What units look for: the three ways of drawing them agree in a net of digits, and their pictures stand in one column."""

from pathlib import Path

import pytest
import torch
from examples.units.answers import answers
from examples.units.data import mnist, patches, small_digits
from examples.units.nets import RECIPES, trained
from examples.units.picture import picture

import pellucid as pl
from pellucid.models import DBN, ContrastiveDivergence

MNIST = Path(__file__).resolve().parents[2] / "../shared/data/mnist-20k"


def test_the_optimum_the_samples_and_the_filters_of_a_unit_are_one_picture():
    data = small_digits()
    net = DBN.fit(data, (40, 20), ContrastiveDivergence(rate=0.1, momentum=0.8, epochs=25))
    subject = pl.wrap(net, pl.tasks.TensorTask(shape=(1, 8, 8), output="value"), name="belief net")
    found = answers(subject, data[:300], 0, 6)
    assert found.measured["lowest cosine with the weights"] > 0.99
    assert found.measured["starts agree"] == found.measured["above all data"] == 1
    assert found.measured["own sampled mean is nearest"] == 1
    drawn = picture("digits, layer 1", found)
    assert drawn.width == 12 * 78 + 6
    assert drawn.height == 28 + 4 * 100


def test_patches_are_of_photographs_without_their_mean_and_contrast():
    values = patches(400)
    assert values.shape == (400, 1, 12, 12)
    torch.testing.assert_close(values.mean(0), torch.zeros(1, 12, 12), atol=1e-4, rtol=0)
    neighbours = (values[..., 1:] * values[..., :-1]).mean() / values.square().mean()
    assert 0.2 < float(neighbours) < 0.95
    assert torch.equal(values, patches(400))


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.is_dir(), reason="the digits of MNIST are not there")
def test_nine_starts_agree_on_units_of_both_nets_of_mnist():
    data = mnist(MNIST)
    for subject in trained("mnist", data).values():
        for layer in range(len(RECIPES["mnist"].hidden)):
            found = answers(subject, data[:2000], layer, 0).measured
            assert found["above all data"] == 1
            if layer == 0:  # Higher units have several optima.
                assert found["starts agree"] >= 0.8
                assert found["lowest cosine with the weights"] > 0.99
