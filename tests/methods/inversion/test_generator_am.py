"""Activation maximisation by a generator: a closed form, codes that stay where data are, and recognition by others."""

from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import pellucid as pl
from pellucid.core.errors import BadInput, UsageError
from pellucid.engine.generating import range_distance
from pellucid.methods.inversion.generator_am import RANGE, GeneratorAM
from pellucid.methods.inversion.train_decoder import TrainDecoder

MNIST = Path(__file__).resolve().parents[3] / "../shared/data/mnist-20k"
SECOND = "probability in the second network"


class Linear:
    """G(z) = Az; codes of data lie around ``mean`` with deviation 1."""

    def __init__(self, matrix, mean=0.0, lowest=-1.0):
        self.matrix = torch.tensor(matrix, dtype=torch.float64)
        self.picture, self.code = (len(self.matrix),), (self.matrix.shape[1],)
        self.mean = torch.full(self.code, mean, dtype=torch.float64)
        self.deviation, self.lowest = torch.ones_like(self.mean), torch.full_like(self.mean, lowest)

    def __call__(self, codes):
        return codes @ self.matrix.T


A = [[1.0, 0], [1, 1], [0, 2]]


@pytest.fixture
def unit():
    network = nn.Linear(3, 2, bias=False).double()
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0, 2, -1], [-1, 0, 2]]))
    return pl.wrap(network.eval())


def test_penalised_ascent_ends_at_the_closed_form(unit):
    """w·Az − ½|z|² is largest at z = Aᵀw = (3, 0)."""
    found = GeneratorAM(Linear(A), recipe="penalised", rate=0.2, penalty=0.5, steps=120)(unit, pl.Unit(target=0))
    torch.testing.assert_close(found.images, torch.tensor([[3.0, 3, 0]] * 3).double(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.activations, torch.full((3,), 9.0).double(), rtol=1e-6, atol=0)


def test_two_units_at_once_are_excited_by_their_sum(unit):
    """(w₀ + w₁)·Az − ½|z|² is largest at Aᵀ(0, 2, 1) = (2, 4)."""
    method = GeneratorAM(Linear(A), also=(1,), recipe="penalised", rate=0.2, penalty=0.5, steps=120)
    found = method(unit, pl.Unit(target=0))
    torch.testing.assert_close(found.images, torch.tensor([[2.0, 6, 8]] * 3).double(), rtol=1e-6, atol=1e-6)
    assert found.units[0] == "class 0 and class 1"
    with pytest.raises(UsageError, match="twice"):
        GeneratorAM(Linear(A), also=(0,))(unit, pl.Unit(target=0))


@pytest.mark.parametrize(("mean", "lowest", "low", "high"), [(2.0, 0.0, 0.0, 5.0), (0.5, -2.0, -2.5, 3.5)])
def test_codes_stay_within_three_deviations_and_are_not_negative_where_codes_never_are(unit, mean, lowest, low, high):
    """Along Aᵀw = (3, 0) only the first element moves; along −Aᵀw it goes to the other end."""
    made = Linear(A, mean, lowest)
    up = GeneratorAM(made, decay=0.0, rate=20.0, steps=3)(unit, pl.Unit(target=0)).images
    torch.testing.assert_close(up[:, 0], torch.full((3,), high).double())
    opposite = nn.Linear(3, 2, bias=False).double()
    with torch.no_grad():
        opposite.weight.copy_(-unit.module.weight)
    down = GeneratorAM(made, decay=0.0, rate=20.0, steps=3)(pl.wrap(opposite), pl.Unit(target=0))
    torch.testing.assert_close(down.images[:, 0], torch.full((3,), low).double())


def test_each_step_moves_the_code_as_far_and_then_decays(unit):
    """By hand: steps of mean size 1/2, 1/4 and 0 along Aᵀw / mean|Aᵀw|, each followed by × .9."""
    found = GeneratorAM(Linear(A, lowest=-9.0), starts=1, steps=3, rate=0.5, decay=0.1)(unit, pl.Unit(target=0))
    start = GeneratorAM(Linear(A, lowest=-9.0), starts=1, steps=1, rate=1e-12, decay=0.0)(unit, pl.Unit(target=0))
    code = torch.linalg.pinv(Linear(A).matrix) @ start.images[0]
    for size, kept in ((0.5, 0.9), (0.25, 0.9), (0.0, 0.9)):
        code = (code + size * torch.tensor([2.0, 0]).double()) * kept
    torch.testing.assert_close(found.images[0], Linear(A)(code), rtol=1e-6, atol=1e-8)


def test_the_distance_to_the_range_is_that_of_the_projection():
    made, points = Linear(A), torch.tensor([[1.0, 2, 2], [1, -1, 0]]).double()
    projected = points @ torch.linalg.pinv(made.matrix).T @ made.matrix.T
    expected = (projected - points).square().sum(1) / points.square().sum(1)
    found = range_distance(made, points, torch.zeros(2, 2).double(), steps=400)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
    assert range_distance(made, points, torch.zeros(2, 2).double()).tolist() == [1.0, 1.0]


def test_pictures_by_a_trained_decoder_stay_in_its_range(tmp_path):
    reader = pl.load("digits-cnn")
    data = torch.tensor(load_digits().images[:200]).float()[:, None] / 16
    decoder = TrainDecoder("classifier", steps=60, batch=16, rate=3e-3)(reader, pl.Fit(data))
    path = str(decoder.save(tmp_path / "decoder.pellucid"))
    found = GeneratorAM(path, steps=40, second=reader)(reader, pl.Unit(target=3, data=data[:50]))
    assert found.images.shape == (3, 1, 8, 8)
    assert (found.evidence[RANGE] < 1e-5).all()
    noise = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert (range_distance(decoder, noise, torch.zeros(3, 10), steps=60) > 0.1).all()
    assert (found.evidence[SECOND] > 0.5).all()
    assert {"distance to the nearest example", "maximum over the data"} <= set(found.evidence)
    channel = GeneratorAM(decoder, steps=5, also=(2,))(reader, pl.Unit("convolution2", 1))
    assert channel.units[0] == "convolution2/1 and convolution2/2"


def test_what_is_no_generator_is_refused(unit, tmp_path):
    with pytest.raises(UsageError, match="a generator is a decoder"):
        GeneratorAM(3)(unit, pl.Unit(target=0))
    with pytest.raises(BadInput, match="cannot read"):
        GeneratorAM(str(tmp_path / "nothing.pellucid"))(unit, pl.Unit(target=0))
