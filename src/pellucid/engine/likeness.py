"""How much alike two explanations are: measures of two vectors with a score for each region they share."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import kendalltau, rankdata

_ALL_PAIRS = 200
_MEASURES: Mapping[str, tuple[float, float]] = {
    "rank correlation": (-1.0, 1.0),
    "Kendall's tau": (-1.0, 1.0),
    "cosine": (-1.0, 1.0),
    "moved score": (0.0, 1.0),
    "relative distance": (0.0, 1.0),
}


def measured(one: np.ndarray, others: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Every measure of ``one`` ``[regions]`` with each row of ``others`` ``[rows, regions]``: ``[measures, rows]``.

    In this order: Spearman's rank correlation, Kendall's tau-b, the cosine, half the summed difference of the scores as
    shares of their own sizes (what of all score lies elsewhere), the distance as a share of both lengths, and the overlap of
    the strongest ``shares`` of the regions. A map without any order or size correlates with nothing: 0.
    """
    ranks = rankdata(one), rankdata(others, axis=1)
    rows = [
        _cosine(ranks[0] - ranks[0].mean(), ranks[1] - ranks[1].mean(1, keepdims=True)),
        _taus(one, others),
        _cosine(one, others),
        0.5 * np.abs(_shares(one[None]) - _shares(others)).sum(1),
        _relative_distance(one, others),
    ]
    rows += [overlap(one, others, share) for share in shares]
    return np.stack(rows)


def named(shares: Sequence[float]) -> tuple[str, ...]:
    """The names of the measures, in their order."""
    return (*_MEASURES, *(f"overlap of the top {share:.0%}" for share in shares))


def bounds(measure: int) -> tuple[float, float]:
    """The lowest and the highest value of a measure, by its place; an overlap is a share."""
    found = list(_MEASURES.values())
    return found[measure] if measure < len(found) else (0.0, 1.0)


def overlap(one: np.ndarray, others: np.ndarray, share: float) -> np.ndarray:
    """Intersection over union of the strongest ``share`` of the regions, at least one: ``[rows]``.

    Regions that tie for the last places share them, so that their order does not matter.
    """
    top, tops = _top(one[None], share), _top(others, share)
    return np.minimum(top, tops).sum(1) / np.maximum(top, tops).sum(1)


def _top(scores: np.ndarray, share: float) -> np.ndarray:
    """How far each region belongs to the strongest, 0 … 1."""
    number = max(1, round(share * scores.shape[1]))
    last = np.sort(scores, 1)[:, -number][:, None]
    above, tied = scores > last, scores == last
    return above + tied * (number - above.sum(1, keepdims=True)) / tied.sum(1, keepdims=True)


def _cosine(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    sizes = np.linalg.norm(one) * np.linalg.norm(others, axis=1)
    return np.where(sizes > 0, others @ one / np.where(sizes > 0, sizes, 1.0), 0.0)


def _taus(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Tau-b from the signs of all pairs of regions; of many regions by sorting each row, which then is quicker."""
    if len(one) > _ALL_PAIRS:
        return np.array(
            [kendalltau(one, other).statistic if np.ptp(one) and np.ptp(other) else 0.0 for other in others]
        )
    first, second = np.triu_indices(len(one), 1)
    signs, others = np.sign(one[first] - one[second]), np.sign(others[:, first] - others[:, second])
    return _cosine(signs, others)


def _shares(rows: np.ndarray) -> np.ndarray:
    size = np.abs(rows).sum(1, keepdims=True)
    return rows / np.where(size > 0, size, 1.0)


def _relative_distance(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    sizes = np.linalg.norm(one) + np.linalg.norm(others, axis=1)
    return np.linalg.norm(one - others, axis=1) / np.where(sizes > 0, sizes, 1.0)
