"""Weighted linear models from streamed sums: rows come in blocks, and no more than one block is ever held.

The fit is that of the lime package: ridge regression with an intercept that is not penalised, terms chosen by forward
selection or by their weight in a nearly unpenalised model (``ribeiro2016should``).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

Block = tuple[Tensor, Tensor, Tensor]

_FEW_TERMS = 6
_SINGULAR = 1e-10


class Moments:
    """Weighted moments of the rows ``[features…, answers…]``, in float64; of one answer, unless more are asked for.

    Blocks are merged around their means (Chan, Golub and LeVeque), so that neither the number of rows nor a large
    common offset of the answers costs digits. ``scatter`` is the weighted sum of squares and products around ``mean``.
    """

    def __init__(self, features: int, answers: int = 1) -> None:
        self.features, self.rows = features, 0
        self.weight = torch.zeros((), dtype=torch.float64)
        self.squared_weight = torch.zeros((), dtype=torch.float64)
        self.mean = torch.zeros(features + answers, dtype=torch.float64)
        self.scatter = torch.zeros(features + answers, features + answers, dtype=torch.float64)

    def add(self, rows: Tensor, answers: Tensor, weights: Tensor) -> None:
        """Take in one block: ``rows`` ``[n, features]``, ``answers`` ``[n]`` or ``[n, answers]`` and ``weights`` ``[n]``,
        all float64."""
        weight = weights.sum()
        self.rows += len(rows)
        if weight == 0:
            return
        joint = torch.cat([rows, answers.view(len(rows), -1)], 1)
        mean = weights @ joint / weight
        centred = joint - mean
        shift, total = mean - self.mean, self.weight + weight
        self.scatter += centred.T @ (centred * weights[:, None])
        self.scatter += torch.outer(shift, shift) * (self.weight * weight / total)
        self.mean += shift * (weight / total)
        self.weight, self.squared_weight = total, self.squared_weight + weights.square().sum()

    def of(self, answer: int) -> "Moments":
        """The moments of the same rows and one of their answers."""
        kept = torch.tensor([*range(self.features), self.features + answer])
        one = Moments(self.features)
        one.rows, one.weight, one.squared_weight = self.rows, self.weight, self.squared_weight
        one.mean, one.scatter = self.mean[kept], self.scatter[kept][:, kept]
        return one

    @property
    def effective(self) -> float:
        """How many equally weighted rows would count as much (Kish)."""
        return float(self.weight.square() / self.squared_weight) if self.squared_weight > 0 else 0.0

    @property
    def varied(self) -> Tensor:
        """Which of the columns, the answer last, are not one and the same number up to rounding."""
        return self.scatter.diagonal() > self.weight * (1e-14 * self.mean).square()

    @property
    def constant(self) -> bool:
        """Whether the answers are one and the same number up to rounding."""
        return not bool(self.varied[-1])


@dataclass(frozen=True)
class LinearModel:
    """``answer ≈ intercept + row[columns] · coefficients``; ``r2`` is the weighted share of the variation it explains.

    Answers that do not vary count as wholly explained.
    """

    columns: Tensor
    coefficients: Tensor
    intercept: Tensor
    r2: Tensor

    def predict(self, rows: Tensor) -> Tensor:
        """The model's answers for ``rows`` ``[n, features]``."""
        return self.intercept + rows[:, self.columns] @ self.coefficients

    def scattered(self, features: int) -> Tensor:
        """The coefficients of all features, 0 for those that are not in the model."""
        return torch.zeros(features, dtype=torch.float64).index_copy_(0, self.columns, self.coefficients)


def ridge(moments: Moments, columns: Tensor, penalty: float = 1.0) -> LinearModel:
    """Weighted least squares plus ``penalty`` (above 0) times the squared coefficients of ``columns``."""
    gram = moments.scatter[columns][:, columns]
    products = moments.scatter[columns, -1]
    factor = torch.linalg.cholesky(gram + penalty * torch.eye(len(columns), dtype=torch.float64))
    coefficients = torch.cholesky_solve(products[:, None], factor)[:, 0]
    return _model(moments, columns, coefficients)


def _model(moments: Moments, columns: Tensor, coefficients: Tensor) -> LinearModel:
    intercept = moments.mean[-1] - moments.mean[columns] @ coefficients
    variation = moments.scatter[-1, -1]
    if moments.constant:
        return LinearModel(columns, coefficients, intercept, torch.ones((), dtype=torch.float64))
    gram, products = moments.scatter[columns][:, columns], moments.scatter[columns, -1]
    unexplained = variation - 2 * products @ coefficients + coefficients @ gram @ coefficients
    return LinearModel(columns, coefficients, intercept, 1 - unexplained / variation)


def lasso(moments: Moments, columns: Tensor, penalty: float, rounds: int = 1000) -> LinearModel:
    """Weighted least squares in the mean, halved, plus ``penalty`` times the sizes of the coefficients: by coordinate
    descent, until no coefficient moves by more than a millionth of the largest, at most so many rounds."""
    gram = moments.scatter[columns][:, columns] / moments.weight
    products = moments.scatter[columns, -1] / moments.weight
    coefficients = torch.zeros_like(products)
    for _ in range(rounds):
        before = coefficients.clone()
        for place in range(len(columns)):
            if gram[place, place] > 0:
                pull = products[place] - gram[place] @ coefficients + gram[place, place] * coefficients[place]
                coefficients[place] = pull.sign() * (pull.abs() - penalty).clamp(min=0) / gram[place, place]
        if (coefficients - before).abs().max() <= 1e-6 * coefficients.abs().max():
            break
    return _model(moments, columns, coefficients)


