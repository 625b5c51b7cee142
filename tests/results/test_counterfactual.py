"""Counterfactuals as data: sentences, tables, and fields that contradict each other."""

import pytest
import torch

import pellucid as pl
from pellucid.core.subject import Features
from pellucid.results.counterfactual import Counterfactuals, RegionSwaps

COLUMNS = ("age", "hours", "job=clerk", "job=cook")


def made(**changes):
    features = Features("column", torch.tensor([[0, 1, 2, 2]]), (("age", "hours", "job"),))
    fields = {
        "kind": "wachter",
        "inputs": torch.tensor([[0.1, -0.5, 1.0, 0.0]]),
        "points": torch.tensor([[[0.7, -0.5, 0.0, 1.0]]]),
        "before": torch.tensor([[0.8, 0.2]]),
        "after": torch.tensor([[[0.4, 0.6]]]),
        "found": torch.tensor([[True]]),
        "kept": torch.tensor([[True]]),
        "distance": torch.tensor([[1.6]]),
        "converged": torch.tensor([True]),
        "features": features,
        "answer": "probabilities",
        "measure": "sum of changes",
        "reason": ("",),
        "elements": COLUMNS,
        "factor": torch.tensor([10.0, 2.0, 1.0, 1.0]).double(),
        "offset": torch.tensor([28.0, 38.5, 0.0, 0.0]).double(),
        "choices": {"job": (2, 3)},
        "target": torch.tensor([0]),
        "labels": ("refused", "granted"),
    }
    return Counterfactuals(**(fields | changes))


def test_the_sentence_says_what_would_have_to_be_instead_of_what():
    assert made().summary() == (
        "The answer would be granted (60%) instead of refused (80%) if age were 35 instead of 29 and job were cook instead "
        "of clerk."
    )
    assert made().question() == "what would have to change for anything but refused"
    assert made(foil=torch.tensor([1])).question() == "what would have to change for granted"


def test_the_table_has_a_row_per_change_the_largest_first():
    rows = made().table()
    assert [(row["feature"], row["is"], row["instead"]) for row in rows] == [
        ("age", "29", "35"),
        ("job", "clerk", "cook"),
    ]
    assert rows[0]["would be"] == "granted (60%)"
    assert made().changes.tolist() == [[2]]


def test_what_was_not_found_is_told_with_its_reason():
    missed = made(found=torch.tensor([[False]]), reason=("the budget of 10 passes was used up",))
    assert missed.summary() == "None was found: the budget of 10 passes was used up."
    assert missed.table()[0]["found"] is False


def test_many_changes_are_counted_instead_of_named():
    features = Features("pixel", torch.arange(9).view(1, 1, 3, 3))
    inputs, points = torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 1, 3, 3)
    points[0, 0, 0, :2] = 1
    found = made(features=features, inputs=inputs, points=points, factor=None, offset=None, choices={}, elements=())
    assert found.summary().endswith("if 6 of 9 pixels were different.")
    swaps = RegionSwaps(
        layer="conv", grid=(3, 3), cells=(torch.tensor([[4, 0, 8]]),), gaps=(torch.tensor([-1.0, 1.0]),)
    )
    swapped = made(features=features, inputs=inputs, points=points, factor=None, offset=None, choices={}, swaps=swaps)
    assert "if 1 of 9 regions looked as in the other picture" in swapped.summary()
    assert swapped.table()[0]["feature"] == "row 2, column 2"
    assert swapped.table()[0]["instead"] == "picture 0: row 3, column 3"


def test_of_a_positive_what_is_there_is_told():
    absent = torch.tensor([[0.0, -0.5, 1.0, 0.0]])
    found = made(kind="pertinent-positive", points=torch.tensor([[[0.1, -0.5, 1.0, 0.0]]]), absent=absent)
    assert found.summary() == "With 1 of 3 columns alone (age) the answer would still be granted (60%)."
    assert found.question() == "what suffices for refused"


def test_a_value_is_told_as_a_number():
    found = made(answer="value", before=torch.tensor([[3.0]]), after=torch.tensor([[[5.0]]]), wanted=5.0, labels=())
    assert "The answer would be 5 instead of 3 if" in found.summary()
    assert "to reach 5" in found.question()


def test_it_survives_saving_and_loading_with_all_it_needs_to_show_itself(tmp_path):
    swaps = RegionSwaps(layer="c", grid=(2, 2), cells=(torch.tensor([[0, 0, 1]]),), gaps=(torch.tensor([-1.0, 1.0]),))
    for result in (made(), made(swaps=swaps)):
        loaded = pl.Result.load(result.save(tmp_path / "found.pellucid"))
        assert isinstance(loaded, Counterfactuals)
        assert loaded.summary() == result.summary()
        assert loaded.table() == result.table()
        assert torch.equal(loaded.points, result.points)


@pytest.mark.parametrize(
    "changes",
    [
        {"points": torch.zeros(1, 2, 4)},
        {"distance": torch.zeros(1, 2)},
        {"reason": ()},
        {"kept": torch.tensor([[False]])},
        {"features": Features("column", torch.zeros(3, 4, dtype=torch.long))},
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes):
    with pytest.raises(ValueError, match=r"points|distance|reason|constraint|features"):
        made(**changes)
