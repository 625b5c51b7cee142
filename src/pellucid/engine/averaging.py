"""Averages of samples that are never held, and how far they may be from those of unlimited samples."""

import math

import torch
from scipy.stats import t as student
from torch import Tensor


class Running:
    """Mean and variance, element by element, of tensors that are added one by one (welford1962note), in float64."""

    def __init__(self, like: Tensor) -> None:
        self.count = 0
        self.mean = torch.zeros_like(like, dtype=torch.float64)
        self._squares = torch.zeros_like(self.mean)

    def add(self, sample: Tensor) -> Tensor:
        """Count a sample. Returns its squared distance to the mean of those before, scaled to the variance.

        The variance is the mean of what the second and all later samples return, and these are uncorrelated where the
        samples are normal: the spread of the returned numbers tells how well the variance is known.
        """
        self.count += 1
        apart = sample.double() - self.mean
        self.mean += apart / self.count
        squared = apart.square_() * ((self.count - 1) / self.count)
        self._squares += squared
        return squared

    def extend(self, samples: Tensor) -> None:
        """Count several samples at once, along their first axis (chan1983algorithms)."""
        number, mean = len(samples), samples.double().mean(0)
        apart, total = mean - self.mean, self.count + len(samples)
        self._squares += (samples.double() - mean).square_().sum(0) + apart.square() * (self.count * number / total)
        self.mean += apart * (number / total)
        self.count = total

    @property
    def variance(self) -> Tensor:
        """The variance without bias, from two samples on."""
        return self._squares / (self.count - 1)

    def half_width(self) -> Tensor:
        """Half of the 95 % interval of the mean by Student's t; infinite for fewer than two samples."""
        return _half_width(self.variance / self.count, self.count - 1) if self.count > 1 else self.mean + math.inf


class Stratified:
    """Mean of tensors that are added one by one, each drawn from the next of as many equal strata, in float64.

    What changes from one stratum to the next hardly counts as error: the variance is told by the differences of
    neighbours (neumann1941distribution), which is never less than it is, in expectation.
    """

    def __init__(self, like: Tensor) -> None:
        self.count = 0
        self.mean = torch.zeros_like(like, dtype=torch.float64)
        self._squares = torch.zeros_like(self.mean)
        self._last = self.mean

    def add(self, sample: Tensor) -> None:
        """Count the sample of the next stratum."""
        sample = sample.double()
        self.count += 1
        self.mean += (sample - self.mean) / self.count
        if self.count > 1:
            self._squares += (sample - self._last).square_()
        self._last = sample

    def half_width(self) -> Tensor:
        """Half of the 95 % interval of the mean, at least; infinite for fewer than two samples."""
        if self.count < 2:
            return self.mean + math.inf
        # Differences share samples with their neighbours: of normal samples they tell as much as two thirds as many.
        known = max(1, 2 * (self.count - 1) // 3)
        return _half_width(self._squares / (2 * (self.count - 1)) / self.count, known)


def _half_width(variance: Tensor, freedom: int) -> Tensor:
    return float(student.ppf(0.975, freedom)) * variance.sqrt()
