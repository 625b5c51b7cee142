"""Who is better over the same examples: intervals, paired tests, corrected for their number, and mean ranks.

Tables are ``[metrics, rows, examples]``, float64, NaN where a metric could not judge. A row that a metric judged nowhere is
left out of it, and so is, for all rows, an example that it did not judge for all others: every comparison is paired.
"""

import itertools
import warnings

import numpy as np
import torch
from scipy.stats import rankdata, spearmanr, wilcoxon
from torch import Tensor

RESAMPLES = 2000
_FEWEST = 6


def paired(values: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Of ``[rows, examples]`` the rows that were judged anywhere, and their values for the examples that all of them have."""
    finite = values.isfinite().numpy()
    rows = np.flatnonzero(finite.any(1))
    return rows, values.numpy()[rows][:, finite[rows].all(0)]


def mean_intervals(values: Tensor, seed: int) -> Tensor:
    """Mean, low and high of each row of ``[rows, examples]``: ``[rows, 3]``, bootstrapped over the examples together."""
    found = np.full((len(values), 3), np.nan)
    rows, kept = paired(values)
    if kept.size:
        low, high = np.quantile(_resampled(kept, seed), (0.025, 0.975), axis=0)
        found[rows] = np.stack([kept.mean(1), low, high], 1)
    return torch.from_numpy(found)


def paired_tests(table: Tensor) -> Tensor:
    """Holm's corrected p-values that two rows differ, ``[metrics, rows, rows]``: Wilcoxon's signed-rank test on the paired
    examples (wilcoxon1945individual), corrected over all pairs of all metrics (holm1979simple).

    NaN where fewer than six examples were judged, which no such test can tell apart at 5 %.
    """
    metrics, rows, _ = table.shape
    found = np.full((metrics, rows, rows), np.nan)
    for metric, values in enumerate(table):
        judged, kept = paired(values)
        if kept.shape[1] >= _FEWEST:
            for one, other in itertools.combinations(range(len(judged)), 2):
                found[metric, judged[one], judged[other]] = _p_value(kept[one] - kept[other])
    known = np.isfinite(found)
    found[known] = holm(found[known])
    return torch.from_numpy(np.where(known, found, found.transpose(0, 2, 1)))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjusted p-values: below 5 % exactly where Holm's procedure rejects at 5 %, whatever depends on what."""
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def mean_ranks(goods: Tensor, seed: int) -> Tensor:
    """The mean rank over the metrics of each row, 1 for the best, with its interval over examples: ``[rows, 3]``.

    ``goods`` ``[metrics, rows, examples]`` is large where a row is good. NaN for rows that not every metric judged.
    """
    found = np.full((goods.shape[1], 3), np.nan)
    rows = np.flatnonzero(goods.isfinite().any(2).all(0).numpy())
    finite = goods[:, rows].isfinite().all(1).all(0)
    kept = goods[:, rows][:, :, finite].numpy()
    if kept.size:
        # The same examples for every metric: what is resampled is the collection of inputs.
        drawn = np.stack([_resampled(values, seed) for values in kept])
        low, high = np.quantile(rankdata(-drawn, axis=2).mean(0), (0.025, 0.975), axis=0)
        found[rows] = np.stack([rankdata(-kept.mean(2), axis=1).mean(0), low, high], 1)
    return torch.from_numpy(found)


def agreement(goods: Tensor) -> Tensor:
    """How alike the metrics order the rows that both judged: Spearman's correlation of their means, ``[metrics, metrics]``.

    NaN where there is no order to compare.
    """
    means = mean_table(goods)
    found = np.full((len(means), len(means)), np.nan)
    for one, other in itertools.product(range(len(means)), repeat=2):
        both = means[[one, other]][:, np.isfinite(means[[one, other]]).all(0)]
        if both.shape[1] > 2 and (np.ptp(both, axis=1) > 0).all():
            found[one, other] = spearmanr(*both).statistic
    return torch.from_numpy(found)


def mean_table(goods: Tensor) -> np.ndarray:
    """Means over the paired examples, ``[metrics, rows]``, NaN for rows that a metric judged nowhere."""
    found = np.full(goods.shape[:2], np.nan)
    for metric, values in enumerate(goods):
        rows, kept = paired(values)
        if kept.shape[1]:
            found[metric, rows] = kept.mean(1)
    return found


def _resampled(values: np.ndarray, seed: int) -> np.ndarray:
    """Means of the rows over examples drawn with replacement: ``[resamples, rows]``."""
    examples = values.shape[1]
    picked = np.random.default_rng(seed).integers(0, examples, (RESAMPLES, examples))
    counts = np.stack([np.bincount(row, minlength=examples) for row in picked])
    return counts @ values.T / examples


def _p_value(differences: np.ndarray) -> float:
    if not differences.any():
        return 1.0
    with warnings.catch_warnings():
        # With few examples that differ the exact distribution is not used, and scipy says so.
        warnings.simplefilter("ignore")
        return float(wilcoxon(differences, zero_method="wilcox").pvalue)
