"""Simulations as data: what is said of readers, question by question, and fields that contradict each other."""

import pytest
import torch

import pellucid as pl

PREDICTED = torch.tensor([[[0, 1, 0, -1], [0, 1, 1, 1]], [[0, 0, 0, 0], [0, 0, 0, 0]]])


def made(**changes):
    fields = {
        "readers": ("linear", "majority"),
        "about": ("adds up", "repeats"),
        "arms": ("control", "lime"),
        "choices": ("cat", "dog"),
        "questions": ("example 3", "example 1 without b", "example 0", "example 2"),
        "truth": torch.tensor([0, 1, 1, 1]),
        "predicted": PREDICTED,
        "accuracy": torch.tensor([[2 / 3, 1.0], [0.25, 0.25]]),
        "interval": torch.tensor([[[0.2, 0.9], [0.5, 1.0]], [[0.05, 0.7], [0.05, 0.7]]]),
        "difference": torch.tensor([[1 / 3], [0.0]]),
        "difference_interval": torch.tensor([[[-0.4, 0.8]], [[-0.4, 0.4]]]),
        "studied": 5,
    }
    return pl.Simulation(**(fields | changes))


def test_the_summary_tells_shares_differences_and_what_was_not_shown():
    assert made().summary().split("\n") == [
        "linear: predicts 2 of 3 (67%, 20% to 90%) without explanations and 4 of 4 (100%, 50% to 100%) with lime, a "
        "difference of +33 points (-40 to +80): no difference shown.",
        "majority: predicts 1 of 4 (25%, 5% to 70%), the same with explanations and without.",
    ]


@pytest.mark.parametrize(
    ("interval", "helps", "said"),
    [
        ((0.1, 0.8), True, "lime helps this reader"),
        ((-0.8, -0.1), False, "lime misleads this reader"),
        ((0.0, 0.8), None, "no difference shown"),
    ],
)
def test_explanations_help_only_where_the_interval_of_the_difference_holds_no_zero(interval, helps, said):
    found = made(difference_interval=torch.tensor([[interval], [(-0.4, 0.4)]]))
    assert found.helps("linear", "lime") is helps
    assert said in found.summary()


def test_the_table_compares_each_arm_with_the_control():
    rows = made().table()
    assert [(row["reader"], row["shown"]) for row in rows][:2] == [("linear", "control"), ("linear", "lime")]
    assert rows[0]["difference"] is None
    assert rows[1]["difference"] == pytest.approx(1 / 3)
    assert rows[1]["from"] == pytest.approx(-0.4)


def test_every_question_has_the_answer_and_all_predictions():
    assert made().by_question()[1] == {
        "question": "example 1 without b",
        "the model": "dog",
        "linear, control": "dog",
        "linear, lime": "dog",
        "majority, control": "cat",
        "majority, lime": "cat",
    }
    assert made().by_question()[3]["linear, control"] == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"truth": torch.tensor([0, 1, 1])}, "truth is"),
        ({"truth": torch.tensor([0, 1, 1, 2])}, "truth is outside the choices"),
        ({"predicted": PREDICTED + 1}, "predicted is outside the choices"),
        ({"difference": torch.zeros(2, 2)}, "difference is"),
        ({"about": ("adds up",)}, "1 descriptions of 2 readers"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        made(**changes)
