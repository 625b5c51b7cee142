"""Plain rows of numbers, functions of them as subjects, and answers with given scores: what closed forms are made of."""

import torch
from torch import nn

import pellucid as pl
from pellucid.core.subject import Features


class Function(nn.Module):
    """A module that computes what it is given, in the precision of its one parameter, and counts the rows it saw."""

    def __init__(self, function, dtype=torch.float64):
        super().__init__()
        self.function, self.rows = function, 0
        self.precision = nn.Parameter(torch.zeros((), dtype=dtype))

    def forward(self, point):
        self.rows += len(point)
        return self.function(point)


def rows(number, width, seed=1):
    return torch.randn(number, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def wrapped(function):
    """A function of plain rows with one output as a subject."""
    return pl.wrap(Function(function), pl.tasks.TensorTask(output="value"))


def linear(width=30, seed=0):
    """A model ``f = w · x``, and its weights."""
    (weights,) = rows(1, width, seed)
    return wrapped(lambda point: (point * weights).sum(1, keepdim=True)), weights


def pictures_of(function, side, channels=1):
    """A function of pictures with one output as a subject, in the model's own space."""
    task = pl.tasks.Image(side, (0.5,) * channels, (0.25,) * channels, output="value")
    return pl.wrap(Function(function), task, name="pictures")


def letters(weights):
    """A linear model of sequences over the first letters, one weight per letter."""
    module = Function(lambda sequence: (sequence * weights).sum((1, 2))[:, None], torch.float32)
    return pl.wrap(module, pl.tasks.Sequence("abcdef"[: len(weights)], output="value", labels=("sum",)))


def made(decision, scores):
    """An answer with given scores of single elements."""
    every = torch.arange(scores[0].numel()).view(1, *scores.shape[1:]).expand(len(scores), *scores.shape[1:])
    return pl.Attribution(
        scores=scores, value=torch.zeros(len(scores)), features=Features("element", every), query=decision
    )
