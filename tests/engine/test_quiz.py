"""A quiz: which examples are studied and asked depends on what they are, never on their order."""

import pytest
import torch

import pellucid as pl
from pellucid.core.errors import NotAnswerable
from pellucid.core.query import Unit
from pellucid.engine.quiz import made_quiz
from pellucid.engine.targets import resolve

ROWS = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)).tolist()


def subject(outputs=3, output="logits", labels=None):
    weights = torch.randn(4, outputs, generator=torch.Generator().manual_seed(1))
    task = pl.tasks.Tabular(("a", "b", "c", "d"), labels, output=output)
    return pl.wrap(lambda rows: rows @ weights, task, name="linear")


def quiz_of(model, rows=ROWS, target=None, studied=6, questions=None, edited=0.5, seed=0):
    inputs = model.prepare(rows)
    asked = resolve(model, inputs, pl.Decision(rows, target))
    return inputs, made_quiz(model, inputs, asked, studied, questions, edited, seed, "quiz")


def test_studied_and_asked_are_apart_and_all_there_are():
    _, quiz = quiz_of(subject())
    both = [*quiz.studied.tolist(), *quiz.asked.tolist()]
    assert sorted(both) == list(range(40))
    assert len(quiz.studied) == 6


def test_the_order_of_the_examples_does_not_matter():
    inputs, quiz = quiz_of(subject())
    backwards, other = quiz_of(subject(), ROWS[::-1])
    assert torch.equal(inputs.value[quiz.studied], backwards.value[other.studied])
    assert torch.equal(quiz.points.value, other.points.value)
    assert quiz.identity == other.identity
    assert quiz.hidden == other.hidden
    assert quiz_of(subject(), seed=1)[1].identity != quiz.identity


def test_every_answer_is_studied_where_there_is_room():
    model = subject()
    answers = model.scores(ROWS).argmax(1)
    _, quiz = quiz_of(model, studied=3)
    assert sorted(answers[quiz.studied].tolist()) == [0, 1, 2]


def test_answers_are_those_of_the_model_on_what_is_asked():
    model = subject()
    inputs, quiz = quiz_of(model)
    assert [quiz.outputs[place] for place in quiz.learned] == model.scores(inputs.rows(quiz.studied)).argmax(1).tolist()
    assert [quiz.outputs[place] for place in quiz.truth] == model.scores(quiz.points).argmax(1).tolist()


def test_edited_questions_have_half_of_their_columns_at_the_mean():
    inputs, quiz = quiz_of(subject(), edited=0.5)
    edited = [place for place, hidden in enumerate(quiz.hidden) if hidden]
    assert len(edited) == len(quiz.asked) // 2
    for place, hidden in enumerate(quiz.hidden):
        expected = inputs.value[quiz.asked[place]].clone()
        expected[list(hidden)] = 0
        assert torch.equal(quiz.points.value[place], expected)
        assert len(hidden) in (0, 2)
    assert "without" in quiz.described(edited[0])
    assert not any(quiz_of(subject(), edited=0.0)[1].hidden)
    assert all(quiz_of(subject(), edited=1.0)[1].hidden)


def test_equal_examples_count_once():
    with pytest.raises(NotAnswerable, match="6 examples are to be studied and there are 2 different ones"):
        quiz_of(subject(), ROWS[:2] * 10)
    _, quiz = quiz_of(subject(), ROWS + ROWS[:5])
    assert len(quiz.studied) + len(quiz.asked) == 40


def test_a_value_is_asked_about_as_above_or_below_the_middle_of_what_was_studied():
    model = subject(1, "value")
    inputs, quiz = quiz_of(model)
    values = model.scores(inputs)[:, 0]
    middle = values[quiz.studied].median()
    assert quiz.middle == pytest.approx(float(middle))
    assert quiz.choices == (f"up to {middle:.4g}", f"above {middle:.4g}")
    assert quiz.truth.tolist() == (model.scores(quiz.points)[:, 0] > middle).long().tolist()


def test_one_output_holds_or_does_not():
    model = subject(1, labels=("ill",))
    _, quiz = quiz_of(model)
    assert quiz.choices == ("not ill", "ill")
    assert quiz.truth.tolist() == (model.scores(quiz.points)[:, 0] > 0).long().tolist()
    assert quiz.choice_of(0) == 1


def test_only_so_many_questions_are_asked():
    _, quiz = quiz_of(subject(), questions=5)
    assert quiz.asked.tolist() == quiz_of(subject())[1].asked[:5].tolist()


def test_pictures_have_squares_hidden():
    model = pl.load("digits-cnn")
    pictures = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    inputs, quiz = quiz_of(model, pictures, edited=1.0, studied=2)
    changed = (quiz.points.value != inputs.value[quiz.asked]).view(10, 8, 8)
    squares = changed.view(10, 4, 2, 4, 2).any(4).any(2)
    assert squares.flatten(1).sum(1).tolist() == [8] * 10
    assert "8 of 16 cells hidden" in quiz.described(0)


def test_an_example_in_which_nothing_can_be_hidden_is_asked_as_it_is():
    model = pl.load("digits-cnn")
    flat = torch.linspace(0, 1, 12).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).clone()
    flat[0] = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    inputs, quiz = quiz_of(model, flat, edited=1.0, studied=1)
    for place, hidden in enumerate(quiz.hidden):
        example = int(quiz.asked[place])
        assert bool(hidden) == (example == 0)
        assert torch.equal(quiz.points.value[place], inputs.value[example]) == (example != 0)


def test_a_unit_decides_nothing():
    model = pl.load("wine-mlp")
    rows = model.task.reference[:20]
    inputs = model.prepare(rows)
    asked = resolve(model, inputs, pl.Decision(rows, of=Unit("layers.0", 1)))
    with pytest.raises(NotAnswerable, match="decides nothing"):
        made_quiz(model, inputs, asked, 6, None, 0.5, 0, "quiz")
