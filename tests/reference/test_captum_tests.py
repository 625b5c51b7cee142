"""Captum's own public tests, asked of our engine under captum's names: each agrees, or differs for a reason that is known."""

import re
import warnings
from pathlib import Path

import pytest
import torch

from guide.test_coming_from import blocks
from pellucid.compat import captum as compat
from reference.captum_cases import ALL, counts
from reference.captum_cases.case import REASONS, Refused, distance

pytestmark = pytest.mark.reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coming-from" / "captum.md"
# The reasons that say that captum raises an error.
REFUSED_BY_CAPTUM = {"called twice", "missing rule", "refused sooner"}
AGREEING = [case for case in ALL if not case.differs]
DIFFERING = [case for case in ALL if case.differs]


def named(case):
    return f"{case.name}: {case.title}"


@pytest.mark.parametrize("case", AGREEING, ids=named)
def test_answers_agree(case):
    assert distance(case.our_answer(), case.right()) <= case.tolerance


@pytest.mark.parametrize("case", DIFFERING, ids=named)
def test_answers_differ_for_the_reason_that_is_named(case):
    ours, theirs = case.our_answer(), case.theirs()
    assert distance(ours, case.right_for_us()) <= case.tolerance
    assert not distance(ours, theirs) <= case.tolerance
    assert isinstance(theirs, Refused) == (case.differs in REFUSED_BY_CAPTUM)


def test_no_two_cases_are_the_same():
    titles = [named(case) for case in ALL]
    assert sorted(titles) == sorted(set(titles))


def test_every_name_is_asked_about_and_every_reason_is_used():
    assert {case.name for case in ALL} == set(compat.__all__)
    assert {case.differs for case in DIFFERING} == set(REASONS)


def test_both_sides_of_the_page_say_the_same():
    names = {}
    for piece in (*blocks("captum", "both"), *blocks("captum", "captum"), *blocks("captum", "Pellucid")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(piece, "captum.md", "exec"), names)
    torch.testing.assert_close(names["ours"], names["theirs"].detach())
    torch.testing.assert_close(names["missing"], names["missed"].detach(), rtol=0, atol=1e-5)
    torch.testing.assert_close(names["map_of_ours"], names["map_of_theirs"].detach())
    assert bool(names["why"].converged.all())


def test_the_page_states_the_counts_and_the_reasons():
    page = PAGE.read_text(encoding="utf-8")
    stated = {
        name: (int(agree), int(differ))
        for name, agree, differ in re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| ", page, re.MULTILINE)
    }
    assert stated == counts()
    agree, differ = len(AGREEING), len(DIFFERING)
    assert f"{agree + differ} cases: {agree} agree, {differ} differ on purpose" in page
    missing = [reason for reason in REASONS.values() if f"| {reason} |" not in page]
    assert missing == []
