"""Goals: what another input has to reach for the decision to be another one, and how far it is from that."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.subject import Run
from pellucid.engine.targets import Target

# A goal counts as reached where it is so by this many units in the last place: another batch must not turn it back.
_ROUNDING = 1000


@dataclass(frozen=True)
class Goal(Target):
    """A question about one example whose answer, the *gap*, is positive where the goal is reached.

    ``side`` is ±1 where the explained quantity has to cross ``threshold``, upwards or downwards. Where it is 0, classes
    compete: the foil has to come first, or anything but the target where there is no foil; with ``keep`` the target has to
    stay first, or ahead of the foil. ``wanted`` is what the new class must have at least, ``margin`` how large a gap must be.
    """

    side: int = 0
    threshold: float = 0.0
    wanted: float | None = None
    keep: bool = False
    margin: float = 0.0
    slack: float = 0.0

    def rows(self, rows: Tensor | slice) -> "Goal":
        return self

    def __call__(self, run: Run) -> Tensor:
        """The gap of every row: ``[n]``."""
        if self.side:
            return self.side * (self._quantities(run) - self.threshold)
        found, own = self.competing(run), int(self.index[0, -1])  # type: ignore[index]
        foil = None if self.foil is None else int(self.foil[0, -1])
        if self.keep:
            return found[:, own] - (_without(found, own).amax(1) if foil is None else found[:, foil])
        new = _without(found, own).amax(1) if foil is None else found[:, foil]
        lead = new - (found[:, own] if foil is None else _without(found, foil).amax(1))
        return lead if self.wanted is None else torch.minimum(lead, new - self.wanted)

    def met(self, gaps: Tensor) -> Tensor:
        """Whether gaps are large enough beyond doubt: rounding cannot turn it back."""
        return gaps >= self.slack

    def reached(self, gaps: Tensor) -> Tensor:
        """Whether gaps are large enough; of two classes that are equal neither comes first."""
        return gaps >= self.margin if self.side or self.margin else gaps > 0

    def competing(self, run: Run) -> Tensor:
        """The explained quantity of every class, ``[n, classes]``; losses with their sign turned, so that more is better."""
        scores = answers(run, self)
        if self.of in ("score", "logit"):
            return scores
        probabilities = self.output == "probabilities"
        if self.of == "probability":
            return scores if probabilities else scores.softmax(1)
        return scores.clamp(min=torch.finfo(scores.dtype).tiny).log() if probabilities else scores.log_softmax(1)

    def _quantities(self, run: Run) -> Tensor:
        rows = torch.zeros(len(run.scores), dtype=torch.long)
        return Target.rows(self, rows)(run)


def goal(target: Target, run: Run, wanted: float | None, keep: bool = False) -> Goal:
    """What would have to be for the one example of ``target``, whose ``run`` is known, to be decided otherwise.

    ``wanted`` is what a value has to reach, from wherever it is, or what the new class must have at least. Raises
    ``UsageError`` where nothing says what to reach.
    """
    made = Goal(target.of, target.output, target.index, target.foil, target.labels, wanted=wanted, keep=keep)
    competes = target.index is not None and target.output != "value" and answers(run, made).shape[1] > 1
    if keep and not competes:
        raise NotAnswerable("what suffices for a decision is asked of several classes; ask wachter for a value")
    if not competes:
        made = _crossing(made, run, wanted)
    size = float(answers(run, made).abs().max()) if competes else abs(float(made._quantities(run)[0]))
    size = max(size, abs(made.threshold), float(made(run).abs()[0]), 1e-12)
    slack = _ROUNDING * torch.finfo(run.scores.dtype).eps * size
    return Goal(**(vars(made) | {"slack": slack}))


def answers(run: Run, target: Target) -> Tensor:
    """What the subject answers where the question of one example is asked, ``[n, outputs]``; of a unit its activation."""
    if target.index is None:
        return Target.rows(target, slice(None))(run)[:, None]
    place = target.index[0, :-1].tolist()
    return run.scores[(slice(None), *place)] if place else run.scores


def _crossing(made: Goal, run: Run, wanted: float | None) -> Goal:
    decides = made.index is not None and made.output != "value"
    if wanted is None and not decides:
        raise UsageError("say which value the answer has to reach, whether it is above or below: wanted=…")
    if wanted is None:
        # One output is decided by its sign, or by one half.
        threshold, of = (0.5 if made.output == "probabilities" else 0.0), "score"
        made = Goal(**(vars(made) | {"of": of, "threshold": threshold}))
    else:
        made = Goal(**(vars(made) | {"threshold": wanted}))
    now = float(made._quantities(run)[0])
    return Goal(**(vars(made) | {"side": -1 if now > made.threshold else 1}))


def _without(scores: Tensor, column: int) -> Tensor:
    return torch.cat([scores[:, :column], scores[:, column + 1 :]], 1)
