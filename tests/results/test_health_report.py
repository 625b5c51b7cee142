"""Health reports as data and as pictures."""

import pytest
import torch

import pellucid as pl
from pellucid.results.health_report import HealthReport, LayerHealth


def layer(**changes):
    fields = {
        "name": "relu",
        "kind": "ReLU",
        "units": 8,
        "silent": torch.tensor([3]),
        "unused": torch.tensor([], dtype=torch.long),
        "saturated": torch.tensor([], dtype=torch.long),
        "duplicates": torch.tensor([[5, 1]]),
        "correlations": torch.tensor([0.999]),
        "without": 0.01,
        "changed": torch.tensor([0.1, 0.05, 0.2]),
        "spare": 4,
        "matched": torch.zeros(0, 2),
    }
    return LayerHealth(**(fields | changes))


def made(**changes):
    fields = {
        "layers": (layer(), layer(name="tanh", spare=None)),
        "examples": 60,
        "without": 0.02,
        "changed": torch.tensor([0.1, 0.05, 0.2]),
        "modules": ("conv", "head"),
        "costs": torch.tensor([[30, 900, 50], [10, 100, 50]]),
        "seconds": {"conv": 0.3, "head": 0.1},
    }
    return HealthReport(**(fields | changes))


def test_the_summary_tells_what_can_go_and_where_the_cost_lies():
    said = made().summary()
    assert "Of 16 units in 2 layers over 60 examples: 2 silent, 0 unused, 2 duplicate, 0 saturated." in said
    assert "Without the 4 that are silent, unused or duplicates" in said
    assert "relu can do without most: 4 of its 8 units" in said
    assert "40 parameters, of which 75% in conv; 1,000 multiply-adds, of which 90% in conv." in said
    assert made().time_share("conv") == pytest.approx(0.75)
    assert made(seconds={}).time_share("conv") is None


def test_it_is_saved_and_drawn(tmp_path):
    found = made()
    loaded = pl.Result.load(found.save(tmp_path / "health.pellucid"))
    assert loaded.table() == found.table()
    assert loaded.layers[0].removable == [3, 5]
    assert len(found.plot().getcolors(1 << 20)) > 5
    page = found._repr_html_()
    assert "5 = 1" in page
    assert "75%" in page


def test_other_networks_stand_beside_by_layer():
    matched = torch.tensor([[0.8, 0.1]])
    found = made(
        layers=(layer(matched=matched), layer(name="tanh", matched=matched)),
        others=("seed-2 1",),
        counts=torch.tensor([[[7, 0, 0, 1], [0, 0, 2, 0]]]),
    )
    assert "Beside seed-2 1: silent units 7 there, 2 here; units matched one to one correlate by" in found.summary()
    page = found._repr_html_()
    assert "<td>seed-2 1</td><td class='n'>7</td>" in page
    assert "0.80 (0.10)" in page
    assert "Beside other networks" not in made()._repr_html_()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"modules": ("conv",)}, "for 1 modules"),
        ({"others": ("seed 2",)}, "counts are"),
        ({"layers": (layer(correlations=torch.ones(2)),)}, "layer 'relu' contradict"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        made(**changes)
