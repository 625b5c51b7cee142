"""Scores of readers side by side: which of several explanations serves better in one context."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.core.errors import NotComparable, UsageError
from pellucid.engine.arms import SHUFFLED, paired
from pellucid.engine.proportions import Z
from pellucid.results.comparison import Comparison
from pellucid.results.interpretation import Interpretation


def served(scores: Sequence[Interpretation], kinds: Sequence[str] = ()) -> Comparison:
    """For every two explanations the difference in what each reader gets right, question by question.

    Raises ``NotComparable`` for scores of different contexts, outcomes, subjects or questions, which have no mean and no
    ranking.
    """
    first = scores[0]
    for other in scores[1:]:
        if other.context != first.context:
            raise NotComparable(
                f"the scores are of different contexts, and have no ranking and no mean: {first.context} / {other.context}"
            )
        if other.outcome != first.outcome:
            raise NotComparable(f"a share of {first.outcome} and one of {other.outcome} have no difference")
        same = (other.about_what, other.questions) == (first.about_what, first.questions)
        if not same or not torch.equal(other.truth, first.truth):
            raise NotComparable(
                "the scores are of different questions, inputs or subjects; score all explanations together"
            )
    readers = [name for name in first.readers if all(name in other.readers for other in scores)]
    readers = [name for name in readers if not name.endswith(SHUFFLED)]
    arms = [(score, arm) for score in scores for arm in range(1, len(score.arms))]
    if len(arms) < 2:
        raise UsageError("there is nothing to compare with; score at least two explanations")
    pairs = list(itertools.combinations(range(len(arms)), 2))
    rows = [[_difference(name, arms[one], arms[other]) for one, other in pairs] for name in readers]
    table = torch.tensor([[row[:3] for row, _ in line] for line in rows], dtype=torch.float64)
    even = torch.tensor([[[0.0, -row[3], row[3]] for row, _ in line] for line in rows], dtype=torch.float64)
    return Comparison(
        names=_numbered([score.arms[arm] for score, arm in arms]),
        kinds=tuple(kinds) or (type(first).__name__,) * len(arms),
        pairs=torch.tensor(pairs),
        measures=tuple(f"more right by {name}" for name in readers),
        value=table[..., 0],
        interval=table[..., 1:],
        chance=even,
        per_example=torch.stack([torch.stack([each for _, each in line]) for line in rows]),
        per="question",
        context=first.context,
        protocol=(
            f"Differences in the share of {len(first.questions)} questions that a reader got right ({first.outcome}), "
            "paired by question, with 95 % intervals. By chance: where 95 % of the differences lie between explanations that "
            f"serve alike. {first.protocol}"
        ),
        notes=tuple(
            f"{name}: {told}" for name, told in zip(first.readers, first.about, strict=True) if name in readers
        ),
    )


def _difference(
    reader: str, one: tuple[Interpretation, int], other: tuple[Interpretation, int]
) -> tuple[tuple[float, float, float, float], Tensor]:
    """The difference, low, high and half the range of chance; and what of it comes from each question."""
    given = [score.predicted[score.readers.index(reader), arm] for score, arm in (one, other)]
    both = (given[0] >= 0) & (given[1] >= 0)
    right = [row == one[0].truth for row in given]
    each = torch.where(both, right[0].double() - right[1].double(), 0.0)
    unlike = float(each.abs().sum()) ** 0.5 * Z / max(int(both.sum()), 1)
    return (*paired(right[0][both], right[1][both]), unlike), each


def _numbered(names: Sequence[str]) -> tuple[str, ...]:
    """Names of which none occurs twice."""
    return tuple(
        name if names[:place].count(name) == 0 else f"{name} #{names[:place].count(name) + 1}"
        for place, name in enumerate(names)
    )
