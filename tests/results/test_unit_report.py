"""Unit reports as data: orders, tables, and fields that contradict each other."""

import pytest
import torch

import pellucid as pl
from pellucid.core.subject import Features
from pellucid.results.unit_report import UnitReport


def maps(number):
    features = Features("element", torch.arange(3).expand(number, 3))
    return pl.Attribution(
        scores=torch.ones(number, 3),
        value=torch.ones(number),
        features=features,
        target=torch.zeros(number, dtype=torch.long),
        labels=("cat",),
    )


def made(**changes):
    fields = {
        "layer": "block.3",
        "index": 5,
        "measures": {"relevance": torch.tensor([0.5, 2.0, 1.0, 2.0]), "activation": torch.tensor([9.0, 1.0, 8.0, 8.0])},
        "examples": torch.tensor([1, 3]),
        "maps": maps(2),
    }
    return UnitReport(**(fields | changes))


def test_the_table_ranks_examples_with_every_measure():
    assert made().table() == [
        {"rank": 1, "example": 1, "explains": "cat", "relevance": 2.0, "activation": 1.0},
        {"rank": 2, "example": 3, "explains": "cat", "relevance": 2.0, "activation": 8.0},
    ]
    assert "explains" not in made(maps=None).table()[0]


def test_another_measure_gives_another_order_with_equals_as_in_the_data():
    assert made().strongest("activation").tolist() == [0, 2]


def test_the_summary_tells_how_far_the_orders_agree_and_which_channels_lead():
    said = made(channels=torch.tensor([1.0, 5.0, 3.0])).summary().split("\n")
    assert said[0] == "channel 5 of block.3: of 4 examples, relevance is largest for 1 (2), 3 (2)"
    assert said[1] == "Of these 2, 0 are among those of largest activation."
    assert said[2].endswith("is largest for 1 (5), 2 (3), 0 (1).")
    assert made(index=(5, 0, 1)).unit == "unit (5, 0, 1) of block.3"


def test_a_report_survives_saving_and_loading(tmp_path):
    report = made(regions=torch.tensor([[0, 0, 4, 4], [1, 1, 2, 3]]), index=(5, 0, 1))
    loaded = pl.Result.load(report.save(tmp_path / "unit.pellucid"))
    assert isinstance(loaded, UnitReport)
    assert loaded.table() == report.table()
    assert loaded.index == (5, 0, 1)
    assert torch.equal(loaded.maps.scores, report.maps.scores)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"measures": {"one": torch.ones(4), "other": torch.ones(3)}}, "measures are of"),
        ({"examples": torch.tensor([1, 4])}, "outside the data"),
        ({"examples": torch.tensor([-1, 1])}, "outside the data"),
        ({"maps": maps(3)}, "3 maps for 2 examples"),
        ({"regions": torch.zeros(2, 3)}, "regions are"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        made(**changes)
