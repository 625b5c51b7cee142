"""Linear combination of filters: sums by hand, in which the largest weights count whatever their sign."""

from itertools import pairwise

import pytest
import torch
from torch import nn

import pellucid as pl
from models.machines import small_machine
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.methods.transparency.filter_combination import KEPT, FilterCombination
from pellucid.models import DBN, RBM, DenoisingAutoencoder, StackedAutoencoder

SIZES = (6, 5, 4, 3)


def weights():
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(above, below, generator=generator, dtype=torch.float64) for below, above in pairwise(SIZES)]


def perceptron():
    parts = [nn.Flatten()]
    for weight in weights():
        linear = nn.Linear(weight.shape[1], weight.shape[0]).double()
        linear.weight.data = weight
        parts += [linear, nn.ReLU()]
    return nn.Sequential(*parts)


def stack(kind, layer):
    zeros = lambda number: torch.zeros(number, dtype=torch.float64)  # noqa: E731
    return kind([layer(weight.T, zeros(weight.shape[1]), zeros(weight.shape[0])) for weight in weights()])


def subject(module):
    return pl.wrap(module, pl.tasks.TensorTask(shape=(1, 2, 3), output="value"))


def by_hand(top):
    """Every unit of the third layer, one number at a time."""
    filters = [row.tolist() for row in weights()[0]]
    for weight in weights()[1:]:
        above = []
        for row in weight.tolist():
            kept = sorted(range(len(row)), key=lambda unit: -abs(row[unit]))[:top]
            above.append([sum(row[unit] * filters[unit][pixel] for unit in kept) for pixel in range(SIZES[0])])
        filters = above
    return torch.tensor(filters, dtype=torch.float64)


@pytest.mark.parametrize("top", [1, 2, 20])
@pytest.mark.parametrize(
    ("module", "layer"),
    [
        (perceptron(), "6"),
        (stack(DBN, RBM), "layers.2"),
        (stack(StackedAutoencoder, DenoisingAutoencoder), "layers.2.linear"),
    ],
    ids=["perceptron", "deep belief net", "autoencoder"],
)
def test_filters_are_summed_layer_by_layer(module, layer, top):
    found = FilterCombination(top=top)(subject(module), pl.Unit(layer))
    torch.testing.assert_close(found.images.flatten(1).double(), by_hand(top), rtol=1e-5, atol=1e-6)
    if top == 20:
        product = weights()[2] @ weights()[1] @ weights()[0]
        torch.testing.assert_close(found.images.flatten(1).double(), product, rtol=1e-5, atol=1e-6)


def test_a_large_negative_weight_is_kept_with_its_sign():
    second = RBM(torch.tensor([[-3.0], [1.0], [2.0]]), torch.zeros(3), torch.zeros(1))
    first = RBM(torch.eye(4)[:, :3], torch.zeros(4), torch.zeros(3))
    asked = pl.wrap(DBN([first, second]), pl.tasks.TensorTask(shape=(4,), output="value"))
    found = FilterCombination(top=2)(asked, pl.Unit("layers.1", 0))
    assert found.images.tolist() == [[-3.0, 0.0, 2.0, 0.0]]
    assert float(found.evidence[KEPT][0]) == pytest.approx(13 / 14)


def test_units_of_the_first_layer_are_their_weights_and_the_activation_is_that_of_the_filter():
    asked = pl.wrap(small_machine(), pl.tasks.TensorTask(shape=(4,), output="value"))
    found = FilterCombination()(asked, pl.Unit("sigmoid", data=torch.rand(7, 4)))
    rows = small_machine().weights.T.detach()
    torch.testing.assert_close(found.images.double(), rows)
    torch.testing.assert_close(found.activations, rows.square().sum(1) + small_machine().hidden_bias.detach())
    assert found.units == ("linear/0", "linear/1", "linear/2")
    assert "maximum over the data" in found.evidence


def test_what_is_no_chain_of_linear_layers_is_refused():
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(NotAnswerable, match="does not read the input alone"):
        FilterCombination()(subject(module), pl.Unit("2", 0))
    with pytest.raises(UsageError, match="name a layer"):
        FilterCombination()(subject(perceptron()), pl.Unit(target=1))
    with pytest.raises(UsageError, match="channels 0 to 2"):
        FilterCombination()(subject(perceptron()), pl.Unit("6", 3))
