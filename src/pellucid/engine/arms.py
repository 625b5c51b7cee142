"""Readers in several arms: the same questions without explanations (the control), with them, and with shuffled ones."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pellucid.engine.proportions import paired_interval, share_interval

CONTROL = "control"
SHUFFLED = ", scores shuffled"


def measured(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Shares ``[readers, arms, 3]`` and differences from the control ``[readers, arms − 1, 3]``, as value, low and high.

    ``predicted`` ``[readers, arms, questions]`` is -1 where a reader did not answer.
    """
    readers, arms, _ = predicted.shape
    answered, right = predicted >= 0, predicted == truth
    shares = torch.zeros(readers, arms, 3, dtype=torch.float64)
    differences = torch.zeros(readers, arms - 1, 3, dtype=torch.float64)
    for reader in range(readers):
        for arm in range(arms):
            count, total = int(right[reader, arm].sum()), int(answered[reader, arm].sum())
            interval = share_interval(count, total)
            shares[reader, arm] = torch.tensor([count / max(total, 1), *interval], dtype=torch.float64)
            if arm:
                both = answered[reader, 0] & answered[reader, arm]
                found = paired(right[reader, arm, both], right[reader, 0, both])
                differences[reader, arm - 1] = torch.tensor(found, dtype=torch.float64)
    return shares, differences


def paired(right: Tensor, other: Tensor) -> tuple[float, float, float]:
    """The difference of two shares of the same questions, low and high."""
    gained, lost = int((right & ~other).sum()), int((~right & other).sum())
    low, high = paired_interval(gained, lost, len(right))
    return (gained - lost) / max(len(right), 1), low, high


def gained_by_chance(rows: Mapping[str, Tensor], truth: Tensor, arms: Sequence[str], does: str) -> tuple[str, ...]:
    """A note for each reader and arm that gains no more by an explanation than by its shuffled scores.

    ``rows`` are the readers' predictions ``[arms, questions]``, those of a reader of shuffled scores under its name with
    ``SHUFFLED``; ``does`` is what a reader does with a question.
    """
    notes = []
    for name in (name for name in rows if name + SHUFFLED in rows):
        plain, aided, chance = (found == truth for found in (rows[name][0], rows[name], rows[name + SHUFFLED]))
        for arm in range(1, len(arms)):
            helped = paired(aided[arm], plain)[1] > 0
            if helped and paired(aided[arm], chance[arm])[1] <= 0:
                notes.append(
                    f"{name} {does} no better with {arms[arm]} than with its scores shuffled: it is not shown that "
                    "what the explanations say is what helps."
                )
    return tuple(notes)
