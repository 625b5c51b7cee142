"""Reconstructions as data: words beside how far other codes are, tables, pictures, and contradictions."""

import numpy as np
import pytest
import torch

import pellucid as pl


def made(**changes):
    fields = {
        "layer": "blocks.4",
        "images": torch.rand(2, 3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1,
        "error": torch.tensor([[0.03, 0.01, 0.02], [0.05, 0.05, 0.05]]).double(),
        "strength": torch.full((2, 3), 0.9).double(),
        "correlation": torch.tensor([[0.1, 0.7, 0.2], [0.3, 0.2, 0.1]]).double(),
        "agreement": torch.tensor([0.4, 0.5]).double(),
        "apart": torch.tensor([[0.0, 1.5], [1.2, 0.0]]).double(),
        "low": torch.full((3, 1, 1), -1.0),
        "high": torch.full((3, 1, 1), 1.0),
    }
    return pl.Reconstructions(**(fields | changes))


def test_words_set_the_error_beside_how_far_other_codes_are():
    first, second = made().summary().split("\n")
    assert first == (
        "Example 0 from its code at blocks.4: 3 reconstructions miss 1.0% to 3.0% of the code; the nearest code of another "
        "example misses 150%. The best one correlates 0.70 with the example, and the reconstructions 0.40 with each other."
    )
    assert "miss 5.0% of the code; the nearest code of another example misses 120%" in second


def test_one_example_from_one_start_has_nothing_to_compare_with():
    alone = made(
        images=torch.rand(1, 1, 5),
        error=torch.tensor([[0.25]]).double(),
        strength=torch.ones(1, 1),
        correlation=torch.ones(1, 1),
        agreement=torch.tensor([torch.nan]),
        apart=torch.zeros(1, 1),
        low=None,
        high=None,
    )
    assert alone.nearest.isnan().all()
    assert alone.summary().endswith(
        "the reconstruction misses 25.0% of the code. The best one correlates 1.00 with the example."
    )
    assert alone.plot().width > 300
    assert "no other" in alone._repr_html_()


def test_the_table_has_a_row_per_start():
    table = made().table()
    assert [(row["example"], row["start"]) for row in table] == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
    assert table[1]["error"] == pytest.approx(0.01)
    assert table[4]["nearest other example"] == pytest.approx(1.2)


def test_reconstructions_survive_saving_and_loading(tmp_path):
    loaded = pl.Result.load(made().save(tmp_path / "code.pellucid"))
    assert loaded.summary() == made().summary()
    assert torch.equal(loaded.images, made().images)
    assert np.asarray(loaded.plot()).shape == np.asarray(made().plot()).shape


def test_the_sheet_has_a_row_per_start_in_the_colours_of_the_images():
    result = made(images=torch.stack([torch.full((3, 3, 8, 8), value) for value in (-1.0, 0.5)]))
    sheet = np.asarray(result.plot())
    assert sheet.shape[0] > 3 * 128
    assert (sheet[34 + 64, 120 + 64] == 0).all()
    assert (sheet[34 + 64, 120 + 136 + 64] == 191).all()
    assert "Made from" not in result._repr_html_()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"error": torch.zeros(2, 2)}, "error is"),
        ({"agreement": torch.zeros(3)}, "not of 2 examples"),
        ({"apart": torch.zeros(2, 3)}, "not of 2 examples"),
        ({"high": None}, "both sides or on none"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        made(**changes)
