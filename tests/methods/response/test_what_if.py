"""What if: edits of every kind of input, shares that are Shapley values, and what cannot be edited."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from torch import nn

import pellucid as pl
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.engine.targets import resolve
from pellucid.methods.attribution.input_x_gradient import InputXGradient
from pellucid.methods.response.what_if import WhatIf

ROW = {"a": 1.0, "b": 2.0, "c": -1.0}


def table(function, output="logits", labels=("no", "yes")):
    """A model of three columns; ``function`` maps rows ``[batch, 3]`` to scores."""
    task = pl.tasks.Tabular(("a", "b", "c"), labels, output=output)
    return pl.wrap(function, task, name="table")


def additive(rows):
    score = rows.double() @ torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    return torch.stack([torch.zeros_like(score), score], 1)


def test_on_an_additive_model_each_edit_has_its_own_effect():
    answer = WhatIf(edit="a = 3, b += 1, c *= -4")(table(additive), pl.Decision(ROW, target="yes"))
    expected = [2.0 * 2, -1.0, 0.5 * 5]
    for numbers in (answer.shares, answer.alone, answer.last):
        assert numbers[0].tolist() == pytest.approx(expected)
    assert answer.value[0].tolist() == pytest.approx([-0.5, 5.0])
    assert (answer.decision("before"), answer.decision("after")) == ("no", "yes")
    assert answer.edits == (("a from 1 to 3", "b from 2 to 3", "c from -1 to 4"),)


def test_edits_are_made_in_the_order_in_which_they_are_written():
    answer = WhatIf(edit="a += 1; a *= 3; b = 0")(table(additive), pl.Decision(ROW, target="yes"))
    # a is 1, 2, 3 or 6: alone +1 and ×3 add 1 and 2, together 5.
    assert answer.alone[0].tolist() == pytest.approx([2.0, 4.0, 2.0])
    assert answer.shares[0].tolist() == pytest.approx([2 * 2.0, 2 * 3.0, 2.0])


def test_edits_that_only_work_together_share_what_they_do():
    both = lambda rows: torch.stack([0 * rows[:, 0], rows[:, 0] * rows[:, 1]], 1)  # noqa: E731
    answer = WhatIf(edit="a = 1, b = 1, c = 5")(table(both), pl.Decision({"a": 0, "b": 0, "c": 0}, target="yes"))
    assert answer.shares[0].tolist() == pytest.approx([0.5, 0.5, 0.0])
    assert answer.alone[0].tolist() == [0, 0, 0]
    assert answer.last[0].tolist() == [1, 1, 0]
    assert "do not simply add up" in answer.summary()


def test_more_than_twelve_edits_are_made_but_not_told_apart():
    number = 13
    columns = tuple(f"x{place}" for place in range(number))
    sums = lambda rows: torch.stack([0 * rows[:, 0], rows.sum(1)], 1)  # noqa: E731
    subject = pl.wrap(sums, pl.tasks.Tabular(columns, ("no", "yes")), name="long")
    script = "; ".join(f"{name} = {place}" for place, name in enumerate(columns))
    answer = WhatIf(edit=script)(subject, pl.Decision([0.0] * number, target="yes"))
    assert answer.shares is None
    assert answer.alone[0].tolist() == list(range(number))
    assert answer.last[0].tolist() == list(range(number))
    assert float(answer.difference[0]) == sum(range(number))
    assert "not told apart" in answer.summary()
    assert answer.evaluations["F"] < 2 * number + 8


@pytest.mark.parametrize("of", ["score", "probability", "log-probability", "loss"])
def test_the_value_is_the_quantity_that_is_asked_of_the_edited_input(of):
    subject = table(additive)
    answer = WhatIf(edit="a = 3, c = 0")(subject, pl.Decision(ROW, target="yes", of=of))
    plain, other = (quantity(subject, pl.Decision(raw, target="yes", of=of)) for raw in (ROW, {**ROW, "a": 3, "c": 0}))
    assert answer.value[0].tolist() == pytest.approx([plain, other])
    assert float(answer.shares[0].sum()) == pytest.approx(other - plain)


def quantity(subject, query):
    inputs = subject.prepare(query.inputs)
    return float(resolve(subject, inputs, query)(subject.run(inputs)))


def test_a_foil_divides_the_change_of_the_difference():
    three = lambda rows: rows.double() * torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)  # noqa: E731
    subject = table(three, labels=("x", "y", "z"))
    answer = WhatIf(edit="a = 5, b = 0")(subject, pl.Decision(ROW, target="x", foil="y"))
    assert answer.shares[0].tolist() == pytest.approx([4.0, 4.0])
    assert "x rather than y" in answer.summary()


def test_a_value_has_no_decision():
    subject = table(lambda rows: rows.sum(1, keepdim=True), output="value", labels=None)
    answer = WhatIf(edit="a = 3")(subject, pl.Decision(ROW))
    assert answer.decision("before") is None
    assert answer.chances_before is None
    assert answer.summary().startswith("The answer was 2 and becomes 4.")
    assert not answer.decides_otherwise()


def test_one_output_is_a_class_that_holds_or_does_not():
    subject = table(lambda rows: rows.sum(1, keepdim=True) - 3, labels=("ill",))
    answer = WhatIf(edit="a = 3")(subject, pl.Decision(ROW))
    assert (answer.decision("before"), answer.decision("after")) == ("not ill", "ill")
    assert float(answer.chances_after[0, 0]) == pytest.approx(torch.tensor(1.0).sigmoid().item())


def test_a_forest_is_asked_about_its_own_columns():
    wine = load_wine()
    forest = RandomForestClassifier(10, random_state=0).fit(wine.data, wine.target)
    task = pl.tasks.Tabular(wine.feature_names, wine.target_names.tolist(), output="probabilities")
    answer = WhatIf(edit="proline = 400; alcohol = 12")(
        pl.wrap(forest, task, name="forest"), pl.Decision(wine.data[0].tolist())
    )
    changed = wine.data[:1].copy()
    changed[0, [0, -1]] = 12, 400
    assert answer.after[0].tolist() == pytest.approx(forest.predict_proba(changed)[0].tolist())
    assert float(answer.shares[0].sum()) == pytest.approx(float(answer.after[0, 0] - answer.before[0, 0]))


def brightness(batch):
    left, right = batch[..., :4].mean((1, 2, 3)), batch[..., 4:].mean((1, 2, 3))
    return torch.stack([left, right], 1)


def picture_subject():
    task = pl.tasks.Image(8, mean=(0.0,), deviation=(1.0,), labels=("left", "right"))
    return pl.wrap(brightness, task, name="brightness")


def test_a_picture_is_edited_where_its_pixels_are():
    pixels = np.full((8, 8), 51, dtype=np.uint8)
    answer = WhatIf(edit="box 0,0,4,8 white; box 4,0,8,4 black")(
        picture_subject(), pl.Decision(Image.fromarray(pixels), target="left", foil="right")
    )
    assert answer.before[0].tolist() == pytest.approx([0.2, 0.2])
    assert answer.after[0].tolist() == pytest.approx([1.0, 0.1])
    assert answer.shares[0].tolist() == pytest.approx([0.8, 0.1], abs=1e-6)
    before, after = answer.shown[0]
    assert np.asarray(before.raw).tolist() == pixels.tolist()
    assert np.asarray(after.raw)[0].tolist() == [255] * 4 + [0] * 4


def test_another_picture_in_its_place_is_one_edit():
    one, other = (Image.fromarray(np.full((8, 8), shade, dtype=np.uint8)) for shade in (0, 255))
    answer = WhatIf(instead=other)(picture_subject(), pl.Decision(one, target="left"))
    assert answer.edits == (("another picture",),)
    assert answer.shares[0].tolist() == pytest.approx([1.0])
    assert answer.provenance.fields["instead"].startswith("data with the digest")


def test_another_text_is_as_many_edits_as_it_has_differences():
    subject = pl.load("lstm-sentiment")
    words = "the film was bad and the story dull", "the film was good and the story was dull"
    answer = WhatIf(instead=words[1])(subject, pl.Decision(words[0], target="positive"))
    assert answer.edits == (("insert “was”", "replace “bad” with “good”"),)
    assert answer.after[0].tolist() == pytest.approx(subject.scores([words[1]])[0].tolist(), abs=1e-5)
    assert float(answer.shares[0].sum()) == pytest.approx(float(answer.difference[0]), abs=1e-6)


def test_characters_are_edited_where_they_stand():
    subject = pl.load("char-lstm")
    answer = WhatIf(edit="0 = T; 2 = e")(subject, pl.Decision("the king", target="e"))
    assert answer.after[0].tolist() == pytest.approx(subject.scores("The king")[0, -1].tolist(), abs=1e-5)


def test_a_tensor_is_edited_at_its_point_and_other_inputs_stay():
    class Two(nn.Module):
        def forward(self, x, y):
            return torch.stack([x.sum(1) + y.sum(1), 0 * x.sum(1)], 1)

    subject = pl.wrap(Two().double(), pl.tasks.TensorTask(point="x"), name="two")
    given = {"x": torch.ones(2, 3, dtype=torch.float64), "y": torch.full((2, 1), 7.0, dtype=torch.float64)}
    answer = WhatIf(edit="0 = 5; 2 -= 1")(subject, pl.Decision(given, target=0))
    assert answer.value.tolist() == [[10, 13], [10, 13]]
    assert [shares.tolist() for shares in answer.shares] == [[4, -1], [4, -1]]


def test_explanations_before_and_after_are_those_of_both_inputs():
    subject = pl.load("wine-mlp")
    row = load_wine().data[0].tolist()
    answer = WhatIf(edit="alcohol = 12", explain=InputXGradient())(subject, pl.Decision(row))
    target = int(answer.target[0])
    for moment, raw in ((0, row), (1, [12.0, *row[1:]])):
        expected = InputXGradient()(subject, pl.Decision(raw, target=target))
        torch.testing.assert_close(answer.explained[moment].scores, expected.scores, rtol=1e-4, atol=1e-5)


def test_explanations_of_texts_follow_the_words_of_each():
    answer = WhatIf(edit="replace bad with good", explain=InputXGradient())(
        pl.load("lstm-sentiment"), pl.Decision(["a bad film", "bad"])
    )
    before, after = answer.explained
    assert before.features.labels == (("a", "bad", "film"), ("bad",))
    assert after.features.labels == (("a", "good", "film"), ("good",))


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (WhatIf(), "one of the two"),
        (WhatIf(edit="a = 1", instead=ROW), "one of the two"),
        (WhatIf(instead=ROW), "the same as this one"),
        (WhatIf(edit="d = 1"), "no column 'd'"),
    ],
)
def test_what_says_nothing_or_too_much_is_refused(method, said):
    with pytest.raises(UsageError, match=said):
        method(table(additive), pl.Decision(ROW))


def test_a_tensor_that_its_picture_does_not_come_to_is_refused():
    subject = picture_subject()
    exact = torch.full((1, 1, 8, 8), 0.2)
    assert WhatIf(edit="box 0,0,4,8 white")(subject, pl.Decision(exact, target=0)).value[0, 1] == pytest.approx(1.0)
    with pytest.raises(BadInput, match="give the raw input"):
        WhatIf(edit="box 0,0,4,8 white")(subject, pl.Decision(exact + 0.001, target=0))


def test_embeddings_cannot_be_edited():
    with pytest.raises(BadInput, match="give the text itself"):
        WhatIf(edit="delete bad")(pl.load("lstm-sentiment"), pl.Decision(torch.zeros(1, 4, 60)))


def test_positions_that_move_cannot_be_compared():
    subject = pl.load("lstm-sentiment")
    per_word = pl.wrap(Tagger(), pl.tasks.Text(subject.task.tokenizer, subject.task.embed), name="tagger")
    with pytest.raises(NotAnswerable, match="without moving positions"):
        WhatIf(edit="delete bad")(per_word, pl.Decision("a bad film", target=(0, 1)))
    answer = WhatIf(edit="replace bad with good")(per_word, pl.Decision("a bad film", target=(0, 1)))
    assert answer.before.shape == (1, 2)


class Tagger(nn.Module):
    def forward(self, embeddings, attention_mask):
        return embeddings[..., :2]
