"""Models whose score is a weighted sum, so that every order of features has its curve in closed form."""

import itertools

import torch
from torch import nn

import pellucid as pl
from pellucid.core.subject import Features


class Function(nn.Module):
    """A module that computes what it is given, in the precision of its one parameter."""

    def __init__(self, function, dtype=torch.float64):
        super().__init__()
        self.function = function
        self.precision = nn.Parameter(torch.zeros((), dtype=dtype))

    def forward(self, point):
        return self.function(point)


def row_model(weights, link=lambda total: total, seen=None):
    """``link(w · x)`` of rows of numbers about which nothing else is known; ``seen`` collects what it is asked."""
    weights = torch.as_tensor(weights, dtype=torch.float64)

    def function(rows):
        if seen is not None:
            seen.append(rows.clone())
        return link((rows * weights).sum(1, keepdim=True))

    return pl.wrap(Function(function), pl.tasks.TensorTask(output="value"), name="row-model")


def picture_model(side=12, seed=0):
    """A picture model ``w · x`` with one output, and its weights ``[1, side, side]``."""
    weights = torch.randn(1, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    module = Function(lambda point: (point * weights).flatten(1).sum(1, keepdim=True))
    return pl.wrap(module, pl.tasks.Image(side, (0.5,), (0.25,), output="value"), name="picture-model"), weights


def pictures(number, side=12, seed=1):
    """Pixels between the bounds −2 and 2."""
    draws = torch.rand(number, 1, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return draws * 4 - 2


def letters_model():
    """A model of texts of any length that adds up the numbers of their letters a … f: 0 … 5."""
    weights = torch.arange(6.0)
    module = Function(lambda sequence: (sequence * weights).sum((1, 2))[:, None], torch.float32)
    return pl.wrap(module, pl.tasks.Sequence("abcdef", output="value", labels=("sum",)), name="letters")


def judgement(inputs, *maps, **asked):
    """Answers with given scores by element about one decision."""
    decision = pl.Decision(inputs, **asked)
    answers = []
    for scores in maps:
        numbers = torch.arange(scores[0].numel()).view(1, *scores.shape[1:]).expand(scores.shape)
        features = Features("element", numbers)
        answers.append(pl.Attribution(scores=scores, value=torch.zeros(len(scores)), features=features, query=decision))
    return pl.Judgement(answers)


def heights(losses, order, start):
    """The curve of an additive score that loses ``losses`` in this order, from ``start`` on."""
    return list(itertools.accumulate([float(losses[feature]) for feature in order], lambda a, b: a - b, initial=start))


def mean_height(curve):
    """The trapezoid rule over even steps, as a mean height."""
    return (sum(curve) - (curve[0] + curve[-1]) / 2) / (len(curve) - 1)
