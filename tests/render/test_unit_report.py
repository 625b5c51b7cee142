"""The sheet and the page of a unit: each example with its map, the frame of its region, and the other order beside."""

import dataclasses

import numpy as np
import torch

import pellucid as pl
from pellucid.core.subject import Features, Inputs, Origin
from pellucid.tasks.image import Image


def of_pictures(number=3, side=40):
    task = Image(side, mean=(0.0,), deviation=(1.0,))
    given = task.prepare(torch.full((number, 1, side, side), 0.8))
    scores = torch.zeros(number, 1, side, side)
    scores[:, :, 10:20, 20:30] = 1
    pixels = torch.arange(side * side).view(1, 1, side, side).expand(number, 1, side, side)
    maps = pl.Attribution(
        scores=scores, value=torch.ones(number), features=Features("pixel", pixels), query=pl.Decision(given)
    )
    return pl.UnitReport(
        layer="block.3",
        index=5,
        measures={"relevance": torch.tensor([3.0, 2.0, 1.0]), "activation": torch.tensor([1.0, 2.0, 3.0])},
        examples=torch.arange(number),
        maps=maps,
        regions=torch.tensor([[8, 16, 24, 36]] * number),
        query=pl.Unit("block.3", 5, data=given),
    )


def test_the_sheet_shows_a_tile_with_its_map_and_a_frame_for_each_example():
    framed, plain = of_pictures(), dataclasses.replace(of_pictures(), regions=None)
    sheet, without = (np.asarray(report.plot()).astype(int) for report in (framed, plain))
    assert sheet.shape == without.shape
    assert sheet.shape[1] > 3 * 200
    assert ((sheet[:, :, 0] - sheet[:, :, 2]) > 60).any()
    changed = (sheet != without).any(2)
    # Tiles are as large as their pictures: three frames of 16 × 20 pixels, two wide.
    assert changed.sum() == 3 * (2 * 2 * 20 + 2 * 2 * 12)
    assert (sheet[changed].sum(1) < 90).all()


def test_the_page_shows_both_orders_and_names_the_unit():
    page = of_pictures()._repr_html_()
    assert "channel 5 of block.3" in page
    assert page.count("<img") == 6
    assert "examples of largest activation" in page
    assert "its region framed" in page
    numbers = [page.index(f"<figcaption>{number}: ") for number in (2, 1, 0)]
    assert numbers == sorted(numbers)


def test_a_loaded_report_without_its_pictures_still_shows_the_maps(tmp_path):
    loaded = pl.Result.load(of_pictures().save(tmp_path / "unit.pellucid"))
    assert loaded._repr_html_().count("<img") == 3
    assert loaded.plot().size[0] > 600


def test_texts_are_shown_with_their_words():
    texts = ("good film", "bad <film>")
    given = Inputs({"embeddings": torch.ones(2, 2, 3)}, "embeddings", None, tuple(Origin(text, text) for text in texts))
    labels, spans = tuple(tuple(text.split()) for text in texts[::-1]), (((0, 3), (4, 10)), ((0, 4), (5, 9)))
    features = Features("word", torch.arange(2).view(1, 2, 1).expand(2, 2, 1), labels, spans)
    maps = pl.Attribution(
        scores=torch.ones(2, 2, 3),
        value=torch.ones(2),
        features=features,
        query=pl.Decision(given.rows(torch.tensor([1, 0]))),
    )
    report = pl.UnitReport(
        layer="layer.1",
        index=7,
        measures={"relevance": torch.tensor([1.0, 2.0])},
        examples=torch.tensor([1, 0]),
        maps=maps,
        query=pl.Unit("layer.1", 7, data=list(texts)),
    )
    page = report._repr_html_()
    assert page.index("&lt;film&gt;") < page.index(">film<")
    assert np.asarray(report.plot()).shape[0] > 60
