"""The language of edits: what separates statements, what quotes protect, and what is refused with the nearest word."""

import pytest

from pellucid.core.errors import UsageError
from pellucid.tasks.editing import assignment, statements, unquoted, verb, words


def test_statements_are_apart_by_semicolons_and_lines_but_not_within_quotes():
    assert statements('a; b "c; d"\n e;;') == ["a", 'b "c; d"', "e"]
    assert statements("a “b; c”; d") == ["a “b; c”", "d"]
    assert statements("a = 1, b = 2", ";,\n") == ["a = 1", "b = 2"]


def test_what_is_quoted_is_one_word():
    assert words('replace "very bad" with “quite good”') == ["replace", '"very bad"', "with", "“quite good”"]
    assert unquoted('"very bad"') == "very bad"
    assert unquoted("bad") == "bad"


@pytest.mark.parametrize(
    ("statement", "place", "sign", "value", "after"),
    [
        ("age = 35", "age", "=", "35", 35),
        ("age=35", "age", "=", "35", 35),
        ("hours per week += 5", "hours per week", "+=", "5", 15),
        ("a -= .5", "a", "-=", ".5", 9.5),
        ("a *= 2", "a", "*=", "2", 20),
        ('"a = b" = 3', "a = b", "=", "3", 3),
        ("a = -3", "a", "=", "-3", -3),
    ],
)
def test_an_assignment_has_a_place_a_sign_and_a_value(statement, place, sign, value, after):
    found = assignment(statement, "x = 1")
    assert (found.place, found.sign, found.value) == (place, sign, value)
    assert found.number(10) == after


@pytest.mark.parametrize("script", ["", "  ;\n", '"open', "“open"])
def test_an_empty_or_open_script_is_refused(script):
    with pytest.raises(UsageError, match="empty|does not close"):
        statements(script)


def test_what_is_no_assignment_is_shown_how_to_write_one():
    with pytest.raises(UsageError, match="write it as age = 3"):
        assignment("older", "age = 3")
    with pytest.raises(UsageError, match="a takes a number, not 'old'"):
        assignment("a = old", "").number(1)


def test_an_unknown_verb_is_answered_with_the_nearest():
    assert verb("Delete bad", ("delete", "insert")) == ("delete", ["bad"])
    with pytest.raises(UsageError, match="no edit 'delte'; did you mean 'delete'"):
        verb("delte bad", ("delete", "insert"))
