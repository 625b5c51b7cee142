"""Interactions as data: what contradicts itself is refused, and rows and words say what the matrix says."""

import pytest
import torch

import pellucid as pl
from pellucid.core.subject import Features


def interactions(**changes):
    matrix = torch.tensor(
        [[[1.0, 0.5, -2.0], [0.5, 0.0, 0.0], [-2.0, 0.0, 3.0]], [[4.0, 1.0, 0.0], [1.0, 5.0, 0.0], [0, 0, 0]]]
    )
    fields = {
        "matrix": matrix,
        "half_width": torch.full((2, 3, 3), 0.25),
        "value": torch.tensor([3.0, 10.0]),
        "baseline": torch.tensor([0.5, 0.0]),
        "residual": torch.zeros(2),
        "features": Features("word", torch.tensor([[0, 1, 2], [0, 1, -1]]), (("not", "a", "good"), ("good", "film"))),
        "index": "fsii",
        "target": torch.tensor([1, 0]),
        "labels": ("bad", "fine"),
    }
    return pl.Interactions(**fields | changes)


def test_rows_are_features_on_their_own_and_then_pairs_the_strongest_first():
    rows = interactions().table()
    told = [(row["feature"], row["with"], row["score"]) for row in rows if row["example"] == 0]
    assert told == [
        ("not", "", 1),
        ("a", "", 0),
        ("good", "", 3),
        ("not", "good", -2),
        ("not", "a", 0.5),
        ("a", "good", 0),
    ]
    assert rows[3]["low"] == -2.25
    assert rows[3]["high"] == -1.75
    assert [row["score"] for row in rows if row["example"] == 1] == [4, 5, 1]


def test_words_name_the_pairs_that_do_most_together():
    assert interactions().summary().splitlines() == [
        "fine (value 3): strongest together not with good (-2 ± 0.25), not with a (+0.5 ± 0.25), a with good (+0 ± 0.25)",
        "bad (value 10): strongest together good with film (+1 ± 0.25)",
    ]


def test_a_matrix_of_an_example_has_as_many_rows_as_it_has_features():
    assert interactions().of(0).shape == (3, 3)
    assert interactions().of(1).tolist() == [[4, 1], [1, 5]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"matrix": torch.zeros(2, 3, 4), "half_width": torch.zeros(2, 3, 4)}, "square"),
        ({"half_width": torch.zeros(2, 2, 2)}, "shape of the matrix"),
        ({"matrix": torch.zeros(2, 2, 2), "half_width": torch.zeros(2, 2, 2)}, "more features"),
        ({"value": torch.zeros(3)}, "value has 3 examples"),
    ],
)
def test_what_contradicts_itself_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        interactions(**changes)


def test_it_survives_saving(tmp_path):
    loaded = pl.Result.load(interactions().save(tmp_path / "pairs.pellucid"))
    assert isinstance(loaded, pl.Interactions)
    assert loaded.table() == interactions().table()
