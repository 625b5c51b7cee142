"""Evolutions as data: jumps, when a unit settles, and fields that contradict each other."""

import pytest
import torch

import pellucid as pl
from pellucid.results.evolution import Evolution


def made(**changes):
    fields = {
        "layer": "block.3",
        "index": 5,
        "checkpoints": ("one", "two", "three", "four"),
        "examples": torch.tensor([[4, 1], [2, 4], [2, 3], [2, 3]]),
        "values": torch.tensor([[1.0, 0.5], [2.0, 1.0], [3.0, 2.5], [4.0, 3.0]]),
        "overlap": torch.tensor([0.0, 0.5, 1.0, 1.0]),
        "names": ("e", "c", "c", "c"),
    }
    return Evolution(**(fields | changes))


def test_a_jump_is_another_strongest_example_and_the_last_one_is_where_it_settles():
    assert made().jumps.tolist() == [False, True, False, False]
    assert made().settled() == 1
    assert made(examples=torch.tensor([[4, 1]] * 4)).settled() == 0
    assert made().table()[1] == {
        "checkpoint": "two", "strongest": "c", "example": 2, "activation": 2.0, "overlap": 0.5, "jump": True,
    }  # fmt: skip
    assert made().summary().split("\n") == [
        "channel 5 of block.3 over 4 checkpoints: the strongest example jumps to another at two.",
        "It stays from two on; the strongest activation goes from 1 to 4.",
        "Of the last 2 strongest examples 0% are among those of one.",
    ]


def test_an_evolution_survives_saving_and_loading(tmp_path):
    report = made(regions=torch.zeros(4, 4, dtype=torch.long), index=(5, 0, 1))
    loaded = pl.Result.load(report.save(tmp_path / "unit.pellucid"))
    assert isinstance(loaded, Evolution)
    assert loaded.table() == report.table()
    assert loaded.unit == "unit (5, 0, 1) of block.3"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"names": ("e",)}, "names are of 1 checkpoints, of 4"),
        ({"values": torch.zeros(4, 3)}, "examples are"),
        ({"regions": torch.zeros(3, 4)}, "regions are"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        made(**changes)
