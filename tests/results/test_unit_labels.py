"""Unit labels as data and as pictures."""

import pytest
import torch

import pellucid as pl
from pellucid.results.unit_labels import UnitLabels


def made(**changes):
    fields = {
        "layer": "block",
        "units": torch.tensor([4, 7, 9]),
        "concepts": ("sky", "sea"),
        "ratios": torch.tensor([[0.01, 0.02], [0.3, 0.1], [0.05, 0.06]], dtype=torch.float64),
        "thresholds": torch.ones(3),
        "p_values": torch.tensor([1.0, 0.01, 0.4], dtype=torch.float64),
        "false_discovery": torch.tensor([1.0, 0.02, 0.4], dtype=torch.float64),
        "least": 0.04,
        "areas": torch.tensor([0.3, 0.2]),
        "peaks": torch.rand(2, 3),
        "names": ("example #0", "example #1"),
        "shown": torch.tensor([1]),
        "examples": torch.tensor([[1, 0]]),
        "maps": torch.ones(1, 2, 4, 4, dtype=torch.bool),
    }
    return UnitLabels(**(fields | changes))


def test_labels_that_chance_gives_as_well_do_not_stand():
    found = made()
    assert found.labelled() == [1, 2]
    assert [found.stands(place) for place in range(3)] == [False, True, False]
    assert "2 of 3 units of block overlap" in found.summary()
    assert (
        "1 labels, of 1 concepts, are better than by chance (false discovery below 5%): 7 sky (0.30)."
        in found.summary()
    )
    first, second, third = found.table()
    assert (first["unit"], first["label"], first["p"]) == (7, "sky", 0.01)
    assert (second["unit"], second["label"]) == (9, "sea")
    assert (third["unit"], third["label"], third["p"], third["best"]) == (4, None, None, "sea")


def test_they_are_saved_and_drawn_with_and_without_pictures(tmp_path):
    found = made().asked(pl.Unit("block", data=torch.rand(2, 3, 8, 8)))
    loaded = pl.Result.load(found.save(tmp_path / "labels.pellucid"))
    assert loaded.table() == found.table()
    assert found.plot().size != loaded.plot().size
    page = found._repr_html_()
    assert "<td>sky</td>" in page
    assert "sky 30.0%, sea 20.0%" in page


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"concepts": ("sky",)}, "3 units and 1 concepts"),
        ({"thresholds": torch.ones(2)}, "thresholds are of 2 units"),
        ({"names": ("0",)}, "for 1 examples"),
        ({"maps": torch.ones(1, 3, 4, 4)}, "maps of"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        made(**changes)
