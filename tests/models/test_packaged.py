"""The networks that come with the package are what their records say."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.datasets import load_diabetes, load_digits, load_wine

from pellucid.models.digits import load_digits_cnn
from pellucid.models.mnist import load_mnist_cnn
from pellucid.models.packaged import Packaged, read_packaged
from pellucid.models.perceptron import MultilayerPerceptron, load_diabetes_mlp, load_wine_mlp

SMALL = {
    "wine-mlp": load_wine_mlp,
    "diabetes-mlp": load_diabetes_mlp,
    "digits-cnn": load_digits_cnn,
    "mnist-cnn": load_mnist_cnn,
}
MNIST = Path(__file__).resolve().parents[2] / "../shared/data/mnist-20k"


def standardised(packaged: Packaged, rows: np.ndarray) -> torch.Tensor:
    return torch.tensor((rows - np.array(packaged.means)) / np.array(packaged.deviations), dtype=torch.float32)


def every_fourth(rows: np.ndarray) -> np.ndarray:
    return rows[3::4]


def test_wine_keeps_its_held_out_accuracy():
    packaged, table = load_wine_mlp(), load_wine()
    predicted = packaged.module(standardised(packaged, every_fourth(table.data))).argmax(dim=-1).numpy()
    held_out = packaged.metadata["held_out"]
    assert len(predicted) == held_out["count"]
    assert (predicted == every_fourth(table.target)).mean() == pytest.approx(held_out["accuracy"])
    assert held_out["accuracy"] > 0.95
    assert packaged.features == tuple(table.feature_names)


def test_diabetes_keeps_its_held_out_scores_in_the_unit_of_the_target():
    packaged, table = load_diabetes_mlp(), load_diabetes(scaled=False)
    predicted = packaged.module(standardised(packaged, every_fourth(table.data)))[:, 0].double().numpy()
    wanted = every_fourth(table.target)
    held_out = packaged.metadata["held_out"]
    assert len(predicted) == held_out["count"]
    assert np.abs(predicted - wanted).mean() == pytest.approx(held_out["mean absolute error"], abs=1e-3)
    residual, spread = ((predicted - wanted) ** 2).sum(), ((wanted - wanted.mean()) ** 2).sum()
    assert 1 - residual / spread == pytest.approx(held_out["r2"], abs=1e-5)
    assert held_out["r2"] > 0.35
    assert packaged.features == tuple(table.feature_names)
    assert set(packaged.metadata["features in words"]) == set(packaged.features)


def test_digits_keeps_its_held_out_accuracy():
    packaged = load_digits_cnn()
    pictures, digits = load_digits(return_X_y=True)
    pixels = torch.tensor(pictures[1347:] / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    predicted = packaged.module(pixels).argmax(dim=-1).numpy()
    held_out = packaged.metadata["held_out"]
    assert len(predicted) == held_out["count"]
    assert (predicted == digits[1347:]).mean() == pytest.approx(held_out["accuracy"])
    assert held_out["accuracy"] > 0.94


@pytest.mark.skipif(not MNIST.is_dir(), reason="the digits of MNIST are not beside the repository")
def test_mnist_keeps_its_held_out_accuracy():
    packaged = load_mnist_cnn()
    images, labels = (
        np.frombuffer(gzip.decompress((MNIST / f"t10k-{what}-ubyte.gz").read_bytes()), np.uint8, offset=offset)
        for what, offset in (("images-idx3", 16), ("labels-idx1", 8))
    )
    pixels = torch.from_numpy(images.reshape(-1, 1, 28, 28).astype(np.float32) / 255)
    predicted = torch.cat([packaged.module(part).argmax(dim=-1) for part in pixels.split(1000)]).numpy()
    held_out = packaged.metadata["held_out"]
    assert len(predicted) == held_out["count"]
    # One digit may lie so near to a border that another version of torch reads it otherwise.
    assert (predicted == labels).mean() == pytest.approx(held_out["accuracy"], abs=2e-4)
    assert held_out["accuracy"] >= 0.98


@pytest.mark.parametrize(
    ("load", "rows"), [(load_wine_mlp, load_wine().data), (load_diabetes_mlp, load_diabetes(scaled=False).data)]
)
def test_the_means_are_those_of_the_training_rows_alone(load, rows):
    packaged = load()
    known = rows[np.arange(len(rows)) % 4 != 3]
    np.testing.assert_allclose(packaged.means, known.mean(axis=0))
    np.testing.assert_allclose(packaged.deviations, known.std(axis=0))


@pytest.mark.parametrize("load", SMALL.values(), ids=SMALL)
def test_loading_gives_a_frozen_network_in_eval_mode_and_draws_no_random_numbers(load):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    module = load().module
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(part.training for part in module.modules())
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in module.parameters())


def test_saving_and_reading_give_the_same_network_and_record(tmp_path):
    torch.manual_seed(0)
    metadata = {"architecture": {"inputs": 2, "hidden": [3], "outputs": 1}, "seed": 5}
    saved = Packaged(MultilayerPerceptron(2, [3], 1), ("y",), ("a", "b"), (0.1, 1e-30), (1.0, 2.0), metadata)
    saved.save(tmp_path / "it.safetensors")
    read = read_packaged(tmp_path / "it.safetensors", MultilayerPerceptron)
    rows = torch.randn(4, 2)
    assert torch.equal(read.module(rows), saved.module(rows))
    for field in ("labels", "features", "means", "deviations", "metadata"):
        assert getattr(read, field) == getattr(saved, field)


def test_the_record_is_readable_without_pellucid(tmp_path):
    metadata = {"architecture": {"inputs": 2, "hidden": [3], "outputs": 1}}
    Packaged(MultilayerPerceptron(2, [3], 1), labels=("y",), metadata=metadata).save(tmp_path / "it.safetensors")
    with safe_open(tmp_path / "it.safetensors", framework="pt") as stored:
        record = json.loads(stored.metadata()["pellucid"])
    assert record["labels"] == ["y"]
    assert record["metadata"] == metadata
