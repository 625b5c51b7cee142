"""Changes as pictures and pages: both inputs and answers, escaped, without anything from elsewhere."""

import numpy as np
import pytest
from PIL import Image

import pellucid as pl
from pellucid.methods.attribution.input_x_gradient import InputXGradient
from pellucid.methods.response.what_if import WhatIf
from pellucid.render.change import AFTER, BEFORE, marked


@pytest.fixture(scope="module")
def row():
    subject = pl.load("wine-mlp")
    raw = subject.task.row(subject.task.reference[0])
    return WhatIf(edit="alcohol = 12; proline = 500", explain=InputXGradient())(subject, pl.Decision(raw))


@pytest.fixture(scope="module")
def text():
    return WhatIf(edit="replace bad with good")(pl.load("lstm-sentiment"), pl.Decision("a <b>bad</b> film"))


@pytest.fixture(scope="module")
def picture():
    pixels = np.tile(np.linspace(0, 255, 8, dtype=np.uint8), (8, 1))
    return WhatIf(edit="box 0,0,4,4 white; flip")(pl.load("digits-cnn"), pl.Decision(Image.fromarray(pixels)))


def rgb(colour):
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))


def test_every_kind_has_a_picture_with_both_answers(row, text, picture):
    for change in (row, text, picture):
        pixels = np.asarray(change.plot()).reshape(-1, 3)
        assert {rgb(BEFORE), rgb(AFTER)} <= set(map(tuple, pixels.tolist()))
    assert picture.plot().height > row.plot().height


def test_pages_load_nothing_and_show_what_changed(row, text, picture):
    pages = [change._repr_html_() for change in (row, text, picture)]
    for page in pages:
        assert "http" not in page
        assert "<script" not in page
    assert pages[0].count("class=changed") == 2
    assert "Why, by" in pages[0]
    assert "<del>bad</del> <ins>good</ins>" in pages[1]
    assert "<b>bad" not in pages[1]
    assert pages[2].count("<img") == 2


def test_texts_are_marked_where_they_differ():
    assert marked("a bad film", "a film") == "a <del>bad </del>film"
    assert marked("a & b", "a & c") == "a &amp; <del>b</del> <ins>c</ins>"


def test_a_loaded_change_says_that_inputs_were_not_kept(text, tmp_path):
    loaded = pl.Result.load(text.save(tmp_path / "change.pellucid"))
    assert "not kept" in loaded._repr_html_()
    assert loaded.plot().size == text.plot().size
