"""What readers are shown: parts of examples, what is hidden left out, and scores that fit the parts."""

import dataclasses

import pytest
import torch

import pellucid as pl
from pellucid.engine.lessons import lessons, shuffled
from pellucid.methods.attribution.input_x_gradient import InputXGradient
from pellucid.metrics.forward_simulation import ForwardSimulation

TEXTS = ["a good good film", "A bad film", "good fun", "bad and dull", "what a film", "no fun"]


def taught(subject, inputs, asked=None, **fields):
    answer = InputXGradient()(subject, pl.Decision(inputs, **(asked or {})))
    shown = ForwardSimulation(**({"studied": 3} | fields)).material(subject, pl.Judgement([answer]))
    return answer, shown, lessons(subject, shown)


def words_of(text):
    return text.casefold().split()


@pytest.mark.parametrize("edited", [0.0, 1.0])
def test_words_are_counted_capitals_aside_and_hidden_ones_left_out(edited):
    answer, shown, (plain, with_scores) = taught(pl.load("lstm-sentiment"), TEXTS, edited=edited)
    vocabulary = sorted({word for text in TEXTS for word in words_of(text)})
    for row, example in enumerate(shown.quiz.studied.tolist()):
        assert plain.seen[row].tolist() == [words_of(TEXTS[example]).count(word) for word in vocabulary]
        sums = dict.fromkeys(vocabulary, 0.0)
        for word, score in zip(words_of(TEXTS[example]), answer.by_feature()[example].tolist(), strict=True):
            sums[word] += score
        assert with_scores.scores[row].tolist() == pytest.approx(list(sums.values()), abs=1e-6)
    for row, example in enumerate(shown.quiz.asked.tolist()):
        words = words_of(TEXTS[example])
        left = [word for place, word in enumerate(words) if place not in shown.quiz.hidden[row]]
        assert plain.asked[row].tolist() == [left.count(word) for word in vocabulary]
        assert (len(left) < len(words)) == bool(edited)


def test_columns_are_measured_by_their_spread_in_what_was_studied():
    subject = pl.load("wine-mlp")
    rows = [subject.task.row(row) for row in subject.task.reference[:20]]
    _, shown, (plain, with_scores) = taught(subject, rows, studied=8)
    assert plain.seen.std(0).tolist() == pytest.approx([1.0] * 13)
    scale = shown.inputs.value[shown.quiz.studied].double().std(0)
    assert torch.allclose(plain.asked * scale, shown.quiz.points.value.double())
    assert plain.scores is None
    assert with_scores.scores.shape == plain.seen.shape


@pytest.mark.parametrize(
    ("asked", "against", "threshold"),
    [({"target": "positive", "foil": "negative"}, 0, 0.0), ({"target": "positive"}, -1, None)],
)
def test_what_explanations_are_about_is_told_as_choices(asked, against, threshold):
    _, shown, (_, lesson) = taught(pl.load("lstm-sentiment"), TEXTS, asked)
    assert shown.quiz.choices == ("negative", "positive")
    assert lesson.explained.tolist() == [1, 1, 1]
    assert lesson.against.tolist() == [against] * 3
    assert lesson.threshold == threshold


def test_a_value_is_explained_as_being_above_the_middle():
    subject = pl.load("diabetes-mlp")
    rows = [subject.task.row(row) for row in subject.task.reference[:12]]
    _, shown, (_, lesson) = taught(subject, rows)
    assert (lesson.explained.tolist(), lesson.against.tolist()) == ([1] * 3, [0] * 3)
    assert lesson.threshold == shown.quiz.middle


@pytest.mark.parametrize("kind", ["words", "columns"])
def test_shuffled_scores_keep_their_example_and_their_sum(kind):
    subject = pl.load("lstm-sentiment" if kind == "words" else "wine-mlp")
    columns = [] if kind == "words" else [subject.task.row(row) for row in subject.task.reference[:9]]
    _, _, (plain, lesson) = taught(subject, columns or TEXTS)
    dealt = shuffled(lesson, 0)
    assert shuffled(plain, 0) is plain
    assert torch.equal(dealt.scores.sort(1).values, lesson.scores.sort(1).values)
    assert not torch.equal(dealt.scores, lesson.scores)
    if kind == "words":
        assert not dealt.scores[lesson.seen == 0].any()
    nearly = dataclasses.replace(lesson, scores=lesson.scores * (1 + 1e-9))  # as other batch sizes round
    assert torch.allclose(shuffled(nearly, 0).scores, dealt.scores, rtol=1e-6)
