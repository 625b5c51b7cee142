"""Edits of texts: whole words in every place or in one, and the differences of two texts one by one."""

import itertools
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.tasks.text_edits import text_changes, text_edits

TEXT = "This was a bad film, truly bad, and badly lit."


def after(edits, text=TEXT):
    return reduce(lambda raw, edit: edit.apply(raw), edits, text)


@pytest.mark.parametrize(
    ("script", "expected", "said"),
    [
        (
            "replace bad with good",
            "This was a good film, truly good, and badly lit.",
            "replace “bad” with “good” (2 places)",
        ),
        (
            'replace "bad"#2 -> "quite good"',
            "This was a bad film, truly quite good, and badly lit.",
            "replace “bad” with “quite good” (place 2 of 2)",
        ),
        ("delete truly", "This was a bad film, bad, and badly lit.", "delete “truly”"),
        ('delete "a bad film,"', "This was truly bad, and badly lit.", "delete “a bad film,”"),
        ("delete this", "was a bad film, truly bad, and badly lit.", "delete “this”"),
        (
            "insert not before bad#1",
            "This was a not bad film, truly bad, and badly lit.",
            "insert “not” before “bad” (place 1 of 2)",
        ),
        (
            "insert very after truly",
            "This was a bad film, truly very bad, and badly lit.",
            "insert “very” after “truly”",
        ),
        ("insert “I say:” at start", f"I say: {TEXT}", "insert “I say:” at the start"),
        ("insert Ouch! at end", f"{TEXT} Ouch!", "insert “Ouch!” at the end"),
    ],
)
def test_an_edit_means_whole_words_and_says_what_it_does(script, expected, said):
    (edit,) = text_edits(TEXT, script)
    assert after([edit]) == expected
    assert edit.said == said


def test_capitals_count_only_where_the_text_has_both():
    assert after(text_edits("Bad, bad", "replace bad with good"), "Bad, bad") == "Bad, good"
    assert after(text_edits("Bad, Bad", "replace bad with good"), "Bad, Bad") == "good, good"


def test_an_edit_sees_what_those_before_it_have_made_and_does_nothing_where_they_were_left_out():
    first, second = text_edits(TEXT, 'replace lit with "lit, alas"; delete alas')
    assert after([first, second]) == "This was a bad film, truly bad, and badly lit,."
    assert after([second]) == TEXT


def test_what_is_replaced_may_hold_signs_of_patterns():
    assert after(text_edits("a (b) c", r'replace "(b)" with "\1 {}"'), "a (b) c") == r"a \1 {} c"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("replace baad with good", "no 'baad'; did you mean 'bad'"),
        ("delete bad#3", "has 'bad' 2 times; there is no bad#3"),
        ("replace bad good", "write replace A with B"),
        ("insert not near bad", "insert A before B"),
        ("remove bad", "there is no edit 'remove'"),
    ],
)
def test_what_the_text_does_not_have_is_refused_with_the_nearest(script, said):
    with pytest.raises(UsageError, match=said):
        text_edits(TEXT, script)


SENTENCES = st.lists(st.sampled_from(["bad", "good", "film", "a", "the", ",", "."]), max_size=9).map(" ".join)


@given(SENTENCES, SENTENCES)
def test_all_changes_between_two_texts_make_the_other_one(old, new):
    edits = text_changes(old, new)
    assert after(edits, old) == new
    assert bool(edits) == (old != new)


def test_every_part_of_the_changes_can_be_made_without_the_others():
    old, new = "a dull film with a bad end", "a good film with an end"
    edits = text_changes(old, new)
    assert [edit.said for edit in edits] == ["replace “a bad” with “an”", "replace “dull” with “good”"]
    made = {after(chosen, old) for size in range(3) for chosen in itertools.combinations(edits, size)}
    assert made == {old, new, "a good film with a bad end", "a dull film with an end"}
