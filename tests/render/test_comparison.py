"""Comparisons as pictures and pages: a square for every pair, every measure in the table, nothing from elsewhere."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.methods import CompareExplanations, InputXGradient, Lime, Occlusion


@pytest.fixture(scope="module")
def found():
    subject = pl.load("wine-mlp")
    rows = [subject.task.row(row) for row in subject.task.reference[:12]]
    asked = pl.Decision(rows)
    answers = [InputXGradient()(subject, asked), Occlusion()(subject, asked), Lime(samples=40)(subject, asked)]
    return CompareExplanations()(subject, pl.Judgement(answers))


def test_the_picture_has_a_coloured_square_for_every_pair_and_none_for_a_method_with_itself(found):
    picture = np.asarray(found.plot().convert("RGB")).astype(int)
    corners = [[picture[60 + 76 * row + 6, 220 + 76 * column + 6] for column in range(3)] for row in range(3)]
    for row in range(3):
        for column in range(3):
            grey = len(set(corners[row][column].tolist())) == 1
            assert grey == (row == column)
    assert (corners[0][1] == corners[1][0]).all()


def test_another_measure_gives_another_picture(found):
    first, other = found.plot(), found.plot(measure="moved score")
    assert np.asarray(first).tobytes() != np.asarray(other).tobytes()


def test_the_page_shows_every_measure_with_its_verdict_and_loads_nothing(found):
    page = found._repr_html_()
    assert "http" not in page
    assert "<script" not in page
    assert page.count("beyond chance") + page.count("as by chance") == len(found.table()) == 24
    assert all(name in page for name in (*found.names, *found.measures[:1], found.protocol[:30]))
    assert "Agreement" in page or "agree" in page
