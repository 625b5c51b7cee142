"""Changes as data: what is said of them, and fields that contradict each other."""

import pytest
import torch

import pellucid as pl
from pellucid.core.subject import Origin


def made(**changes):
    fields = {
        "edits": (("a from 1 to 2", "delete “b”"),),
        "before": torch.tensor([[2.0, 0.0, 1.0]]),
        "after": torch.tensor([[0.0, 1.0, 0.5]]),
        "chances_before": torch.tensor([[0.7, 0.1, 0.2]]),
        "chances_after": torch.tensor([[0.2, 0.5, 0.3]]),
        "value": torch.tensor([[2.0, 0.0]]),
        "shares": (torch.tensor([-1.5, -0.5]),),
        "alone": (torch.tensor([-1.4, -0.5]),),
        "last": (torch.tensor([-1.5, -0.6]),),
        "target": torch.tensor([0]),
        "labels": ("cat", "dog", "hen"),
    }
    return pl.Change(**(fields | changes))


def test_the_summary_tells_the_decision_and_what_each_edit_did():
    assert made().summary().split("\n") == [
        "The decision changes from “cat” to “dog”: the probability of cat goes from 70.0% to 20.0%, that of dog from "
        "10.0% to 50.0%.",
        "The score of cat changes by -2, of which: a from 1 to 2 (-1.5); delete “b” (-0.5).",
    ]
    assert made().decides_otherwise()


def test_a_decision_that_stays_says_so():
    said = made(after=torch.tensor([[1.0, 0.0, 0.5]]), chances_after=torch.tensor([[0.5, 0.2, 0.3]])).summary()
    assert said.startswith("The decision stays “cat”: the probability of cat was 70.0% and becomes 50.0%.")


def test_probabilities_near_the_ends_are_not_rounded_to_them():
    chances = {
        "chances_before": torch.tensor([[0.9999, 1e-5, 0.0]]),
        "chances_after": torch.tensor([[1e-5, 0.9999, 0]]),
    }
    said = made(**chances).summary()
    assert "goes from over 99.9% to below 0.1%" in said


def test_edits_that_do_not_add_up_are_pointed_out():
    assert "do not simply add up" not in made().summary()
    apart = made(alone=(torch.tensor([0.0, -0.5]),)).summary()
    assert "one at a time they change it by -0.5 in sum, together by -2" in apart


def test_top_shows_outputs_that_are_strong_before_or_after():
    assert [row["output"] for row in made().top(count=2)] == ["cat", "dog"]
    assert made().top()[0] == {
        "output": "cat",
        "before": 2.0,
        "after": 0.0,
        "probability before": pytest.approx(0.7),
        "probability after": pytest.approx(0.2),
    }


def test_the_table_has_a_row_for_each_edit():
    assert made().table()[1] == {
        "example": 0,
        "edit": "delete “b”",
        "share": -0.5,
        "alone": -0.5,
        "last": pytest.approx(-0.6),
    }
    assert made(shares=None).table()[0]["share"] is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"after": torch.zeros(2, 3)}, "after has 2 examples, edits have 1"),
        ({"shares": (torch.zeros(3),)}, "shares are not one number for each edit"),
        ({"alone": ()}, "alone are not one number"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        made(**changes)


def test_inputs_stay_in_memory_only(tmp_path):
    change = made(shown=((Origin("secret words"), Origin("other words")),))
    path = change.save(tmp_path / "change.pellucid")
    assert b"secret" not in path.read_bytes()
    assert pl.Result.load(path).shown == ()
