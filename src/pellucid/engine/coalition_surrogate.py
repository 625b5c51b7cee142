"""A smooth stand-in for one half of a game: what it says of Shapley values and interactions, and how far that may be off.

A game on players that are there (+1) or not (−1) is the sum of an odd half, ``(v(S) − v(rest)) / 2``, which alone decides
the Shapley values, and an even half, ``(v(S) + v(rest)) / 2``. Either is modelled as a trend plus a Gaussian process
(rasmussen2006gaussian) whose covariance is a product over players, ``Π (1 + r_i x_i y_i)``: the interactions of all
orders are there, those of more players weaker by the rates ``r``. Its mean interpolates what is known, and any linear
question about the mean has a closed answer. The trend of the odd half is every additive game, at no penalty, so additive
games come out exactly; the trend of the even half is a constant.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import t as student
from torch import Tensor

from pellucid.engine.shapley import Index, symmetric

_LOWEST, _HIGHEST = 0.002, 0.95
_LEAST_RATE = 0.02
_NUGGET = 1e-6
_TOLD = 1e-6
_CHOSEN = 2  # what is fitted beside the trend: the rate, and whether it is the same for all

Weight = Callable[[float], float]


@dataclass(frozen=True)
class Estimate:
    """Means and half widths of the 95 % intervals of numbers that are linear in the game."""

    mean: Tensor
    half_width: Tensor


class _Fitted:
    """A half of a game given its rates: ``signs`` ``[n, players]`` (±1) and ``values`` ``[n]`` are what is known."""

    def __init__(self, signs: Tensor, values: Tensor, odd: bool, rates: Tensor) -> None:
        self.signs, self.odd, self.rates = signs, odd, rates
        self.trend = signs / 2 if odd else torch.ones(len(signs), 1, dtype=torch.float64)
        covariance = self._covariance()
        self.scale = float(covariance[0, 0])
        covariance = covariance / self.scale + _NUGGET * torch.eye(len(signs), dtype=torch.float64)
        self._factor, failed = torch.linalg.cholesky_ex(covariance)
        self._solved = torch.cholesky_solve(self.trend, self._factor)
        self._information = self.trend.T @ self._solved
        self.coefficients = torch.linalg.solve(self._information, self._solved.T @ values)
        left = values - self.trend @ self.coefficients
        self._pull = torch.cholesky_solve(left[:, None], self._factor)[:, 0]
        free = len(signs) - self.trend.shape[1]
        self.freedom = free - _CHOSEN
        self.variance = max(float(left @ self._pull) / self.freedom, 0.0)
        determinants = 2 * self._factor.diagonal().log().sum() + torch.linalg.slogdet(self._information).logabsdet
        likelihood = -free * math.log(max(self.variance, 1e-300)) - float(determinants)
        self.likelihood = likelihood if not int(failed) and math.isfinite(likelihood) else -math.inf

    def _covariance(self) -> Tensor:
        """The half of the product kernel that is not already in the trend."""
        slope = ((1 + self.rates) / (1 - self.rates)).log() / 2
        agreement = (self.signs * slope) @ self.signs.T
        product = 0.5 * (1 - self.rates.square()).log().sum()
        grown, fallen = (product + agreement).exp() / 2, (product - agreement).exp() / 2
        if self.odd:
            return grown - fallen - (self.signs * self.rates) @ self.signs.T
        return grown + fallen - 1

    def answer(self, of_trend: Tensor, of_sections: Tensor, of_prior: Tensor) -> Estimate:
        """The answer to linear questions from what each says of the trend ``[columns, questions]``, of the kernel's
        sections at the known coalitions ``[n, questions]``, and of the kernel itself ``[questions]``."""
        sections, prior = of_sections / self.scale, of_prior / self.scale
        mean = of_trend.T @ self.coefficients + sections.T @ self._pull
        solved = torch.cholesky_solve(sections, self._factor)
        rest = of_trend - self.trend.T @ solved
        informed = torch.linalg.solve(self._information, rest)
        variance = prior - (sections * solved).sum(0) + (rest * informed).sum(0)
        sd = (self.variance * variance.clamp(min=0) * self._surprise(solved + self._solved @ informed)).sqrt()
        return Estimate(mean, float(student.ppf(0.975, self.freedom)) * sd)

    def _surprise(self, weights: Tensor) -> Tensor:
        """How much more than expected each known value misses what the others say of it, by squares, where a question
        hangs on it with these ``weights`` ``[n, questions]``; at least 1.

        The process is equally rough everywhere, a network is not: answers that hang on rough places are less certain.
        """
        explained = self._solved @ torch.linalg.solve(self._information, self._solved.T)
        inverse = torch.cholesky_inverse(self._factor).diagonal()
        precision = inverse - explained.diagonal()
        told = precision > _TOLD * inverse  # elsewhere the others say nothing of it
        squares, precision = weights[told].square().T, precision[told]
        expected = squares @ (self.variance / precision)
        return (squares @ (self._pull[told] / precision).square() / expected.clamp(min=1e-300)).clamp(min=1)


def shapley_estimate(masks: Tensor, odd: Tensor) -> Estimate:
    """Shapley values from the odd half of a game at some coalitions, ``masks`` ``[n, players]``, bool."""
    return _players(_best(_signs(masks), odd, True), lambda m: 1.0)


class PairSurrogate:
    """Pair interactions and what players do beside them, from both halves of a game at the coalitions ``masks``."""

    def __init__(self, masks: Tensor, odd: Tensor, even: Tensor, index: Index) -> None:
        self.index = index
        self._odd, self._even = _best(_signs(masks), odd, True), _best(_signs(masks), even, False)

    def pairs(self) -> Estimate:
        """The interaction of every pair, in the order of ``torch.triu_indices``."""
        found = _pairs(self._even, lambda m: _along_diagonal(m, self.index))
        # What the index looks at more on one side of the diagonal than on the other sees the odd half as well.
        return _sum(found, _pairs(self._odd, lambda m: -m)) if self.index == "stii" else found

    def shapley_values(self) -> Estimate:
        """The Shapley value of every player."""
        return _players(self._odd, lambda m: 1.0)

    def half_of_pairs(self) -> Estimate:
        """Half of all interactions of every player, of ``fsii``: the weight of the diagonal integrated by parts."""
        return _players(self._even, lambda m: 3 * m)


def _sum(one: Estimate, other: Estimate) -> Estimate:
    return Estimate(one.mean + other.mean, (one.half_width.square() + other.half_width.square()).sqrt())


def _signs(masks: Tensor) -> Tensor:
    return masks.double() * 2 - 1


def _along_diagonal(m: float, index: Index) -> float:
    """The weight of an index where each of the others is there with chance ``(1 + m) / 2``: its even part."""
    return 1.5 * (1 - m * m) if index == "fsii" else 1.0


def _best(signs: Tensor, values: Tensor, odd: bool) -> _Fitted:
    """The likelier of one rate for all players and rates in proportion to how much each matters."""
    same = _likeliest(signs, values, odd, torch.ones(signs.shape[1], dtype=torch.float64))
    matters = _strength(same)
    relative = (matters / matters.max().clamp(min=1e-300)).clamp(min=_LEAST_RATE)
    own = _likeliest(signs, values, odd, relative / relative.mean())
    return max(same, own, key=lambda fitted: fitted.likelihood)


def _strength(fitted: _Fitted) -> Tensor:
    """How much each player matters: its Shapley value, or where these cancel the mean size of its interactions."""
    if fitted.odd:
        return _players(fitted, lambda m: 1.0).mean.abs()
    return symmetric(_pairs(fitted, lambda m: 1.0).mean, len(fitted.rates)).abs().mean(1)


def _likeliest(signs: Tensor, values: Tensor, odd: bool, relative: Tensor) -> _Fitted:
    def made(logarithm: float) -> _Fitted:
        return _Fitted(signs, values, odd, (relative * math.exp(logarithm)).clamp(max=_HIGHEST))

    bounds = (math.log(_LOWEST), math.log(_HIGHEST))
    found = minimize_scalar(
        lambda place: min(-made(place).likelihood, 1e300), bounds=bounds, method="bounded", options={"xatol": 0.15}
    )
    return made(float(found.x))


def _players(fitted: _Fitted, weight_at: Weight) -> Estimate:
    """What one player adds, averaged over the others that are there with chance ``(1 + m) / 2``, along the diagonal.

    The kernel is a product over players, so that what one adds is its own factor times the product of the rest. Of the
    odd half the weight is even, of the even half odd: the other part of the product cancels.
    """
    signs, rates, parity = fitted.signs, fitted.rates, 1 if fitted.odd else -1
    sections, prior = torch.zeros_like(signs), torch.zeros_like(rates)
    nodes = [(m, weight * weight_at(m)) for m, weight in _halfway(signs.shape[1])]
    in_trend = 1 if fitted.odd else 0
    for m, weight in nodes:
        sections += weight * (_without_each(m * rates * signs, parity) - in_trend)
        for other, other_weight in nodes:
            prior += weight * other_weight * (_without_each((m * other * rates)[None], parity)[0] - in_trend)
    of_trend = torch.eye(len(rates), dtype=torch.float64) if fitted.odd else torch.zeros(1, len(rates)).double()
    return fitted.answer(of_trend, 2 * rates * signs * sections, 4 * rates * prior)


def _pairs(fitted: _Fitted, weight_at: Weight) -> Estimate:
    """What two players do together, averaged in the same way."""
    signs, rates, parity = fitted.signs, fitted.rates, -1 if fitted.odd else 1
    one, other = torch.triu_indices(len(rates), len(rates), 1)
    sections, prior = torch.zeros(len(signs), len(one), dtype=torch.float64), torch.zeros(len(one), dtype=torch.float64)
    nodes = [(m, weight * weight_at(m)) for m, weight in _halfway(len(rates))]
    for m, weight in nodes:
        sections += weight * _without_pair(m * rates * signs, one, other, parity)
        for m_other, weight_other in nodes:
            prior += weight * weight_other * _without_pair((m * m_other * rates)[None], one, other, parity)[0]
    of_trend = torch.zeros(fitted.trend.shape[1], len(one), dtype=torch.float64)
    sections *= 4 * (rates * signs)[:, one] * (rates * signs)[:, other]
    return fitted.answer(of_trend, sections, 16 * rates[one] * rates[other] * prior)


def _without_each(steps: Tensor, parity: int) -> Tensor:
    """The even (``parity`` 1) or odd (−1) part of ``Π (1 + steps)`` over all players but one, for each of them."""
    up, down = 1 + steps, 1 - steps
    return (up.prod(1, keepdim=True) / up + parity * down.prod(1, keepdim=True) / down) / 2


def _without_pair(steps: Tensor, one: Tensor, other: Tensor, parity: int) -> Tensor:
    up, down = 1 + steps, 1 - steps
    rising = up.prod(1, keepdim=True) / (up[:, one] * up[:, other])
    return (rising + parity * down.prod(1, keepdim=True) / (down[:, one] * down[:, other])) / 2


def _halfway(players: int) -> list[tuple[float, float]]:
    """Nodes in (0, 1) and weights that integrate even polynomials of degree ``players + 2`` (Gauss-Legendre)."""
    half = players // 4 + 2
    nodes, weights = np.polynomial.legendre.leggauss(2 * half)
    return list(zip(nodes[half:].tolist(), weights[half:].tolist(), strict=True))
