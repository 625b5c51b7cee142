"""Unit pages: what is said first, and that files and pictures of them hold everything."""

import dataclasses

import pytest
import torch

import pellucid as pl
from pellucid.core.errors import BadInput
from pellucid.results.unit_page import Histogram, UnitExample, UnitPage


def pictures(activations):
    return pl.FeatureImages(
        images=torch.linspace(0, 1, 3 * 3 * 16).view(3, 3, 4, 4),
        units=("blocks.1/2",) * 3,
        captions=("start 2", "start 1", "start 3"),
        activations=torch.tensor(activations, dtype=torch.float64),
        evidence={"high-frequency share": torch.tensor([0.5, 0.1, 0.4], dtype=torch.float64)},
    )


@pytest.fixture
def page():
    bins = Histogram(counts=torch.tensor([3.0, 1.0]), edges=torch.tensor([0.0, 1.0, 2.0]))
    return UnitPage(
        subject="net",
        layer="blocks.1",
        kind="Conv2d",
        channel=2,
        channels=5,
        extent=(4, 4),
        pictures=pictures([6.0, 5.0, 4.0]),
        nearest=("cat", "dog", "cat"),
        examples=(
            UnitExample(name="a <cat>", activation=2.0, place=(2, 1, 1), words="a warm film", span=(2, 6)),
            UnitExample(name="dog", activation=1.5, place=(2, 0, 3)),
        ),
        statistics={"mean": 0.5, "share of zeros": 0.25, "maximum": 2.0},
        values=bins,
        strongest=bins,
        similar=((4, 0.999), (0, -0.1)),
        examples_seen=7,
        failed={"broken.png": "not a picture"},
        key="abc",
    )


def test_what_is_said_first_is_what_the_numbers_say(page):
    said = " ".join(page.statements())
    assert "Of 7 examples it responds most to a <cat> (2), and is zero at 25% of all places." in said
    assert "excites it 3 times as much as the best example" in said
    assert "2 of 3 pictures are mostly fine texture" in said
    assert "nearly the same as channel 4 " in said


def test_few_examples_are_no_evidence_that_two_channels_are_alike(page):
    def twins(correlation, examples):
        changed = dataclasses.replace(page, similar=((4, correlation),), examples_seen=examples)
        return "nearly the same" in " ".join(changed.statements())

    # The interval of 0.97 begins at 0.956 over 100 examples and at 0.937 over 30; over three there is none.
    assert [twins(0.97, examples) for examples in (100, 30, 3)] == [True, False, False]
    assert twins(1.0, 4)


def test_a_silent_unit_that_can_be_woken_is_told_from_one_that_cannot(page):
    silent = dataclasses.replace(page, constant=True, statistics={"maximum": 0.0}, similar=())
    assert silent.dead
    assert "A picture made for it does excite it (6)." in silent.statements()
    asleep = dataclasses.replace(silent, pictures=pictures([0.0, 0.0, 0.0]))
    assert "None of the pictures made for it excites it either." in asleep.statements()


def test_a_page_survives_its_file_and_looks_the_same(page, tmp_path):
    loaded = pl.Result.load(page.save(tmp_path / "2.pellucid"))
    assert loaded.table() == page.table()
    assert loaded.summary() == page.summary()
    assert loaded._repr_html_() == page._repr_html_()
    assert torch.equal(loaded.pictures.images, page.pictures.images)


def test_the_page_holds_each_thing_once_and_escapes_what_data_are_called(page):
    shown = page._repr_html_()
    assert "<script" not in shown
    assert "a <cat>" not in shown
    assert shown.count("A picture made to excite") == 3
    assert "a <mark>warm</mark> film" in shown
    assert "1 of the data could not be read and is left out: broken.png: not a picture" in shown
    assert "3 × the best example" in shown


def test_the_picture_has_a_tile_for_each_picture_and_example(page):
    three, five = dataclasses.replace(page, examples=()).plot(), page.plot()
    assert five.width > three.width
    assert five.height == three.height


def test_fields_that_contradict_each_other_are_refused(page, tmp_path):
    with pytest.raises(ValueError, match="channel 9 of 5"):
        dataclasses.replace(page, channel=9)
    with pytest.raises(ValueError, match="1 nearest"):
        dataclasses.replace(page, nearest=("cat",))
    path = page.save(tmp_path / "2.pellucid")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BadInput):
        UnitPage.load(path)
