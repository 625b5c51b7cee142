"""Greedy coverage: few rows of a table whose columns together weigh most (``nemhauser1978analysis``)."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor


def importance(rows: Sequence[Mapping[int, float]], columns: int) -> Tensor:
    """How much each column matters over all rows, ``√Σ|weight|`` (``ribeiro2016should``): ``[columns]``, float64."""
    found = torch.zeros(columns, dtype=torch.float64)
    for row in rows:
        for column, weight in row.items():
            found[column] += abs(weight)
    return found.sqrt()


def cover(rows: Sequence[Mapping[int, float]], worth: Tensor, budget: int) -> tuple[list[int], list[float]]:
    """Rows that cover the columns of their weights other than 0, and the worth covered after each.

    Each pick adds most to what is covered; ties go to the row that comes first, and rows that add nothing are not
    picked. What is covered is at least ``1 − 1/e`` of what any ``budget`` rows could cover.
    """
    places = [(number, column) for number, row in enumerate(rows) for column, weight in row.items() if weight]
    numbers, columns = np.array(places, dtype=np.int64).reshape(-1, 2).T
    shown = csr_array((np.ones(len(places)), (numbers, columns)), shape=(len(rows), len(worth)))
    left = worth.numpy().copy()
    picked: list[int] = []
    covered: list[float] = []
    for _ in range(min(budget, len(rows))):
        gains = shown @ left
        best = int((gains >= gains.max() * (1 - 1e-12)).argmax())
        if gains[best] <= 0:
            break
        left[shown.indices[shown.indptr[best] : shown.indptr[best + 1]]] = 0
        picked.append(best)
        covered.append(float(worth.sum()) - float(left.sum()))
    return picked, covered
