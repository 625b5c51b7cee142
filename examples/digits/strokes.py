"""Square windows of a picture: which one a map calls the worst for a digit, and what the digit gains without it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy.stats import binomtest
from torch import Tensor
from torch.nn import functional

import pellucid as pl
from pellucid.core.seeds import generator

DRAWS = 20
SIDES: Mapping[str, tuple[int, ...]] = {"erase": (5, 7, 9), "draw": (3, 4, 5)}
RANDOM, GRADIENT = "random", "gradient"
# Found by examples.digits.story.choices on threes of the training set, before any of the test set was asked.
CHOSEN = {"erase": ("LRP epsilon", 9), "draw": ("LRP epsilon-gamma-box", 3)}
COMPOSITES = ("epsilon", "epsilon-plus", "epsilon-plus-flat", "epsilon-gamma-box", "epsilon-alpha2-beta1")
METHODS: Mapping[str, Any] = {
    **{f"LRP {name}": pl.methods.LRP(composite=name) for name in COMPOSITES},
    GRADIENT: pl.methods.Gradient(),
}


@dataclass(frozen=True)
class Outcome:
    """How much logits rose when a window of each three was changed.

    ``rises`` [threes, 10] are those of all digits for the window that a method suggested; ``anywhere`` and ``matched``
    [threes, ``DRAWS``] those of nine for random windows, drawn anywhere and among those that change at least as much.
    """

    rises: Tensor
    anywhere: Tensor
    matched: Tensor

    @property
    def nine(self) -> Tensor:
        return self.rises[:, 9]

    def better(self, others: Tensor) -> tuple[float, float, float]:
        """The share of threes for which the map's window did more than a random one did in the mean, with its 95 % interval
        (Wilson)."""
        return _share(self.nine > others.mean(1))

    def beyond(self) -> tuple[float, float, float]:
        """The share of threes for which nine gained more than the other digits (without three) did in the mean."""
        return _share(self.nine > self.rises[:, [0, 1, 2, 4, 5, 6, 7, 8]].mean(1))

    def pairs(self, others: Tensor) -> tuple[float, float, float]:
        """The share of all pairs of a map's window and a random one in which the map's did more; the interval resamples
        threes."""
        shares = (self.nine[:, None] > others).double().mean(1)
        spread = 1.96 * float(shares.std()) / len(shares) ** 0.5
        return float(shares.mean()), float(shares.mean()) - spread, float(shares.mean()) + spread


def _share(hits: Tensor) -> tuple[float, float, float]:
    count, number = len(hits), int(hits.sum())
    low, high = binomtest(number, count).proportion_ci(method="wilson")
    return number / count, float(low), float(high)


def read_as(subject: pl.Subject, pictures: Tensor, digit: int) -> Tensor:
    """Those of the pictures that the network reads as this digit."""
    return pictures[subject.scores(pictures).argmax(1) == digit]


def sums(values: Tensor, side: int) -> Tensor:
    """The sum over every window of this side, [threes, windows], row by row."""
    return functional.avg_pool2d(values.double(), side, 1).flatten(1) * side**2


def suggested(method: str, subject: pl.Subject, pictures: Tensor, side: int, how: str) -> Tensor:
    """The window whose change the map expects to help nine the most, one for each picture.

    Erasing helps most where the scores for nine are most negative in sum. Drawing helps most where those of the paper are:
    relevance blames an empty place for being empty. A gradient does not blame but predicts: it draws where ink would raise
    nine. ``random`` takes any window that has something to change.
    """
    if method == RANDOM:
        return _drawn(sums(_changeable(pictures, how), side) > 0, pictures, f"{how} {RANDOM}", 1)[:, 0]
    scores = METHODS[method](subject, pl.Decision(pictures, target=9)).scores
    if how == "draw":
        scores = scores * (1 - pictures) * (-1 if method == GRADIENT else 1)
    return sums(scores, side).argmin(1)


def changed(pictures: Tensor, windows: Tensor, side: int, how: str) -> Tensor:
    """The pictures with one window each made paper (``erase``) or ink (``draw``)."""
    result = pictures.clone()
    across = pictures.shape[-1] - side + 1
    for picture, window in zip(result, windows.tolist(), strict=True):
        row, column = divmod(window, across)
        picture[:, row : row + side, column : column + side] = float(how == "draw")
    return result


def outcome(subject: pl.Subject, pictures: Tensor, windows: Tensor, side: int, how: str) -> Outcome:
    """What changing these windows does to the logit of nine, and what random ones do."""
    drawn = [random_windows(pictures, windows, side, how, matched) for matched in (False, True)]
    every = torch.cat([windows[:, None], *drawn], dim=1)
    sheets = changed(pictures.repeat_interleave(every.shape[1], 0), every.flatten(), side, how)
    rises = subject.scores(sheets).view(*every.shape, 10) - subject.scores(pictures)[:, None]
    return Outcome(rises[:, 0], *rises[:, 1:, 9].split(DRAWS, dim=1))


def random_windows(pictures: Tensor, windows: Tensor, side: int, how: str, matched: bool) -> Tensor:
    """``DRAWS`` windows for each picture, with replacement.

    Matched ones change at least as much as the map's window: as much ink is erased, or as much paper drawn on within the box
    around the digit. Where fewer than ``DRAWS`` windows do, they are drawn from the ``DRAWS`` that change the most.
    """
    amounts = sums(_changeable(pictures, how), side)
    if how == "draw":
        amounts = amounts.masked_fill(~_within_box(pictures, side), -1.0)
    own = amounts.gather(1, windows[:, None]).clamp(min=0)
    least = torch.minimum(own, amounts.topk(DRAWS).values[:, -1:])
    eligible = (amounts >= least - 1e-9) & (amounts >= 0) if matched else torch.ones_like(amounts, dtype=torch.bool)
    return _drawn(eligible, pictures, f"{how} {matched}", DRAWS)


def _drawn(eligible: Tensor, pictures: Tensor, purpose: str, count: int) -> Tensor:
    """Windows among the eligible ones of each picture; what is drawn depends on the picture alone, not on its neighbours."""
    rows = [
        torch.multinomial(row.double(), count, replacement=True, generator=generator(0, purpose, picture))
        for row, picture in zip(eligible, pictures, strict=True)
    ]
    return torch.stack(rows)


def _changeable(pictures: Tensor, how: str) -> Tensor:
    return pictures if how == "erase" else 1 - pictures


def _within_box(pictures: Tensor, side: int) -> Tensor:
    """Which windows lie within the box around the ink of their picture, [threes, windows]."""
    within = []
    for first, last in boxes(pictures):
        starts = torch.arange(pictures.shape[-1] - side + 1)
        within.append((starts >= first[:, None]) & (starts + side - 1 <= last[:, None]))
    return (within[0][:, :, None] & within[1][:, None, :]).flatten(1)


def boxes(pictures: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The first and the last row with ink of each picture, and the first and the last such column."""
    inked = pictures[:, 0] > 0.5
    lines = [inked.any(axis) for axis in (2, 1)]
    return [(line.int().argmax(1), line.shape[1] - 1 - line.flip(1).int().argmax(1)) for line in lines]


def compared(
    subject: pl.Subject, threes: Tensor, how: str, methods: Sequence[str], sides: Sequence[int]
) -> dict[tuple[str, int], Outcome]:
    """What every method's windows of every side do."""
    return {
        (method, side): outcome(subject, threes, suggested(method, subject, threes, side, how), side, how)
        for method in methods
        for side in sides
    }


def best(found: Mapping[tuple[str, int], Outcome]) -> tuple[str, int]:
    """The method and side that beat matched random windows for most threes; the first of equals."""
    return max(found, key=lambda key: found[key].better(found[key].matched)[0])
