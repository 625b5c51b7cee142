"""Coloured running text keeps every character and can be read without colour."""

import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from pellucid.render.tokens import coloured_text


@given(st.text(min_size=1, max_size=40), st.data())
def test_no_character_is_lost_or_changed(text, data):
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), min_size=2, max_size=8)) | {0, len(text)})
    spans = list(zip(cuts[:-1:2], cuts[1::2], strict=False))
    scores = data.draw(st.lists(st.floats(-1, 1), min_size=len(spans), max_size=len(spans)))
    assert unescape(re.sub(r"<[^>]*>", "", coloured_text(text, spans, scores))) == text


def test_the_sign_is_marked_by_a_line_as_well_as_by_colour():
    page = coloured_text("good bad", [(0, 4), (5, 8)], [1.0, -1.0])
    assert "border-top:2px solid' title='+1'>good" in page
    assert "border-bottom:2px dotted' title='-1'>bad" in page


def test_markup_in_the_text_is_escaped():
    assert "<b>" not in coloured_text("<b>", [(0, 3)], [1.0])
