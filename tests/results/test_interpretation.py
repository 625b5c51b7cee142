"""Interpretations as data: the context is part of what is said, and of what is kept."""

import dataclasses

import pytest
import torch

import pellucid as pl
from pellucid.core.content import digest

CONTEXT = pl.Context("decide", "auditor", "Is it so?", minutes=1)


def made(**changes):
    fields = {
        "context": CONTEXT,
        "outcome": "decision-quality",
        "about_what": "ward and rows",
        "readers": ("expecting",),
        "about": ("a simulated reader",),
        "arms": ("control", "lime"),
        "choices": ("follow", "do not"),
        "questions": ("example 3", "example 1"),
        "truth": torch.tensor([0, 1]),
        "predicted": torch.tensor([[[0, 0], [0, 1]]]),
        "accuracy": torch.tensor([[0.5, 1.0]]),
        "interval": torch.tensor([[[0.1, 0.9], [0.3, 1.0]]]),
        "difference": torch.tensor([[0.5]]),
        "difference_interval": torch.tensor([[[-0.4, 0.8]]]),
        "studied": 0,
    }
    return pl.Interpretation(**(fields | changes))


def test_the_summary_begins_with_the_context():
    first, second = made().summary().split("\n")
    assert first == "In the context: decide (auditor, within 1 minute a question; asked: Is it so?)"
    assert second.startswith("expecting: decides right in 1 of 2 (50%, 10% to 90%) without explanations and 2 of 2")


def test_each_row_names_its_outcome_and_each_question_what_is_right():
    assert {row["outcome"] for row in made().table()} == {"decision-quality"}
    assert made().by_question()[1]["what is right"] == "do not"


def test_another_context_is_another_score():
    other = dataclasses.replace(made(), context=dataclasses.replace(CONTEXT, minutes=2))
    assert digest(other) != digest(made())


def test_an_outcome_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="no outcome 'beauty'"):
        made(outcome="beauty")


def test_the_page_says_the_context_and_marks_answers():
    page = made()._repr_html_()
    assert "In the context: decide (auditor" in page
    assert "Right in this context" in page
    assert "✗ follow" in page
    assert "✓ do not" in page
    assert "predict" not in page.casefold()
