"""Means, variances and covariances of data that passes by once (``chan1983algorithms``)."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Moments:
    """Count, mean and second central moments of each column, in float64.

    Parts are merged around their own means, so that batches of any size, in any order, give what all data at once gives
    up to rounding, however far the mean lies from zero. With ``covariance`` products between columns are kept too,
    which is what comparisons of layers are made of: put the columns of both side by side.
    """

    def __init__(self, columns: int, covariance: bool = False) -> None:
        self.count = 0
        self.mean = torch.zeros(columns, dtype=torch.float64)
        self._products = torch.zeros((columns, columns) if covariance else (columns,), dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Take in ``[rows, columns]``."""
        if not len(rows):
            return
        rows = rows.double()
        mean = rows.mean(0)
        centred = rows - mean
        self._take(len(rows), mean, centred.T @ centred if self._products.ndim == 2 else centred.square().sum(0))

    def merge(self, other: "Moments") -> None:
        """Take in what has been seen of other data."""
        if other.count:
            self._take(other.count, other.mean, other._products)

    def variance(self) -> Tensor:
        """The variance of each column, ``[columns]``, as a share of all rows (not of one less)."""
        return (self._products.diagonal() if self._products.ndim == 2 else self._products) / max(self.count, 1)

    def covariance(self) -> Tensor:
        """The covariance of each pair of columns, ``[columns, columns]``."""
        if self._products.ndim != 2:
            raise TypeError("these moments were asked for variances only")
        return self._products / max(self.count, 1)

    def correlation(self) -> Tensor:
        """The correlation of each pair of columns; NaN where one of them is constant."""
        deviation = self.variance().sqrt()
        # The mean of equal numbers is one of them to rounding only.
        deviation = torch.where(deviation > 1e-13 * self.mean.abs(), deviation, torch.nan)
        found = self.covariance() / (deviation[:, None] * deviation)
        return found.clamp(-1, 1)

    def state(self) -> dict[str, Tensor]:
        """Everything that is known, to go on from."""
        return {"count": torch.tensor(self.count), "mean": self.mean, "products": self._products}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        self.count, self.mean, self._products = int(state["count"]), state["mean"], state["products"]

    def _take(self, count: int, mean: Tensor, products: Tensor) -> None:
        total = self.count + count
        apart = mean - self.mean
        between = torch.outer(apart, apart) if products.ndim == 2 else apart.square()
        self._products = self._products + products + between * (self.count * count / total)
        self.mean = self.mean + apart * (count / total)
        self.count = total
