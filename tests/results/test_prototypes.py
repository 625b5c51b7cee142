"""Prototypes as data, as a picture of text, and fields that contradict each other."""

import pytest
import torch

import pellucid as pl
from pellucid.results.prototypes import PrototypeSet


def made(**changes):
    fields = {
        "layer": "pool",
        "choice": "mmd",
        "names": ("example #0", "example #1", "example #2"),
        "groups": ("dull", "great"),
        "prototypes": (torch.tensor([0]), torch.tensor([2])),
        "criticisms": (torch.tensor([1]), torch.tensor([], dtype=torch.long)),
        "group": torch.tensor([0, 0, 1]),
        "confidence": torch.tensor([0.9, 0.6, 0.8]),
        "discrepancy": torch.tensor([0.1, 0.0]),
        "distance": torch.tensor([1.0, 0.0]),
        "random_discrepancy": torch.tensor([[0.3, 0.2, 0.4]] * 2),
        "random_distance": torch.tensor([[2.0, 1.0, 3.0]] * 2),
        "widths": torch.ones(2),
    }
    return PrototypeSet(**(fields | changes))


def test_it_is_told_saved_and_drawn(tmp_path):
    found = made().asked(pl.Unit(data=["A dull film.", "Nothing happens.", "Great fun <3"]))
    assert found.table()[1] == {
        "group": "dull",
        "role": "criticism",
        "rank": 1,
        "example": "#1",
        "confidence": pytest.approx(0.6),
        "discrepancy": pytest.approx(0.1),
        "by chance": pytest.approx(0.3),
    }
    assert (
        "dull: examples #0 stand for 2; discrepancy 0.1 (random choices 0.3, 95 % of them 0.2 to 0.4)"
        in found.summary()
    )
    loaded = pl.Result.load(found.save(tmp_path / "prototypes.pellucid"))
    assert loaded.summary() == found.summary()
    assert found.plot().height > loaded.plot().height - 1
    assert "Great fun &lt;3" in found._repr_html_()
    assert "Great fun" not in loaded._repr_html_()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"groups": ("one",)}, "of 2 groups, not 1"),
        ({"group": torch.tensor([0, 0])}, "confidences for"),
        ({"prototypes": (torch.tensor([2]), torch.tensor([2]))}, "a prototype of 'dull' is not in that group"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        made(**changes)
