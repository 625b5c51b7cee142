"""Train the smallest networks that Pellucid carries, and write each to one safetensors file with its record.

    python scripts/train_zoo.py wine-mlp
    python scripts/train_zoo.py diabetes-mlp
    python scripts/train_zoo.py digits-cnn

Every training has a fixed seed and runs on one thread, so that it can be repeated. What was held out is said by row,
not by a random split, so that the recorded score can be checked with any version of any library.
"""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_digits, load_wine
from torch import Tensor, nn
from torch.nn import functional

from pellucid.models.digits import DigitsNetwork
from pellucid.models.packaged import Packaged
from pellucid.models.perceptron import MultilayerPerceptron

WEIGHTS = Path(__file__).resolve().parent.parent / "src" / "pellucid" / "models" / "weights"
SEED = 0

log = logging.getLogger("train_zoo")

DIABETES_FEATURES = {
    "age": "age in years",
    "sex": "sex, coded 1 and 2",
    "bmi": "body mass index",
    "bp": "mean blood pressure",
    "s1": "total serum cholesterol",
    "s2": "low-density lipoproteins",
    "s3": "high-density lipoproteins",
    "s4": "total cholesterol divided by high-density lipoproteins",
    "s5": "logarithm of serum triglycerides",
    "s6": "blood sugar",
}

EVERY_FOURTH = "every fourth row: 3, 7, 11, …"
LAST_QUARTER = (
    "the last quarter in file order, so that training and held-out pictures are not neighbours: rows from 1347"
)


def every_fourth(count: int) -> NDArray[np.bool_]:
    return np.arange(count) % 4 == 3


def train(
    module: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    wanted: Tensor,
    *,
    steps: int,
    batch: int,
    rate: float,
    decay: float,
) -> None:
    """AdamW with a rate that falls to zero on a cosine."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    module.train()
    for _ in range(steps):
        rows = torch.randperm(len(inputs))[:batch]
        optimizer.zero_grad()
        loss(module(inputs[rows]), wanted[rows]).backward()
        optimizer.step()
        schedule.step()
    module.eval()


def accuracy(module: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((module(inputs).argmax(dim=-1) == labels).double().mean())


def wine_mlp() -> Packaged:
    table = load_wine()
    held_out = every_fourth(len(table.data))
    means, deviations = table.data[~held_out].mean(axis=0), table.data[~held_out].std(axis=0)
    inputs = torch.tensor((table.data - means) / deviations, dtype=torch.float32)
    labels = torch.tensor(table.target)
    architecture = {"inputs": 13, "hidden": [16], "outputs": 3}
    module = MultilayerPerceptron(**architecture)
    train(
        module,
        functional.cross_entropy,
        inputs[~held_out],
        labels[~held_out],
        steps=400,
        batch=64,
        rate=1e-2,
        decay=0.1,
    )
    return Packaged(
        module=module,
        labels=("cultivar 0", "cultivar 1", "cultivar 2"),
        features=tuple(table.feature_names),
        means=tuple(means.tolist()),
        deviations=tuple(deviations.tolist()),
        metadata={
            "architecture": architecture,
            "data": "scikit-learn load_wine: 178 wines",
            "seed": SEED,
            "held_out": {
                "rows": EVERY_FOURTH,
                "count": int(held_out.sum()),
                "accuracy": accuracy(module, inputs[held_out], labels[held_out]),
            },
        },
    )


def diabetes_mlp() -> Packaged:
    table = load_diabetes(scaled=False)
    held_out = every_fourth(len(table.data))
    means, deviations = table.data[~held_out].mean(axis=0), table.data[~held_out].std(axis=0)
    inputs = torch.tensor((table.data - means) / deviations, dtype=torch.float32)
    centre, scale = table.target[~held_out].mean(), table.target[~held_out].std()
    wanted = torch.tensor((table.target - centre) / scale, dtype=torch.float32)[:, None]
    architecture = {"inputs": 10, "hidden": [16], "outputs": 1}
    module = MultilayerPerceptron(**architecture)
    # Without this much decay 332 rows are learned by heart; chosen by cross-validation on the training rows.
    train(module, functional.mse_loss, inputs[~held_out], wanted[~held_out], steps=800, batch=332, rate=1e-2, decay=3.0)
    in_the_unit_of_the_target(module, float(centre), float(scale))
    with torch.no_grad():
        predicted = module(inputs[held_out])[:, 0].double().numpy()
    residuals = table.target[held_out] - predicted
    spread = table.target[held_out] - table.target[held_out].mean()
    return Packaged(
        module=module,
        labels=("disease progression after one year",),
        features=tuple(table.feature_names),
        means=tuple(means.tolist()),
        deviations=tuple(deviations.tolist()),
        metadata={
            "architecture": architecture,
            "data": "scikit-learn load_diabetes(scaled=False): 442 patients",
            "features in words": DIABETES_FEATURES,
            "seed": SEED,
            "held_out": {
                "rows": EVERY_FOURTH,
                "count": int(held_out.sum()),
                "r2": float(1 - (residuals**2).sum() / (spread**2).sum()),
                "mean absolute error": float(np.abs(residuals).mean()),
            },
        },
    )


def in_the_unit_of_the_target(module: MultilayerPerceptron, centre: float, scale: float) -> None:
    """Fold the target's mean and deviation into the last layer, so that the network answers in its unit."""
    last = module.layers[-1]
    with torch.no_grad():
        last.weight.mul_(scale)
        last.bias.mul_(scale).add_(centre)


def digits_cnn() -> Packaged:
    pictures, digits = load_digits(return_X_y=True)
    inputs = torch.tensor(pictures / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    labels = torch.tensor(digits)
    known = len(labels) * 3 // 4
    architecture = {"channels": [16, 32]}
    module = DigitsNetwork(**architecture)
    train(module, functional.cross_entropy, inputs[:known], labels[:known], steps=1000, batch=64, rate=3e-3, decay=0.3)
    return Packaged(
        module=module,
        labels=tuple("0123456789"),
        metadata={
            "architecture": architecture,
            "data": "scikit-learn load_digits: 1,797 pictures, values divided by 16",
            "seed": SEED,
            "held_out": {
                "rows": LAST_QUARTER,
                "count": len(labels) - known,
                "accuracy": accuracy(module, inputs[known:], labels[known:]),
            },
        },
    )


TRAININGS: dict[str, Callable[[], Packaged]] = {
    "wine-mlp": wine_mlp,
    "diabetes-mlp": diabetes_mlp,
    "digits-cnn": digits_cnn,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=TRAININGS, help="which network to train")
    parser.add_argument(
        "--into", type=Path, default=WEIGHTS, help="the folder for the file (default: the package's own)"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    packaged = TRAININGS[arguments.name]()
    path = arguments.into / f"{arguments.name}.safetensors"
    packaged.save(path)
    log.info("%s: %s bytes, held out: %s", path, path.stat().st_size, packaged.metadata["held_out"])


if __name__ == "__main__":
    main()
