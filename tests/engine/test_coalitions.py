"""Coalitions of features: what is shown counts, what is not shown does not, and nothing is asked twice."""

import pytest
import torch

import pellucid as pl
from pellucid.core import meter
from pellucid.core.errors import NotAnswerable
from pellucid.engine.coalitions import Game, draws_of, hidden_point, players
from pellucid.engine.targets import resolve
from pellucid.tasks.tensor import TensorTask

ROWS = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=torch.float64)


def weighted(rows):
    return rows[:, :1] + 10 * rows[:, 1:2] * rows[:, 2:]


def game(rows=ROWS, row=0, baseline=0.0, features=None):
    subject = pl.wrap(weighted, TensorTask(output="value"))
    inputs = subject.prepare(rows)
    named = players(subject, inputs, features)
    hidden = hidden_point(subject, inputs, named, baseline)
    return Game(subject, inputs, resolve(subject, inputs, pl.Decision(rows)), named, hidden, row)


def test_a_coalition_is_worth_what_the_model_says_of_its_members():
    masks = torch.tensor([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 0]]).bool()
    assert game()(masks).tolist() == [61, 0, 1, 60, 0]
    assert game(row=1, baseline=1.0)(masks).tolist() == [304, 11, 14, 301, 51]


def test_nothing_is_asked_twice():
    asked = game()
    masks = torch.tensor([[1, 0, 0], [1, 0, 0], [0, 1, 0]]).bool()
    with meter.metered() as passes:
        first = asked(masks)
        again = asked(masks.flip(0))
    assert passes.forward == asked.asked == 2
    assert torch.equal(first, again.flip(0))
    assert asked.ends() == (0, 61)
    assert asked.asked == 4


def test_elements_of_no_feature_stay():
    alone = game(features=torch.tensor([0, -1, -1]))
    assert alone.features == 1
    assert alone.ends() == (60, 61)


def test_what_looks_the_same_hidden_as_shown_is_counted_and_refused_where_that_is_everything():
    assert game(torch.tensor([[1.0, 0.0, 3.0]]), baseline=0.0).unchanged == 1
    with pytest.raises(NotAnswerable, match="looks the same"):
        game(torch.zeros(1, 3))


def test_draws_do_not_depend_on_padding():
    subject = pl.load("minilm-sentiment")
    alone, beside = (
        subject.prepare("a warm film"),
        subject.prepare(["a warm film", "a film of many more words than that"]),
    )
    first = torch.rand(3, generator=draws_of(alone, 0, 0, "lime"))
    assert torch.equal(first, torch.rand(3, generator=draws_of(beside, 0, 0, "lime")))
    assert not torch.equal(first, torch.rand(3, generator=draws_of(beside, 1, 0, "lime")))
    assert players(subject, beside, None).segments[0].max() < players(subject, beside, None).segments[1].max()
