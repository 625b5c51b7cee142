"""From the games of a batch to one attribution: every example's features get what a method finds for its game."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from pellucid.core.errors import UsageError
from pellucid.core.query import Decision
from pellucid.core.spec import Modality
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.attributing import attribution
from pellucid.engine.coalitions import Game, draws_of, hidden_point, players
from pellucid.engine.perturb import Baseline, Grouping
from pellucid.engine.targets import Target, resolve
from pellucid.results.attribution import Attribution


@dataclass(frozen=True)
class Shares:
    """What the features of one example get, ``[features]``, and how far to trust it."""

    scores: Tensor
    half_width: Tensor | None = None
    converged: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Games:
    """One game per example of a question, and the source of its draws."""

    inputs: Inputs
    target: Target
    features: Features
    games: tuple[Game, ...]
    sources: tuple[Generator, ...]

    @classmethod
    def of(
        cls,
        subject: Subject,
        query: Decision,
        features: Grouping,
        baseline: Baseline | None,
        method: str,
        seed: int = 0,
        segments: int | None = None,
    ) -> "Games":
        inputs = subject.prepare(query.inputs)
        if segments is not None and (isinstance(features, Tensor) or subject.task.modality is not Modality.IMAGE):
            raise UsageError(f"{method}(segments=…) asks for parts of a picture; leave it out, or leave out features")
        named = players(subject, inputs, features, segments)
        hidden = hidden_point(subject, inputs, named, baseline, seed)
        target = resolve(subject, inputs, query)
        rows = range(len(inputs))
        return cls(
            inputs,
            target,
            named,
            tuple(Game(subject, inputs, target, named, hidden, row, method) for row in rows),
            tuple(draws_of(inputs, row, seed, method) for row in rows),
        )

    def shared(
        self, subject: Subject, query: Decision, share: Callable[[Game, Generator], Shares], complete: bool = True
    ) -> Attribution:
        """The attribution of what ``share`` gives the players of every game.

        Of ``complete`` shares the residual is what they leave of the rise from nothing shown to everything shown.
        """
        ends = torch.tensor([game.ends() for game in self.games], dtype=torch.float64)
        shares = [share(game, source) for game, source in zip(self.games, self.sources, strict=True)]
        scores = self.features.spread([one.scores for one in shares], self.inputs.value)
        sums = torch.stack([one.scores.sum() for one in shares])
        half_widths = [one.half_width for one in shares]
        settled = [one.converged for one in shares]
        found = attribution(
            subject,
            self.inputs,
            query,
            self.target,
            scores,
            ends[:, 1].to(scores.dtype),
            self.features,
            residual=(ends[:, 1] - ends[:, 0] - sums).to(scores.dtype) if complete else None,
            interval=_interval(shares) if None not in half_widths else None,
            converged=None if None in settled else torch.tensor(settled),
            quality={"baseline": ends[:, 0].to(scores.dtype)},
        )
        return dataclasses.replace(found, notes=(*found.notes, *notes_of(self.games, [one.note for one in shares])))


def ran_out(budget: int) -> str:
    """What to say of an answer that did not meet its tolerance."""
    return (
        f"The budget of {budget} coalitions ran out before the tolerance was met: read the scores with their intervals."
    )


def notes_of(games: tuple[Game, ...], said: list[str]) -> tuple[str, ...]:
    """What must be said of each example, with its number where there are several."""
    notes = []
    for number, (game, note) in enumerate(zip(games, said, strict=True)):
        where = f"Example {number}: " if len(games) > 1 else ""
        if game.unchanged:
            notes.append(
                f"{where}{game.unchanged} of {game.features} features look the same hidden as shown: they cannot score."
            )
        notes += [where + note] if note else []
    return tuple(notes)


def _interval(shares: list[Shares]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    pairs = [(one.scores, one.half_width) for one in shares if one.half_width is not None]
    return tuple(centre - half for centre, half in pairs), tuple(centre + half for centre, half in pairs)
