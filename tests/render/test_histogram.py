"""Histograms: heights by the logarithm of the counts, and marks that are never cut off."""

import re

import pytest

from pellucid.render.charts import histogram


def heights(chart):
    return [float(height) for height in re.findall(r"<rect [^>]*height='([\d.]+)'", chart)]


def test_heights_are_logarithms_and_what_never_occurs_has_no_bar():
    tallest, half = heights(histogram([3.0, 0.0, 1.0], [0.0, 1.0, 2.0, 3.0], "values"))
    assert half == pytest.approx(tallest / 2, abs=0.1)  # log 2 is half of log 4


def test_the_scale_reaches_to_a_mark_beyond_the_bars():
    plain, marked = (histogram([1.0], [0.0, 1.0], "values", marks) for marks in ((), ((4.0, "best <one>"),)))
    wide, narrow = (
        float(re.search(r"<rect x='[\d.]+' y='[\d.]+' width='([\d.]+)'", chart)[1]) for chart in (plain, marked)
    )
    assert narrow + 0.5 == pytest.approx((wide + 0.5) / 4, abs=0.1)
    assert "best &lt;one&gt;" in marked


def test_one_value_alone_can_be_drawn():
    assert len(heights(histogram([5.0, 0.0], [2.0, 2.0, 2.0], "values"))) == 1
