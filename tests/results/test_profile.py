"""Profiles as data and as charts."""

import numpy as np
import pytest
import torch

import pellucid as pl
from pellucid.results.profile import Line, Panel, Profile


def line(name="one", values=(1.0, 2.0, 4.0), control=False):
    mean = torch.tensor(values, dtype=torch.float64)
    return Line(name=name, mean=mean, low=mean - 0.5, high=mean + 0.5, control=control)


def made(grid=None, lines=None, **changes):
    lines = (line(), line("chance", (0.0, 0.0, 1.0), control=True)) if lines is None else lines
    panel = Panel(quantity="distance", axis="turned by", places=("a", "b", "c"), lines=lines, grid=grid)
    return Profile(**({"panels": (panel,), "cases": 7, "findings": ("It rises.",)} | changes))


def test_the_table_has_a_row_per_line_and_place():
    rows = made().table()
    assert len(rows) == 6
    assert rows[1] == {
        "quantity": "distance", "axis": "turned by", "at": "b", "line": "one", "mean": 2.0, "low": 1.5, "high": 2.5,
    }  # fmt: skip


@pytest.mark.parametrize("grid", [None, torch.tensor([0.0, 1.0, 5.0])])
def test_a_profile_survives_saving_and_shows_its_lines_in_their_colours(tmp_path, grid):
    profile = made(grid, notes=("Beware.",))
    loaded = pl.Result.load(profile.save(tmp_path / "profile.pellucid"))
    assert isinstance(loaded, Profile)
    assert loaded.table() == profile.table()
    assert loaded.summary() == "It rises.\nBeware."
    pixels = np.asarray(loaded.plot()).reshape(-1, 3)
    for colour in ((0x00, 0x72, 0xB2), (0x8A, 0x8A, 0x8A)):
        assert (np.abs(pixels.astype(int) - colour).max(1) < 12).sum() > 20
    assert "7 examples" in loaded._repr_html_()


def test_lines_without_intervals_and_without_numbers_are_drawn():
    bare = Line(name="bare", mean=torch.tensor([1.0, torch.nan, 1.0]).double())
    assert made(lines=(bare,)).plot().size[0] > 0
    assert "…" not in made(lines=(bare,))._repr_html_().partition("<tbody>")[2]


def test_fields_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match=r"one: \(2,\) numbers for 3 places"):
        made(lines=(line(values=(1.0, 2.0)),))
    with pytest.raises(ValueError, match="no panel"):
        made(panels=())