def explained(moments: Moments, columns: Tensor) -> float:
    """The share of the variation that least squares on ``columns`` explain; of answers that do not vary, none."""
    if moments.constant or not len(columns):
        return 0.0
    products = moments.scatter[columns, -1]
    coefficients = torch.linalg.lstsq(moments.scatter[columns][:, columns], products[:, None], driver="gelsd").solution
    return float(products @ coefficients[:, 0] / moments.scatter[-1, -1])


def chosen(moments: Moments, instance: Tensor, terms: int | None) -> Tensor:
    """The columns of a model of ``terms`` terms: by forward selection up to 6 terms, else by weight; None keeps all."""
    if terms is None or terms >= moments.features:
        return torch.arange(moments.features)
    return forward_selection(moments, terms) if terms <= _FEW_TERMS else highest_weights(moments, instance, terms)


def forward_selection(moments: Moments, terms: int) -> Tensor:
    """Columns in the order in which each raises the weighted R² of the unpenalised model most; ties go to the lowest.

    After each choice the chosen column is swept out of the others, so that the next gain is read off without a fit.
    """
    scatter = moments.scatter.clone()
    least = torch.where(moments.varied[:-1], _SINGULAR * scatter.diagonal()[:-1], torch.inf)
    rounding = 1e-14 * scatter[-1, -1]
    found: list[int] = []
    for _ in range(min(terms, moments.features)):
        left = scatter.diagonal()[:-1]
        gains = torch.where(left > least, scatter[:-1, -1].square() / left, 0.0)
        gains[gains < rounding] = 0.0
        gains[found] = -1.0
        best = int((gains >= gains.max() * (1 - 1e-12)).nonzero()[0])
        found.append(best)
        if gains[best] > 0:
            scatter -= torch.outer(scatter[best], scatter[best]) / scatter[best, best]
    return torch.tensor(found)


def highest_weights(moments: Moments, instance: Tensor, terms: int) -> Tensor:
    """The columns with the largest ``|coefficient · instance|`` in a ridge model of all with penalty 0.01."""
    weights = ridge(moments, torch.arange(moments.features), 0.01).coefficients * instance
    return weights.abs().argsort(descending=True, stable=True)[:terms]


def interval(blocks: Iterable[Block], moments: Moments, model: LinearModel, together: int = 1) -> tuple[Tensor, Tensor]:
    """A 95 % interval for each coefficient of the model as more and more rows are drawn: ``(low, high)``.

    It is the interval of the unpenalised coefficients, which the ridge approaches in the long run, widened where needed
    to hold the coefficient of the model, so that the shrinkage of the ridge is part of it. The errors are those of the
    sandwich: they need neither equal variances nor a model that is right. Degrees of freedom come from the effective
    number of rows. Coefficients that the rows cannot tell apart are unbounded.

    Rows drawn one by one have leave-one-out residuals (HC3). Where ``together`` rows in turn were drawn as one, they are
    one term of the sandwich, and as such designs leave no row more leverage than others, residuals are freed of just the
    bias that it causes (CR2, ``bell2002bias``).

    ``blocks`` are those that made ``moments``, once more: rows, answers and weights.
    """
    columns = model.columns
    unbounded = torch.full((len(columns),), torch.inf, dtype=torch.float64)
    low, high = -unbounded, unbounded.clone()
    varied = moments.varied[columns].nonzero()[:, 0]
    used = columns[varied]
    freedom = moments.effective / together - len(used) - 1
    gram = moments.scatter[used][:, used]
    factor, failed = torch.linalg.cholesky_ex(gram)
    if not len(used) or freedom < 1 or failed or bool((factor.diagonal() ** 2 <= _SINGULAR * gram.diagonal()).any()):
        return low, high
    inverse = torch.cholesky_inverse(factor)
    unpenalised = inverse @ moments.scatter[used, -1]
    covariance = inverse @ _meat(blocks, moments, used, unpenalised, inverse, together) @ inverse
    reach = float(stats.t.ppf(0.975, freedom)) * covariance.diagonal().clamp(min=0).sqrt()
    low[varied] = torch.minimum(unpenalised - reach, model.coefficients[varied])
    high[varied] = torch.maximum(unpenalised + reach, model.coefficients[varied])
    return low, high


def _meat(
    blocks: Iterable[Block],
    moments: Moments,
    used: Tensor,
    coefficients: Tensor,
    inverse: Tensor,
    together: int,
) -> Tensor:
    total = torch.zeros_like(inverse)
    for rows, answers, weights in blocks:
        root = weights.sqrt()
        centred = (rows[:, used] - moments.mean[used]) * root[:, None]
        residuals = (answers - moments.mean[-1]) * root - centred @ coefficients
        groups, root = centred.view(-1, together, len(used)), root.view(-1, together)
        leverage = (groups @ inverse) @ groups.mT + root[:, :, None] * root[:, None] / moments.weight
        parts = (groups * _freed(residuals.view(-1, together), leverage)[:, :, None]).sum(1)
        total += parts.T @ parts
    return total


def _freed(residuals: Tensor, leverage: Tensor) -> Tensor:
    """Residuals ``[groups, rows]`` without what their own leverage ``[groups, rows, rows]`` takes from them."""
    # A row that alone decides a coefficient has leverage 1 and residual 0: it adds nothing.
    if residuals.shape[1] == 1:
        return residuals / (1 - leverage[:, 0]).clamp(min=1e-8)
    values, vectors = torch.linalg.eigh(torch.eye(residuals.shape[1], dtype=residuals.dtype) - leverage)
    turned = (vectors.mT @ residuals[:, :, None]) / values.clamp(min=1e-8).sqrt()[:, :, None]
    return (vectors @ turned)[:, :, 0]
