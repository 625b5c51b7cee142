"""Sets of features that are erased together: which are drawn, what the score loses, and whether relevance goes with it."""

import itertools
import math
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from pellucid.core.annotations import Requirement
from pellucid.core.spec import Modality
from pellucid.core.subject import Features
from pellucid.engine.coalitions import Game
from pellucid.engine.erasing import erasable
from pellucid.engine.judged import Case
from pellucid.engine.perturb import Grouping

ErasedParts = Annotated[
    Grouping,
    "what is erased together: a grouping of the task; None: pixels or cells of a picture, words, columns, elements",
]
Subsets = Annotated[int, Ge(2), "random sets of features per size; every set once where there are no more"]

_MOST_CELLS = 196
# Deviations below this share of the largest number are rounding.
_ROUNDING = 1e-12


class Proportions(Requirement):
    """Part of an annotation: one or more numbers between 0 and 1, without the ends."""

    def unmet(self, value: Any) -> str | None:
        return None if value and all(0 < share < 1 for share in value) else "shares between 0 and 1, without the ends"


def parts(case: Case, wanted: Grouping) -> Features:
    """What can be erased, by default in parts of which a few can be seen to matter: the finest that a person can read,
    but 14 × 14 cells of a picture that has more pixels."""
    picture = case.subject.task.modality is Modality.IMAGE
    if wanted is None and picture and case.inputs.value[0, 0].numel() > _MOST_CELLS:
        return erasable(case, "grid", _MOST_CELLS)
    return erasable(case, wanted)


def subsets(features: int, size: int, number: int, source: Generator) -> Tensor:
    """``number`` random sets of ``size`` features, ``[sets, features]``, bool; every such set where there are no more."""
    if math.comb(features, size) <= number:
        chosen = torch.tensor(list(itertools.combinations(range(features), size)))
    else:
        chosen = torch.rand(number, features, generator=source).topk(size, dim=1).indices
    return torch.zeros(len(chosen), features, dtype=torch.bool).scatter_(1, chosen, True)


def falls(game: Game, erased: Tensor) -> Tensor:
    """What the explained quantity loses when each set of ``erased`` ``[sets, features]`` is erased: ``[sets]``."""
    values = game(torch.cat([torch.ones(1, erased.shape[1], dtype=torch.bool), ~erased]))
    return values[0] - values[1:]


def correlations(said: Tensor, measured: Tensor) -> Tensor:
    """Pearson's correlation of each row of ``said`` ``[rows, n]`` with ``measured`` ``[n]``; 0 where either does not vary,
    rounding aside."""
    one, other = _deviations(said), _deviations(measured[None])
    sizes = one.norm(dim=1) * other.norm()
    return torch.where(sizes > 0, (one @ other[0]) / sizes.clamp(min=torch.finfo(sizes.dtype).tiny), 0.0).clamp(-1, 1)


def _deviations(values: Tensor) -> Tensor:
    """From the mean, in units of the largest number of each row, and exactly zero in rows that do not vary."""
    scaled = values / values.abs().amax(1, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
    apart = scaled - scaled.mean(1, keepdim=True)
    return torch.where(apart.abs().amax(1, keepdim=True) > _ROUNDING, apart, 0.0)


def at_least(shares: Sequence[float], features: int) -> list[int]:
    """How many of an example's features are no less than each share of them."""
    # A share such as 0.07 of 100 features is 7, whatever its last bit says.
    return [math.ceil(share * features - _ROUNDING * features) for share in shares]
