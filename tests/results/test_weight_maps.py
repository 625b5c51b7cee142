"""Weight maps as data and as pictures: every form is saved, told and drawn."""

import pytest
import torch

import pellucid as pl
from pellucid.results.weight_maps import WeightMaps, no_pairs

MAPS = {
    "colour": torch.linspace(-1, 1, 4 * 27).view(4, 3, 3, 3),
    "slices": torch.linspace(-1, 1, 4 * 18).view(4, 2, 3, 3),
    "matrix": torch.linspace(-1, 1, 28).view(4, 7),
    "points": torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]),
}


def made(form="matrix", **changes):
    pairs, cosines = no_pairs()
    fields = {
        "layer": "block.3",
        "kind": "Linear",
        "form": form,
        "maps": MAPS[form],
        "shown": torch.arange(4),
        "measures": {"norm": torch.tensor([1.0, 2.0, 0.0, 4.0])},
        "facts": {"parameters": 28.0},
        "dead": torch.tensor([2]),
        "duplicates": pairs,
        "cosines": cosines,
        "inputs": torch.arange(7),
        "names": ("a", "b", "c", "d"),
        "axes": torch.tensor([0.5, 0.25]) if form == "points" else None,
    }
    return WeightMaps(**(fields | changes))


@pytest.mark.parametrize("form", MAPS)
def test_every_form_is_saved_told_and_drawn(form, tmp_path):
    maps = made(form)
    loaded = pl.Result.load(maps.save(tmp_path / "maps.pellucid"))
    assert torch.equal(loaded.maps, maps.maps)
    assert loaded.summary() == maps.summary()
    assert "1 dead (c)" in maps.summary()
    picture = maps.plot()
    assert len(picture.getcolors(1 << 20)) > 4
    page = maps._repr_html_()
    assert "alt='block.3: all 4" in page
    assert "dead</td>" in page
    assert ("Two axes show 75%" in maps.summary()) is (form == "points")


def test_one_unit_is_drawn_as_its_strongest_weights():
    alone = made(maps=MAPS["matrix"][1:2], shown=torch.tensor([1]))
    assert alone.plot().size != made().plot().size
    assert alone.table() == [{"unit": 1, "name": "b", "norm": 2.0, "dead": False, "like": None}]


def test_a_filter_is_drawn_in_its_own_colours_and_a_dead_one_in_grey():
    red = torch.zeros(2, 3, 3, 3)
    red[0, 0], red[1, 0] = 1.0, 1e-9
    found = made("colour", maps=red, shown=torch.tensor([1, 2]))
    drawn = found.plot().convert("RGB")
    colours = {colour for _, colour in drawn.getcolors(1 << 20)}
    assert (255, 128, 128) in colours
    assert (128, 128, 128) in colours


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"maps": torch.ones(3, 7)}, "are no matrix of 4 units"),
        ({"shown": torch.tensor([0, 1, 2, 9])}, "does not have"),
        ({"names": ("a",)}, "1 names for 4 units"),
        ({"cosines": torch.ones(2)}, "2 cosines for 0 pairs"),
        ({"measures": {"norm": torch.ones(4), "mean": torch.ones(3)}}, "different numbers"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        made(**changes)
