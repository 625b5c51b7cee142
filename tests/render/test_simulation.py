"""Simulations as pictures and pages: every reader and arm, marked answers, nothing from elsewhere."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.methods.attribution.input_x_gradient import InputXGradient
from pellucid.metrics.forward_simulation import ForwardSimulation


@pytest.fixture(scope="module")
def found():
    subject = pl.load("wine-mlp")
    rows = [subject.task.row(row) for row in subject.task.reference[:40]]
    return ForwardSimulation()(subject, pl.Judgement([InputXGradient()(subject, pl.Decision(rows))]))


def test_the_picture_has_a_line_for_every_reader_and_arm(found):
    picture = found.plot()
    ink = (np.asarray(picture.convert("L")) < 120).any(1)[40 : picture.height - 30]
    lines = int((np.diff(ink.astype(int)) == 1).sum())
    assert len(found.table()) == 10
    assert lines >= 10


def test_the_page_shows_verdicts_readers_and_every_question_and_loads_nothing(found):
    page = found._repr_html_()
    assert "http" not in page
    assert "<script" not in page
    assert page.count("not a person") == 5
    assert page.count("<td>example") == len(found.questions)
    assert "✗" in page
    assert "✓" in page
    assert all(word in page for word in ("no difference shown", "input-x-gradient", found.protocol[:20]))
