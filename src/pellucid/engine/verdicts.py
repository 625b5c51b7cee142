"""Verdicts: whether a changed network still decides as the whole one did, and how much is left until it does not."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.subject import Run
from pellucid.engine.targets import Target

Keep = Literal["decision", "score"]

QUANTITY, LEAD, ANSWER = range(3)

_SCORE_SHARE = 0.9
# A score that moves by less than this share of itself does not move but for rounding.
_ROUNDING = 1e-6


def outcome(run: Run, target: Target) -> Tensor:
    """What rows of the one example of ``target`` come to, ``[n, 3]`` in float64.

    The explained quantity; how far the target leads the foil, or the best other class, or its threshold (0 where
    nothing is decided); and the class that comes first (−1 where scores are not of several classes).
    """
    target = target.rows(torch.zeros(len(run.scores), dtype=torch.long))
    quantity = target(run).double()
    if not _decides(target):
        return torch.stack([quantity, torch.zeros_like(quantity), torch.full_like(quantity, -1)], 1)
    classes = _at_position(run.scores, target.index)[0]
    answer = classes.argmax(1) if classes.shape[1] > 1 else torch.full((len(classes),), -1)
    return torch.stack([quantity, _lead(run.scores, target).double(), answer.double()], 1)


@dataclass(frozen=True)
class Verdict:
    """What of one example must stay as it was: the side that won, or the explained quantity.

    ``side`` is 1 where the target won, −1 where the foil did; at least ``share`` of its lead stays. Where ``side`` is 0
    the quantity stays: it may move by 1 − ``share`` of what it moves when nothing works. ``whole`` and ``nothing`` are
    what is measured, the winner's lead or the quantity, with everything and with nothing at work. ``favourable`` is the
    sign of relevance that speaks for what must stay, 0 where all of it does.
    """

    side: int
    share: float
    whole: float
    nothing: float
    favourable: int

    def slack(self, outcomes: Tensor) -> Tensor:
        """1 with everything at work, and positive as long as what must stay does: ``[n]``."""
        measured = _measured(outcomes, self.side)
        if self.side:
            return (measured - self.share * self.whole) / ((1 - self.share) * self.whole)
        room = (1 - self.share) * abs(self.whole - self.nothing)
        return 1 - (measured - self.whole).abs() / max(room, _ROUNDING * abs(self.whole), 1e-30)

    def favour(self, relevance: Tensor) -> Tensor:
        """How much relevance for the quantity speaks for what must stay."""
        return relevance * self.favourable if self.favourable else relevance.abs()


def verdict(target: Target, outcomes: Tensor, keep: Keep, share: float | None) -> Verdict:
    """What must stay of the one example of ``target``; ``outcomes`` are those with everything and with nothing at work.

    A decision is kept where there is one: between target and foil, for or against a single output, or for the target
    where it is the class that is predicted. Else, and for ``keep="score"``, it is the quantity. Without ``share``: any
    lead, or 90 % of a quantity.
    """
    ahead, two_sided = float(outcomes[0, LEAD]), target.foil is not None or float(outcomes[0, ANSWER]) < 0
    side = int(ahead > 0) - int(ahead < 0 and two_sided) if keep == "decision" else 0
    whole, nothing = _measured(outcomes, side).tolist()
    default = 0.0 if side else _SCORE_SHARE
    favourable = -side if target.of == "loss" else side
    return Verdict(side, default if share is None else share, whole, nothing, favourable)


def _measured(outcomes: Tensor, side: int) -> Tensor:
    return side * outcomes[:, LEAD] if side else outcomes[:, QUANTITY]


def _decides(target: Target) -> bool:
    return target.index is not None and target.output != "value"


def _lead(scores: Tensor, target: Target) -> Tensor:
    classes, own = _at_position(scores, target.index)
    mine = classes.gather(1, own)[:, 0]
    if target.foil is not None:
        others, foil = _at_position(scores, target.foil)
        return mine - others.gather(1, foil)[:, 0]
    if classes.shape[1] == 1:
        return mine - (0.5 if target.output == "probabilities" else 0.0)
    return mine - classes.scatter(1, own, -torch.inf).amax(1)


def _at_position(scores: Tensor, index: Tensor | None) -> tuple[Tensor, Tensor]:
    """The scores ``[n, classes]`` at each row's position, and the class ``[n, 1]`` there."""
    assert index is not None
    place = (torch.arange(len(scores)), *index[:, :-1].unbind(1))
    return scores[place] if index.shape[1] > 1 else scores, index[:, -1:]
