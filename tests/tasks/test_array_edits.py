"""Edits of arrays and of characters: places along axes, names of channels, and what does not fit."""

import pytest
import torch

from pellucid.core.errors import UsageError
from pellucid.tasks.array_edits import array_changes, array_edits, character_edits

ARRAY = torch.arange(12.0, dtype=torch.float64).view(4, 3)


def after(script, array=ARRAY, channels=()):
    for edit in array_edits(array, script, channels):
        array = edit.apply(array)
    return array


@pytest.mark.parametrize(
    ("script", "place", "expected"),
    [
        ("1 = 0.5", (1,), [0.5] * 3),
        ("1,2 = 7", (1, 2), 7.0),
        ("-1, 0 -= 1", (3, 0), 8.0),
        ("1:3 *= 2", (slice(1, 3),), [[6.0, 8.0, 10.0], [12.0, 14.0, 16.0]]),
        (":, 1 += 1", (slice(None), 1), [2.0, 5.0, 8.0, 11.0]),
        ("2:, pulse = 0", (slice(2, None), 1), [0.0, 0.0]),
    ],
)
def test_only_the_named_places_change(script, place, expected):
    changed = after(script, channels=("ecg", "pulse", "breath"))
    assert changed[place].tolist() == expected
    untouched = torch.ones_like(ARRAY, dtype=torch.bool)
    untouched[place] = False
    assert torch.equal(changed[untouched], ARRAY[untouched])
    assert changed.dtype == ARRAY.dtype


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("4 = 1", "no place 4; this axis has the places 0 to 3"),
        ("0,puls = 1", "no place 'puls'; did you mean 'pulse'"),
        ("0,1,2 = 1", "has 3 parts; the input has 2 axes"),
        ("0 = one", "0 takes a number"),
        ("zero = 1", "write it as"),
        ("0", "cannot read the edit"),
    ],
)
def test_places_that_are_not_there_are_refused(script, said):
    with pytest.raises(UsageError, match=said):
        array_edits(ARRAY, script, ("ecg", "pulse", "breath"))


def test_the_changes_between_two_arrays_are_one_for_each_place_that_differs():
    other = ARRAY.clone()
    other[1, 2], other[3] = -1, 0
    edits = array_changes(ARRAY, other)
    assert [edit.said for edit in edits] == ["another value at 1", "another value at 3"]
    assert torch.equal(edits[1].apply(edits[0].apply(ARRAY)), other)
    assert array_changes(ARRAY, ARRAY.clone()) == ()
    with pytest.raises(UsageError, match="has shape"):
        array_changes(ARRAY, other[:2])


def test_characters_change_for_as_many_others_that_the_model_knows():
    first, second = character_edits("the king", '0 = T; 4:8 = "Kong"', "Theking Ko")
    assert second.apply(first.apply("the king")) == "The Kong"
    assert first.said == "“t” at 0 to “T”"
    for script, said in (("0 = no", "does not fit"), ("0 = ü", "'ü' is not a character"), ("99 = a", "no place 99")):
        with pytest.raises(UsageError, match=said):
            character_edits("the king", script, "no king the a")
