"""Measures of likeness: identity, symmetry, invariance, and values that can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau, spearmanr

from pellucid.engine.likeness import bounds, measured, named, overlap

SHARES = (0.1, 0.3)
ROWS = {name: place for place, name in enumerate(named(SHARES))}
DISTANCES = ("moved score", "relative distance")
# Small whole numbers have many ties, which is where measures of order go wrong.
scores = arrays(np.float64, 12, elements=st.integers(-4, 4))


def of(one, other):
    found = measured(np.asarray(one, float), np.asarray(other, float)[None], SHARES)[:, 0]
    return dict(zip(ROWS, found.tolist(), strict=True))


@given(scores)
def test_an_explanation_is_like_itself(one):
    found = of(one, one)
    correlated = 1.0 if np.ptp(one) else 0.0
    assert found["rank correlation"] == pytest.approx(correlated)
    assert found["Kendall's tau"] == pytest.approx(correlated)
    assert found["cosine"] == pytest.approx(1.0 if one.any() else 0.0)
    assert all(found[name] == 0 for name in DISTANCES)
    assert all(found[name] == 1 for name in ROWS if name.startswith("overlap"))


@given(scores, scores)
def test_the_order_of_two_explanations_does_not_matter_and_values_keep_their_bounds(one, other):
    found = of(one, other)
    assert found == pytest.approx(of(other, one))
    for name, place in ROWS.items():
        low, high = bounds(place)
        assert low - 1e-12 <= found[name] <= high + 1e-12


@given(scores, scores, st.permutations(range(12)))
def test_the_order_of_the_regions_does_not_matter(one, other, order):
    assert of(one, other) == pytest.approx(of(one[list(order)], other[list(order)]))


@given(scores, scores)
def test_what_keeps_the_order_keeps_what_depends_on_it_alone(one, other):
    before, after = of(one, other), of(np.exp(one), 3 * other + 7)
    for name in ("rank correlation", "Kendall's tau", *(name for name in ROWS if name.startswith("overlap"))):
        assert after[name] == pytest.approx(before[name])


@given(scores, scores, st.floats(0.1, 10))
def test_the_size_of_a_map_matters_to_the_relative_distance_alone(one, other, factor):
    before, after = of(one, other), of(factor * one, other)
    assert all(after[name] == pytest.approx(before[name]) for name in ROWS if name != "relative distance")


def test_a_map_of_twice_the_size_is_a_third_away():
    assert of([1, 2, 3] * 4, [2, 4, 6] * 4)["relative distance"] == pytest.approx(1 / 3)


@given(scores, scores)
def test_the_rank_correlation_is_that_of_scipy(one, other):
    if np.ptp(one) and np.ptp(other):
        assert of(one, other)["rank correlation"] == pytest.approx(spearmanr(one, other).statistic)


@pytest.mark.parametrize("regions", [2, 13, 200, 201])
def test_tau_is_that_of_scipy_however_many_regions_there_are(regions):
    one, other = np.random.default_rng(regions).integers(0, 9, (2, regions)).astype(float) + np.arange(regions) / 50
    assert of(one, other)["Kendall's tau"] == pytest.approx(kendalltau(one, other).statistic)


def test_opposite_orders_have_correlations_of_minus_one():
    found = of(np.arange(12), -np.arange(12))
    assert found["rank correlation"] == pytest.approx(-1)
    assert found["Kendall's tau"] == pytest.approx(-1)
    assert found["overlap of the top 30%"] == 0


def test_tau_counts_pairs_and_all_score_that_lies_elsewhere_is_moved():
    # Of six pairs one is turned round: (5 − 1) / 6.
    assert of([1, 2, 3, 4], [1, 2, 4, 3])["Kendall's tau"] == pytest.approx(4 / 6)
    assert of([1, 0, 0, 1], [0, 1, 1, 0])["moved score"] == 1.0
    assert of([3, 1, 0, 0], [1, 3, 0, 0])["moved score"] == pytest.approx(0.5)


def test_overlap_is_intersection_over_union():
    ten = np.arange(10.0)
    turned = ten.copy()
    turned[[9, 0]] = turned[[0, 9]]
    # The top three are 9, 8, 7 and 0, 8, 7: two of four.
    assert overlap(ten, turned[None], 0.3).tolist() == [0.5]


def test_regions_that_tie_for_the_last_places_share_them():
    # One place is sure; two regions tie for the other: one half each.
    one, other = np.array([3.0, 1, 1, 0]), np.array([3.0, 1, 0, 0])
    assert overlap(one, other[None], 0.5).tolist() == [1.5 / 2.5]


def test_every_row_is_measured_as_if_it_were_alone():
    draws = np.random.default_rng(0).normal(size=(5, 12))
    together = measured(draws[0], draws, SHARES)
    alone = np.stack([measured(draws[0], row[None], SHARES)[:, 0] for row in draws], 1)
    assert together == pytest.approx(alone)
