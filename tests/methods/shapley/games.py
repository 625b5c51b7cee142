"""Games as subjects: a function of which players are there is asked as a model of rows of ones and zeros."""

import itertools
import math

import torch

import pellucid as pl
from pellucid.tasks.tensor import TensorTask


def asked(method, worth, players, row=None):
    """What a method says of ``worth``, a function of rows ``[n, players]``, for one row (ones); hidden players are 0."""
    subject = pl.wrap(lambda rows: worth(rows)[:, None], TensorTask(output="value"))
    row = torch.ones(players, dtype=torch.float64) if row is None else row
    return method(subject, pl.Decision(row[None]))


def table(seed, players):
    """A game with a random worth for every coalition, as a function of rows of ones and zeros."""
    values = torch.randn(2**players, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    places = 2 ** torch.arange(players, dtype=torch.float64)
    return lambda rows: values[(rows @ places).long()]


def orders(worth, players):
    """The Shapley value by its definition: what each player adds, averaged over all orders."""
    total = torch.zeros(players, dtype=torch.float64)
    for order in itertools.permutations(range(players)):
        row = torch.zeros(1, players, dtype=torch.float64)
        for player in order:
            before = float(worth(row))
            row[0, player] = 1
            total[player] += float(worth(row)) - before
    return total / math.factorial(players)


def second_difference(worth, players, one, other, present):
    """How far what one player adds to the ``present`` ones changes when the other is there."""
    rows = torch.zeros(4, players, dtype=torch.float64)
    rows[:, list(present)] = 1
    rows[1:3, [one, other]] = torch.eye(2, dtype=torch.float64)
    rows[3, [one, other]] = 1
    none, first, second, both = worth(rows).tolist()
    return both - first - second + none


def network(seed, players, width=32, outputs=1):
    """A perceptron with two hidden layers and seeded weights, in double precision, and a row to ask about."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = [(players, width), (width, width), (width, outputs)]
        linear = [torch.nn.Linear(*size) for size in sizes]
        layers = torch.nn.Sequential(linear[0], torch.nn.ReLU(), linear[1], torch.nn.ReLU(), linear[2])
        return layers.double().eval(), torch.randn(players).double()
