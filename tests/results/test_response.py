"""Responses as data: tables, words, files, and fields that contradict each other."""

import dataclasses

import pytest
import torch

import pellucid as pl
from pellucid.results.response import Curve, Surface


def curve(**changes):
    fields = {
        "variable": "age",
        "grid": torch.tensor([20.0, 40.0, 60.0, 80.0]),
        "mean": torch.tensor([1.0, 3.0, 2.0, 2.0]),
        "low": torch.tensor([0.5, 2.5, 1.5, 1.0]),
        "high": torch.tensor([1.5, 3.5, 2.5, 3.0]),
        "counts": torch.tensor([10, 20, 10, 0]),
        "changes": ((0, 1, 1.5, 2.5), (1, 2, -1.5, -0.5)),
    }
    return Curve(**(fields | changes))


def surface(**changes):
    fields = {
        "variables": ("age", "sex"),
        "grids": (torch.tensor([20.0, 40.0]), torch.tensor([0.0, 1.0])),
        "mean": torch.tensor([[1.0, 2.0], [5.0, 9.0]]),
        "low": torch.zeros(2, 2),
        "high": torch.ones(2, 2) * 9,
        "counts": torch.tensor([[3, 1], [2, 0]]),
        "labels": (None, ("woman", "man")),
        "interaction": (0.25, 0.1, 0.4),
    }
    return Surface(**(fields | changes))


def made(**changes):
    fields = {"kind": "ice", "quantity": "score", "level": torch.tensor([2.0]), "cases": 40, "curves": (curve(),)}
    return pl.Response(**(fields | changes))


def test_the_summary_says_where_the_curve_rises_and_falls_and_where_hardly_any_data_is():
    assert made(notes=("A note.",)).summary() == (
        "age: between 20 and 40 the mean score rises by 2 (95 % interval 1.5 … 2.5); between 40 and 60 the mean score falls "
        "by 1 (95 % interval 0.5 … 1.5); above 60 there is hardly any data.\nA note."
    )
    assert made(curves=(curve(changes=()),)).summary() == "age: the mean score hardly changes."
    assert "slope of the mean score" in made(form="derivative").summary()
    chance = made(curves=(curve(changes=((0, 1, -0.5, 2.5),)),)).summary()
    assert "changes by +2, which may be chance (95 % interval -0.5 … +2.5)" in chance


def test_choices_are_told_by_name():
    names = ("a", "b", "c", "d")
    said = made(curves=(curve(labels=names, grid=torch.arange(4.0), changes=()),)).summary()
    assert said.startswith("age: the mean score is highest for b (3, 95 % interval 2.5 … 3.5) and lowest for a (1,")
    assert [row["at"] for row in made(curves=(curve(labels=names),)).table()] == list(names)


def test_density_is_a_multiple_of_an_even_spread_also_on_an_uneven_grid():
    assert curve().density.tolist() == pytest.approx([1.5, 1.5, 0.75, 0])
    uneven = curve(grid=torch.tensor([0.0, 1.0, 3.0, 9.0]), counts=torch.tensor([1, 3, 8, 6]))
    assert uneven.density.tolist() == pytest.approx([1.0, 1.0, 1.0, 1.0])
    assert curve().thin.tolist() == [False, False, False, True]


def test_the_table_has_a_row_per_point_and_per_pair():
    assert made().table()[1] == {"variable": "age", "at": "40", "mean": 3, "low": 2.5, "high": 3.5, "cases": 20}
    rows = made(curves=(), surface=surface()).table()
    assert [row["at"] for row in rows] == ["20, woman", "20, man", "40, woman", "40, man"]
    assert rows[2]["mean"] == 5
    assert rows[2]["cases"] == 2


def test_a_surface_is_told_by_pairs_that_cases_are_near():
    said = made(curves=(), surface=surface()).summary()
    assert "highest at (40, woman): 5, lowest at (20, woman): 1" in said
    assert "25% of what they do is done together (Friedman's H, 95 % interval 10% … 40%)" in said
    assert "Friedman" not in made(curves=(), surface=surface(interaction=None)).summary()


@pytest.mark.parametrize("fields", [{}, {"curves": (), "surface": surface()}])
def test_a_response_survives_saving_and_loading(fields, tmp_path):
    response = made(**fields)
    loaded = pl.Response.load(response.save(tmp_path / "response.pellucid"))
    assert loaded.table() == response.table()
    assert loaded.summary() == response.summary()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"curves": ()}, "neither a curve nor a surface"),
        ({"curves": (curve(low=torch.zeros(3)),)}, "low is"),
        ({"curves": (curve(individual=torch.zeros(2, 3)),)}, "individual curves are"),
        ({"curves": (curve(labels=("a",)),)}, "1 labels for 4"),
        ({"surface": surface(counts=torch.zeros(2, 3))}, "counts is"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        made(**changes)
    assert dataclasses.replace(made(), cases=3).cases == 3
