"""Everything that is told about threes that are not nines: what was measured, and the threes that are shown."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from examples.digits.strokes import (
    CHOSEN,
    GRADIENT,
    METHODS,
    RANDOM,
    SIDES,
    Outcome,
    best,
    boxes,
    changed,
    compared,
    read_as,
    suggested,
)
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

import pellucid as pl

SHOWN = (0.5, 0.05, 0.25, 0.75, 0.95)
ASKED = {"erase": (*METHODS, RANDOM), "draw": ("LRP epsilon-gamma-box", "LRP epsilon-plus-flat", GRADIENT, RANDOM)}


@dataclass(frozen=True)
class Shown:
    """One three: its picture [28, 28], relevance for 3 and for 9 by the rules that suggest erasing and by those that suggest
    drawing, the corner (row, column) of what is suggested, and the ten logits as it is (``None``) and after each change."""

    name: str
    three: Tensor
    maps: Mapping[str, Mapping[int, np.ndarray]]
    corners: Mapping[str, tuple[int, int]]
    logits: Mapping[str | None, Tensor]


@dataclass(frozen=True)
class Story:
    """``outcomes`` of ``count`` threes of the test set, by change and method; the threes that are ``shown``.

    ``accuracy`` is that on all ``digits`` of the test set. ``agreement`` is the mean cosine of the maps for 3 and for 9;
    ``gap`` the share of threes where drawing is suggested in the gap that a nine closes.
    """

    subject: pl.Subject
    digits: int
    accuracy: float
    count: int
    outcomes: Mapping[str, Mapping[str, Outcome]]
    agreement: Mapping[str, float]
    gap: float
    shown: tuple[Shown, ...]


def tell(subject: pl.Subject, pictures: Tensor, labels: Tensor, count: int = 500) -> Story:
    """Judge the choices on the first ``count`` threes that the network reads as threes, and show a drawn three and those at
    the quantiles ``SHOWN`` of how much erasing helped."""
    threes = read_as(subject, pictures[labels == 3], 3)[:count]
    outcomes = {
        how: {method: found for (method, _), found in compared(subject, threes, how, ASKED[how], (side,)).items()}
        for how, (_, side) in CHOSEN.items()
    }
    order = outcomes["erase"][CHOSEN["erase"][0]].nine.argsort(stable=True)
    picked = [int(order[round(quantile * (len(order) - 1))]) for quantile in SHOWN]
    names = [f"a three of the test set that erasing helped more than {quantile:.0%} of all" for quantile in SHOWN]
    method, side = CHOSEN["draw"]
    return Story(
        subject=subject,
        digits=len(labels),
        accuracy=float((subject.scores(pictures).argmax(1) == labels).double().mean()),
        count=len(threes),
        outcomes=outcomes,
        agreement={how: agreement(subject, threes, name) for how, (name, _) in CHOSEN.items()},
        gap=float(in_the_gap(threes, suggested(method, subject, threes, side, "draw"), side).double().mean()),
        shown=(
            show(subject, "a three drawn for this page", drawn_three()),
            *(show(subject, name, threes[number]) for name, number in zip(names, picked, strict=True)),
        ),
    )


def drawn_three() -> Tensor:
    """A three of two arcs, [1, 28, 28]: it belongs to no data set."""
    sheet = Image.new("L", (280, 280))
    pen = ImageDraw.Draw(sheet)
    pen.arc((86, 44, 190, 148), 190, 90, fill=255, width=24)
    pen.arc((80, 124, 200, 240), 270, 160, fill=255, width=24)
    small = np.asarray(sheet.resize((28, 28), Image.Resampling.LANCZOS))
    return torch.from_numpy(small.astype(np.float32) / 255)[None]


def show(subject: pl.Subject, name: str, three: Tensor) -> Shown:
    """Everything about one three [1, 28, 28]."""
    pictures = three[None]
    windows = {how: suggested(method, subject, pictures, side, how) for how, (method, side) in CHOSEN.items()}
    after = {how: changed(pictures, windows[how], side, how) for how, (_, side) in CHOSEN.items()}
    return Shown(
        name=name,
        three=three[0],
        maps={
            how: {digit: relevance(subject, pictures, method, digit)[0, 0].double().numpy() for digit in (3, 9)}
            for how, (method, _) in CHOSEN.items()
        },
        corners={how: divmod(int(windows[how]), three.shape[-1] - side + 1) for how, (_, side) in CHOSEN.items()},
        logits={how: subject.scores(changed_to)[0] for how, changed_to in ({None: pictures} | after).items()},
    )


def relevance(subject: pl.Subject, pictures: Tensor, method: str, digit: int) -> Tensor:
    """What each pixel does for a digit, [threes, 1, 28, 28]."""
    return METHODS[method](subject, pl.Decision(pictures, target=digit)).scores


def agreement(subject: pl.Subject, threes: Tensor, method: str) -> float:
    """The mean cosine between the maps for 3 and for 9."""
    three, nine = (relevance(subject, threes, method, digit).flatten(1) for digit in (3, 9))
    return float(functional.cosine_similarity(three, nine).mean())


def in_the_gap(threes: Tensor, windows: Tensor, side: int) -> Tensor:
    """Whether the middle of a window lies left of the middle of its digit and above it, where a three is open and a nine is
    not; the middle of a digit is that of the box around its ink."""
    across = threes.shape[-1] - side + 1
    middles = torch.stack([windows // across, windows % across], dim=1) + (side - 1) / 2
    halves = torch.stack([(first + last) / 2 for first, last in boxes(threes)], dim=1)
    return (middles < halves).all(1)


def choices(subject: pl.Subject, pictures: Tensor, labels: Tensor, count: int = 500) -> dict[str, tuple[str, int]]:
    """The composite and the side that do best on threes of the training set: how ``CHOSEN`` came about."""
    threes = read_as(subject, pictures[labels == 3], 3)[:count]
    composites = [method for method in METHODS if method.startswith("LRP")]
    return {how: best(compared(subject, threes, how, composites, SIDES[how])) for how in SIDES}
