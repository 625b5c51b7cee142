"""Comparisons as data: what is said of pairs, which way differences go, and fields that contradict each other."""

import pytest
import torch

import pellucid as pl

CONTEXT = pl.Context("decide", "auditor", "Is it so?")


def made(**changes):
    fields = {
        "names": ("lrp", "lime", "rise"),
        "kinds": ("Attribution",) * 3,
        "pairs": torch.tensor([[0, 1], [0, 2]]),
        "measures": ("rank correlation", "moved score"),
        "value": torch.tensor([[0.6, 0.1], [0.2, 0.5]]),
        "interval": torch.tensor([[[0.5, 0.7], [-0.1, 0.3]], [[0.1, 0.3], [0.4, 0.6]]]),
        "chance": torch.tensor([[[0.0, -0.2, 0.2]] * 2, [[0.6, 0.5, 0.7]] * 2]),
        "per_example": torch.zeros(2, 2, 4),
    }
    return pl.Comparison(**(fields | changes))


def test_a_sentence_for_each_pair():
    assert made().summary().split("\n")[0] == (
        "lrp and lime: rank correlation 0.60 [0.50, 0.70] (by chance -0.20 to 0.20), "
        "moved score 0.20 [0.10, 0.30] (by chance 0.50 to 0.70)."
    )


def test_likeness_is_beyond_chance_above_it_and_a_distance_below():
    found = made()
    assert found.beyond_chance("rank correlation", "lime", "lrp")
    assert found.beyond_chance("moved score", "lrp", "lime")
    assert not found.beyond_chance("rank correlation", "lrp", "rise")
    assert not found.beyond_chance("moved score", "lrp", "rise")


def test_differences_in_a_context_turn_round_with_the_names():
    found = made(context=CONTEXT)
    assert found.of("rank correlation", "lrp", "lime") == -found.of("rank correlation", "lime", "lrp")
    assert found.beyond_chance("moved score", "lrp", "rise")
    assert not found.beyond_chance("rank correlation", "lrp", "rise")
    assert found.summary().startswith("In the context: decide (auditor; asked: Is it so?)\nlrp rather than lime:")


def test_what_was_not_compared_has_no_value():
    with pytest.raises(ValueError, match="lime and rise were not compared"):
        made().of("rank correlation", "lime", "rise")


def test_the_table_has_a_row_for_every_measure_of_every_pair():
    rows = made().table()
    assert [(row["one"], row["other"], row["measure"]) for row in rows][2:] == [
        ("lrp", "rise", "rank correlation"),
        ("lrp", "rise", "moved score"),
    ]
    assert rows[0]["chance"] == 0
    assert rows[0]["from"] == pytest.approx(-0.2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"value": torch.zeros(2, 3)}, "value is"),
        ({"kinds": ("Attribution",)}, "1 kinds of 3"),
        ({"kinds": ("Attribution", "Attribution", "Counterfactuals")}, "no distance without a context"),
        ({"pairs": torch.tensor([[0, 1], [0, 3]])}, "outside the names"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        made(**changes)
