"""Interactions are shown as a matrix of signed colours and as a page with the strongest pairs."""

import numpy as np
import torch

from pellucid.core.subject import Features
from results.test_interactions import interactions


def colour(picture, row, column):
    return np.asarray(picture)[170 + 34 * row + 16, 170 + 34 * column + 16].astype(int)


def test_cells_are_red_for_and_blue_against():
    drawn = interactions().plot()
    red, _, blue = colour(drawn, 2, 2)
    assert red > blue + 50
    red, _, blue = colour(drawn, 0, 2)
    assert blue > red + 50
    assert np.ptp(colour(drawn, 1, 2)) < 10


def test_only_the_features_that_do_most_are_drawn():
    number = 40
    matrix = torch.zeros(1, number, number)
    matrix[0, 7, 31] = matrix[0, 31, 7] = 5
    features = Features("segment", torch.arange(number)[None])
    many = interactions(
        matrix=matrix,
        half_width=torch.zeros_like(matrix),
        value=torch.ones(1),
        baseline=torch.zeros(1),
        residual=torch.zeros(1),
        features=features,
        target=None,
    )
    assert many.plot().width < 170 + 34 * 17 + 13
    assert "segment 7" in many._repr_html_()


def test_the_page_says_pairs_intervals_and_what_is_left():
    page = interactions(residual=torch.tensor([0.125, 0.0]), notes=("One <note>.",))._repr_html_()
    assert "<th scope='row'>not</th><td>good</td><td class='n'>-2</td><td class='n'>-2.25 … -1.75</td>" in page
    assert "unaccounted 0.12" in page
    assert "One &lt;note&gt;." in page
    assert page.count("<img alt='Matrix of interactions: ") == 2
