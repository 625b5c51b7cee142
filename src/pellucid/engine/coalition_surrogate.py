"""A smooth stand-in for one half of a game: what it says of Shapley values and interactions, and how far that may be off.

A game on players that are there (+1) or not (−1) is the sum of an odd half, ``(v(S) − v(rest)) / 2``, which alone decides
the Shapley values, and an even half, ``(v(S) + v(rest)) / 2``. Either is modelled as a trend plus a Gaussian process
(rasmussen2006gaussian) whose covariance is a product over players, ``Π (1 + r_i x_i y_i)``: the interactions of all
orders are there, those of more players weaker by the rates ``r``. Its mean interpolates what is known, and any linear
question about the mean has a closed answer. The trend of the odd half is every additive game, at no penalty, so additive
games come out exactly; the trend of the even half is a constant.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import t as student
from torch import Tensor

from pellucid.engine.shapley import Index

_LOWEST, _HIGHEST = 0.002, 0.95
_NUGGET = 1e-6


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
        self.freedom = len(signs) - self.trend.shape[1]
        self.variance = max(float(left @ self._pull) / self.freedom, 1e-300)
        determinants = 2 * self._factor.diagonal().log().sum() + torch.linalg.slogdet(self._information).logabsdet
        likelihood = -self.freedom * math.log(self.variance) - float(determinants)
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
        variance = prior - (sections * solved).sum(0) + (rest * torch.linalg.solve(self._information, rest)).sum(0)
        sd = (self.variance * variance.clamp(min=0)).sqrt()
        return Estimate(mean, float(student.ppf(0.975, self.freedom)) * sd)


def shapley_estimate(masks: Tensor, odd: Tensor) -> Estimate:
    """Shapley values from the odd half of a game at some coalitions, ``masks`` ``[n, players]``, bool."""
    signs = masks.double() * 2 - 1
    fitted = _best(signs, odd, True, lambda even_rates: _shapley(even_rates).mean.abs())
    return _shapley(fitted)


def interaction_estimate(masks: Tensor, odd: Tensor, even: Tensor, index: Index, strength: Tensor) -> Estimate:
    """Pair interactions ``[pairs]``, in the order of ``torch.triu_indices``, from both halves of a game.

    ``strength`` says how much each player matters on its own. Only ``stii`` looks at the odd half.
    """
    signs = masks.double() * 2 - 1
    fitted = _best(signs, even, False, lambda _: strength)
    found = _pairs(fitted, index)
    if index != "stii":
        return found
    rest = _pairs(_best(signs, odd, True, lambda _: strength), index)
    return Estimate(found.mean + rest.mean, (found.half_width.square() + rest.half_width.square()).sqrt())


def _best(signs: Tensor, values: Tensor, odd: bool, strength) -> _Fitted:
    """The likelier of one rate for all players and rates in proportion to how much each matters."""
    same = _likeliest(signs, values, odd, torch.ones(signs.shape[1], dtype=torch.float64))
    told = strength(same)
    relative = (told / told.max().clamp(min=1e-300)).clamp(min=0.02)
    own = _likeliest(signs, values, odd, relative / relative.mean())
    return max(same, own, key=lambda fitted: fitted.likelihood)


def _likeliest(signs: Tensor, values: Tensor, odd: bool, relative: Tensor) -> _Fitted:
    def made(logarithm: float) -> _Fitted:
        return _Fitted(signs, values, odd, (relative * math.exp(logarithm)).clamp(max=_HIGHEST))

    bounds = (math.log(_LOWEST), math.log(_HIGHEST))
    found = minimize_scalar(
        lambda place: min(-made(place).likelihood, 1e300), bounds=bounds, method="bounded", options={"xatol": 0.15}
    )
    return made(float(found.x))


def _shapley(fitted: _Fitted) -> Estimate:
    """Of a product over players, the marginal worth of one, averaged over the others that come with chance ``(1+m)/2``."""
    signs, rates = fitted.signs, fitted.rates
    sections, prior = torch.zeros_like(signs), torch.zeros_like(rates)
    nodes = _halfway(signs.shape[1])
    for m, weight in nodes:
        sections += weight * (_without_each(m * rates * signs) - 1)
        for other, other_weight in nodes:
            prior += weight * other_weight * (_without_each((m * other * rates)[None])[0] - 1)
    identity = torch.eye(len(rates), dtype=torch.float64)
    return fitted.answer(identity, 2 * rates * signs * sections, 4 * rates * prior)


def _without_each(steps: Tensor) -> Tensor:
    """The even part of ``Π (1 + steps)`` over all players but one, for each of them."""
    up, down = (1 + steps).log(), (1 - steps).log()
    return ((up.sum(1, keepdim=True) - up).exp() + (down.sum(1, keepdim=True) - down).exp()) / 2


def _halfway(players: int) -> list[tuple[float, float]]:
    """Nodes in (0, 1) and weights that integrate even polynomials of degree ``players`` exactly (Gauss-Legendre)."""
    half = players // 4 + 2
    nodes, weights = np.polynomial.legendre.leggauss(2 * half)
    return list(zip(nodes[half:].tolist(), weights[half:].tolist(), strict=True))


def _pairs(fitted: _Fitted, index: Index) -> Estimate:
    """Second differences of products, averaged over the diagonal with the weight of the index."""
    signs, rates = fitted.signs, fitted.rates
    one, other = torch.triu_indices(len(rates), len(rates), 1)
    sections, prior = torch.zeros(len(signs), len(one), dtype=torch.float64), torch.zeros(len(one), dtype=torch.float64)
    nodes = [(sign * m, weight / 2) for m, weight in _halfway(len(rates)) for sign in (1, -1)]
    for m, weight in nodes:
        weight *= _diagonal(m, index, fitted.odd)
        sections += weight * _without_pair(m * rates * signs, one, other)
        for m_other, weight_other in nodes:
            weight_other *= _diagonal(m_other, index, fitted.odd)
            prior += weight * weight_other * _without_pair((m * m_other * rates)[None], one, other)[0]
    of_trend = torch.zeros(fitted.trend.shape[1], len(one), dtype=torch.float64)
    sections *= 4 * (rates * signs)[:, one] * signs[:, other] * rates[other]
    return fitted.answer(of_trend, sections, 16 * rates[one] * rates[other] * prior)


def _without_pair(steps: Tensor, one: Tensor, other: Tensor) -> Tensor:
    rise = 1 + steps
    return rise.prod(1, keepdim=True) / (rise[:, one] * rise[:, other])


def _diagonal(m: float, index: Index, odd: bool) -> float:
    """The weight of the index at chance ``(1 + m) / 2``; of the odd half only the odd part of it counts."""
    match index:
        case "sii":
            return 1.0
        case "fsii":
            return 1.5 * (1 - m * m)
        case "stii":
            return -m if odd else 1.0
