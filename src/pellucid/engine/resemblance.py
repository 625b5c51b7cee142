"""How alike two maps of the same input are, as the tests of what a map depends on count it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.stats import rankdata
from skimage.metrics import structural_similarity
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.spec import Modality
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.attributing import finest_grouping
from pellucid.engine.coalitions import players

Similarity = Literal["spearman", "ssim"]

_WINDOW = 7


@dataclass(frozen=True)
class Resemblance:
    """How alike two maps ``[examples, …point]`` are, example by example: 1 where they are equal.

    ``spearman`` is the rank correlation of the scores of pixels, words, columns or elements; ``ssim`` the structural
    similarity of two pictures, each scaled by its largest score. With ``absolute`` the sign of a feature's score does not
    count. A map without any order resembles only itself.
    """

    features: Features
    similarity: Similarity
    absolute: bool

    def __call__(self, before: Tensor, after: Tensor) -> Tensor:
        if self.similarity == "ssim":
            pairs = zip(self._signs(before.sum(1)), self._signs(after.sum(1)), strict=True)
            found = [_structural(one, other, 1.0 if self.absolute else 2.0) for one, other in pairs]
        else:
            sums = zip(self.features.sums(before), self.features.sums(after), strict=True)
            found = [_rank_correlation(self._signs(one), self._signs(other)) for one, other in sums]
        return torch.tensor(found, dtype=torch.float64)

    def _signs(self, scores: Tensor) -> np.ndarray:
        found: np.ndarray = (scores.abs() if self.absolute else scores).double().numpy()
        return found


def resemblance(subject: Subject, inputs: Inputs, similarity: Similarity, absolute: bool) -> Resemblance:
    """The measure for these inputs, by the finest features that a person can read; padding does not count."""
    if similarity == "ssim" and subject.task.modality is not Modality.IMAGE:
        raise NotAnswerable("structural similarity compares pictures; use similarity='spearman'")
    return Resemblance(players(subject, inputs, finest_grouping(subject)), similarity, absolute)


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    if np.array_equal(one, other):
        return 1.0
    ranks = [rankdata(scores) - (len(scores) + 1) / 2 for scores in (one, other)]
    size = np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1])
    return float(ranks[0] @ ranks[1] / size) if size > 0 else 0.0


def _structural(one: np.ndarray, other: np.ndarray, data_range: float) -> float:
    if np.array_equal(one, other):
        return 1.0
    side = min(_WINDOW, *one.shape)
    scaled = [scores / (np.abs(scores).max() or 1.0) for scores in (one, other)]
    return float(structural_similarity(*scaled, win_size=side - 1 + side % 2, data_range=data_range))
