"""Three kinds of small pictures: digits of 8 × 8 and of 28 × 28 pixels, and patches of photographs."""

from pathlib import Path

import torch
from scripts.train_mnist import training_digits
from skimage import color, data
from sklearn.datasets import load_digits
from torch import Tensor

SIDE = 12


def small_digits() -> Tensor:
    """The 1,797 digits of scikit-learn, ``[1797, 1, 8, 8]`` from 0 to 1."""
    return torch.tensor(load_digits().images / 16, dtype=torch.float32)[:, None]


def mnist(folder: Path) -> Tensor:
    """The 10,000 training digits, ``[10000, 1, 28, 28]`` from 0 to 1."""
    return training_digits(folder)[0]


def patches(number: int = 10000, seed: int = 0) -> Tensor:
    """Patches ``[number, 1, 12, 12]`` of the photographs that scikit-image brings, at places drawn at random.

    Each has its mean taken out and its contrast divided out. Directions that vary much are then brought to about unit
    variance and those that vary little are left small, so that fine noise does not count as much as edges.
    """
    photographs = [data.camera(), data.coins(), data.moon(), data.brick()]
    photographs += [255 * color.rgb2gray(of()) for of in (data.astronaut, data.chelsea, data.coffee, data.rocket)]
    draws = torch.Generator().manual_seed(seed)
    rows = []
    for choice in torch.randint(len(photographs), (number,), generator=draws).tolist():
        photograph = torch.as_tensor(photographs[choice], dtype=torch.float64)
        top, left = (int(torch.randint(length - SIDE, (), generator=draws)) for length in photograph.shape)
        rows.append(photograph[top : top + SIDE, left : left + SIDE].flatten())
    values = torch.stack(rows)
    values = values - values.mean(1, keepdim=True)
    values = values / (values.var(1, keepdim=True) + 10).sqrt()
    values = values - values.mean(0)
    variances, directions = torch.linalg.eigh(values.T @ values / number)
    whitened = values @ (directions * (variances + 1).rsqrt()) @ directions.T
    return 3 * whitened.float().view(number, 1, SIDE, SIDE)
