"""Charts of responses: the mean, its band, single cases, thin places and counts are where they belong."""

import dataclasses

import numpy as np
import torch

import pellucid as pl
from pellucid.render.response import curve_chart, surface_chart
from pellucid.results.response import Curve, Surface

LINE = Curve(
    variable="age",
    grid=torch.linspace(0, 100, 11),
    mean=torch.linspace(0, 10, 11),
    low=torch.linspace(-1, 9, 11),
    high=torch.linspace(1, 11, 11),
    counts=torch.tensor([0, 0, 0, 10, 10, 10, 10, 10, 10, 10, 10]),
)
SURFACE = Surface(
    variables=("age", "sex"),
    grids=(torch.tensor([20.0, 40.0]), torch.tensor([0.0, 1.0])),
    mean=torch.tensor([[1.0, 2.0], [5.0, 9.0]]),
    low=torch.zeros(2, 2),
    high=torch.ones(2, 2),
    counts=torch.tensor([[3, 1], [2, 0]]),
)


def pixels(curve, **options):
    return np.asarray(curve_chart(curve, "mean score", options.get("level")).convert("RGB")).astype(int)


def of_colour(picture, colour, within=12):
    return np.abs(picture - np.array(colour)).max(2) <= within


BLUE, BAND, THIN, COUNT = (0, 114, 178), (201, 223, 240), (240, 240, 240), (138, 138, 138)


def test_the_mean_rises_from_left_to_right_within_its_band():
    picture = pixels(LINE)
    rows, columns = of_colour(picture, BLUE).nonzero()
    left, right = rows[columns < 120].mean(), rows[columns > 420].mean()
    assert left > right + 100
    band = of_colour(picture, BAND)
    middle = rows[(columns > 238) & (columns < 246)].mean()
    inside = band[:, 242].nonzero()[0]
    assert inside.min() < middle < inside.max()


def test_where_hardly_any_case_is_the_ground_is_grey_and_no_bar_stands():
    picture = pixels(LINE)
    ground, bars = of_colour(picture, THIN, 3), of_colour(picture, COUNT)
    assert ground[:, 75:140].sum() > 10 * max(1, ground[:, 250:].sum())
    assert bars[240:283, 75:140].sum() < 30
    assert bars[240:283, 250:].sum() > 2000


def test_single_cases_are_grey_lines():
    single = dataclasses.replace(LINE, individual=torch.stack([LINE.mean + 8, LINE.mean - 8]))
    drawn, without = (((one.max(2) - one.min(2) < 4) & (one.max(2) < 236)).sum() for one in map(pixels, (single, LINE)))
    assert drawn > without + 150
    assert of_colour(pixels(single), BLUE).sum() > 200


def test_choices_are_dots_with_bars_and_names():
    two = torch.tensor([0.0, 1.0])
    choice = Curve(
        variable="colour",
        grid=two,
        mean=torch.tensor([1.0, 3.0]),
        low=two,
        high=two + 3,
        counts=torch.tensor([5, 5]),
        labels=("red", "blue"),
    )
    blue = of_colour(pixels(choice, level=2.0), BLUE)
    columns = blue.any(0).nonzero()[0]
    assert blue[:, 130:210].sum() > 50
    assert blue[:, 330:410].sum() > 50
    assert not ((columns > 215) & (columns < 325)).any()


def test_pairs_that_no_case_is_near_are_pale():
    picture = np.asarray(surface_chart(SURFACE, "mean score")).astype(int)
    near, far = picture[80 + 56, 122 + 56], picture[80, 122 + 56]
    assert near.max() - near.min() > 60
    assert far.min() > 150
    assert far.max() - far.min() < near.max() - near.min()


def test_plots_hold_a_chart_per_variable_and_pages_the_same_words_and_numbers():
    response = pl.Response(
        kind="partial-dependence", quantity="score", level=torch.tensor([5.0]), cases=80, curves=(LINE, LINE, LINE)
    )
    assert response.plot().size == (960, 660)
    page = response._repr_html_()
    assert page.count("<img") == 3
    assert "<script" not in page
    assert "80 cases" in page
    assert "hardly any" in page
    assert f"<td class='n'>{float(LINE.mean[4]):.4g}</td>" in page
    whole = dataclasses.replace(response, curves=(), surface=SURFACE)
    assert whole.plot().width > 200
    assert "age × sex" in whole._repr_html_()
    effect = dataclasses.replace(response, kind="ale", curves=(LINE,))
    assert "effect (ALE) on the score" in effect._repr_html_()
