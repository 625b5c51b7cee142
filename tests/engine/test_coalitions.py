"""Coalitions of features: what is shown counts, what is not shown does not, and nothing is asked twice."""

import pytest
import torch

import pellucid as pl
from pellucid.core import meter
from pellucid.core.errors import NotAnswerable
from pellucid.engine.coalitions import Game, draws_of, hidden_point, play, players
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


def test_coalitions_that_look_the_same_are_asked_once():
    asked = game(torch.tensor([[1.0, 0.0, 3.0]]))
    masks = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]]).bool()
    with meter.metered() as passes:
        found = asked(masks)
    assert passes.forward == asked.asked == 2
    assert found.tolist() == [1, 1, 0, 0]


def test_games_about_different_examples_are_asked_together_and_answer_as_alone():
    masks = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 1, 0]]).bool()
    two = [game(), game(row=1, features=torch.tensor([0, 1, 1]))]
    turns = [(two[0], masks), (two[1], masks[:, :2]), (two[0], ~masks)]
    with meter.metered() as passes:
        found = play(turns)
    assert passes.forward == 2 + 2 + 2
    for answers, (_, asked), fresh in zip(
        found, turns, [game(), game(row=1, features=torch.tensor([0, 1, 1])), game()], strict=True
    ):
        assert torch.equal(answers, fresh(asked))
    with meter.metered() as passes:
        again = play(turns)
    assert passes.forward == 0
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))


def test_texts_and_classes_stay_with_their_examples_when_games_are_asked_together():
    subject = pl.load("minilm-sentiment")
    inputs = subject.prepare(["a wonderful, warm film", "dull"])
    target = resolve(subject, inputs, pl.Decision(["a wonderful, warm film", "dull"], target=[1, 0]))
    words = players(subject, inputs, "words")
    hidden = hidden_point(subject, inputs, words, "zero")
    games = [Game(subject, inputs, target, words, hidden, row) for row in (0, 1)]
    turns = [(one, torch.eye(one.features).bool()) for one in games]
    together = play(turns)
    for found, (one, masks) in zip(together, turns, strict=True):
        fresh = Game(subject, inputs, target, words, hidden, one.row)
        assert torch.allclose(found, fresh(masks), atol=1e-5)
        assert len(found) == one.features


def test_many_features_are_told_apart_by_a_digest():
    number = 1000
    subject = pl.wrap(lambda rows: rows.sum(1, keepdim=True), TensorTask(output="value"))
    inputs = subject.prepare(torch.ones(1, number, dtype=torch.float64))
    target = resolve(subject, inputs, pl.Decision(inputs.value))
    asked = Game(subject, inputs, target, players(subject, inputs, None), torch.zeros(1, number, dtype=torch.float64))
    masks = torch.rand(40, number, generator=torch.Generator().manual_seed(0)) < 0.5
    assert asked(masks).tolist() == masks.sum(1).tolist()
    assert asked.asked == 40


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
