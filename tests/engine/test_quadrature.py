"""Quadrature: weights that sum to one, exactness, and a path refined until its error is as small as was asked."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.engine.quadrature import PathIntegral, clenshaw_curtis, most_held

ORDERS = (1, 2, 4, 8, 16, 32)


def integrate(height, rate, tolerance=1e-2, max_steps=256, by_feature=None):
    """A finished integral of ``rate(place)`` (a vector), and the places that it asked for."""
    path = PathIntegral(tolerance, max_steps, by_feature or (lambda numbers: numbers.clone()))
    asked = []
    while path.wanted:
        place = path.wanted[-1]
        asked.append(place)
        path.take(place, height(place), torch.as_tensor(rate(place), dtype=torch.float64))
    return path, asked


def kinked(seed, kinks, width=5):
    """A piecewise linear height on [0, 1] with its piecewise constant rate and the rate's integral."""
    draws = torch.Generator().manual_seed(seed)
    places = torch.rand(kinks, generator=draws, dtype=torch.float64).sort().values
    edges = torch.cat([torch.zeros(1, dtype=torch.float64), places, torch.ones(1, dtype=torch.float64)])
    rates = torch.randn(kinks + 1, width, generator=draws, dtype=torch.float64).cumsum(0)
    parts = edges.diff()[:, None] * rates

    def height(place):
        return float((torch.clamp(place - edges[:-1], min=0).minimum(edges.diff())[:, None] * rates).sum())

    def rate(place):
        return rates[int((places <= place).sum())]

    return height, rate, parts.sum(0)


@pytest.mark.parametrize("order", ORDERS)
def test_weights_are_positive_and_sum_to_one(order):
    nodes, weights = clenshaw_curtis(order)
    assert len(nodes) == len(weights) == order + 1
    assert float(weights.sum()) == pytest.approx(1, abs=1e-15)
    assert bool((weights > 0).all())
    assert nodes[0] == 0
    assert nodes[-1] == 1
    assert bool((nodes.diff() > 0).all())


@pytest.mark.parametrize("order", ORDERS)
def test_polynomials_up_to_the_order_are_exact_and_the_next_is_not(order):
    nodes, weights = clenshaw_curtis(order)
    exact = order + 1 if order % 2 == 0 else order
    for degree in range(exact + 1):
        assert float((weights * nodes**degree).sum()) == pytest.approx(1 / (degree + 1), abs=1e-14)
    if order <= 8:
        assert float((weights * nodes ** (exact + 1)).sum()) != pytest.approx(1 / (exact + 2), abs=1e-9)


def test_the_first_orders_are_the_trapezoid_and_simpsons_rule():
    assert clenshaw_curtis(1)[1].tolist() == pytest.approx([1 / 2, 1 / 2])
    assert clenshaw_curtis(2)[1].tolist() == pytest.approx([1 / 6, 4 / 6, 1 / 6])


@pytest.mark.parametrize("order", ORDERS[:-1])
def test_nodes_are_nested_bit_by_bit(order):
    assert set(clenshaw_curtis(order)[0].tolist()) <= set(clenshaw_curtis(2 * order)[0].tolist())


def test_a_linear_height_takes_the_first_rule_only():
    path, asked = integrate(lambda place: 3 * place, lambda place: [1.0, 2.0])
    assert path.integral().tolist() == pytest.approx([1, 2], abs=1e-15)
    assert path.converged
    assert len(asked) == path.steps == 5


@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-10])
def test_a_smooth_rate_is_integrated_to_the_tolerance_without_panels(tolerance):
    path, asked = integrate(lambda a: math.exp(2 * a) / 2, lambda a: [math.exp(2 * a)], tolerance)
    expected = (math.exp(2) - 1) / 2
    assert path.converged
    assert float(path.integral()) == pytest.approx(expected, rel=tolerance)
    assert len(asked) <= 17
    assert set(asked) == set(clenshaw_curtis(len(asked) - 1)[0].tolist())


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([1e-1, 1e-2, 1e-3]))
def test_a_converged_path_with_kinks_keeps_its_word(seed, kinks, tolerance):
    height, rate, expected = kinked(seed, kinks)
    path, asked = integrate(height, rate, tolerance, 400)
    rise = height(1.0) - height(0.0)
    residual = abs(float(path.integral().sum()) - rise)
    assert len(asked) == len(set(asked)) == path.steps <= 400
    assert path.converged or path.steps == 400
    if path.converged:
        assert residual <= tolerance * abs(rise) * (1 + 1e-9)
        scale = max(abs(rise), float(expected.abs().max()))
        assert float((path.integral() - expected).abs().max()) <= 4 * tolerance * scale


def test_intervals_hold_the_true_integral_about_as_often_as_they_say():
    inside, total = 0, 0
    for seed, kinks in itertools.product(range(40), (3, 10, 40)):
        height, rate, expected = kinked(seed, kinks)
        path, _ = integrate(height, rate)
        inside += int(((path.integral() - expected).abs() <= path.half_widths()).sum())
        total += len(expected)
    assert 0.9 <= inside / total <= 1.0


def test_one_kink_is_found_to_any_precision():
    height, rate, expected = kinked(3, 1)
    path, _ = integrate(height, rate, 1e-9, 200)
    assert path.converged
    assert path.steps <= 100  # 65 for the smooth attempt, then only the panel with the kink is halved
    assert torch.allclose(path.integral(), expected, rtol=1e-8, atol=1e-9)


def test_errors_that_cancel_in_the_sum_are_seen():
    # The two rates change by the same amount in opposite directions: the residual is zero wherever one looks.
    def rate(place):
        step = 5.0 if place > 0.3 else 0.0
        return [1 + step, 1 - step]

    path, asked = integrate(lambda place: 2 * place, rate)
    assert len(asked) > 5
    assert path.converged
    assert path.integral().tolist() == pytest.approx([4.5, -2.5], abs=0.1)
    coarse, _ = integrate(lambda place: 2 * place, rate, max_steps=5)
    assert not coarse.converged


def test_a_residual_that_is_small_by_luck_is_not_trusted():
    # Jumps up and down that cancel over the whole path at the first nodes, but not inside it.
    def rate(place):
        return [1 + (4.0 if 0.2 < place < 0.4 else -4.0 if 0.6 < place < 0.8 else 0.0)]

    def height(place):
        up, down = min(max(place - 0.2, 0), 0.2), min(max(place - 0.6, 0), 0.2)
        return place + 4 * up - 4 * down

    path, asked = integrate(height, rate)
    first = [place for place in asked if place in clenshaw_curtis(4)[0].tolist()]
    assert sum(rate(place)[0] for place in first) / len(first) == pytest.approx(1, abs=1e-9)
    assert len(asked) > 5
    assert path.converged


def test_many_small_features_are_not_left_behind_when_their_sum_happens_to_fit():
    # No feature is large enough to be seen alone, so only the residuals of the parts tell a lucky sum from a good one.
    distances = []
    for seed in range(20):
        height, rate, expected = kinked(seed, 200, 300)
        path, _ = integrate(height, rate, max_steps=600)
        assert path.converged
        distances.append(float((path.integral() - expected).norm() / expected.norm()))
    assert max(distances) <= 0.075


@pytest.mark.parametrize("max_steps", [2, 3, 4, 5, 7, 64])
def test_no_more_steps_are_taken_than_allowed(max_steps):
    height, rate, _ = kinked(1, 60)
    path, asked = integrate(height, rate, 1e-6, max_steps)
    assert len(asked) == max_steps
    assert not path.converged


def test_nothing_is_rescaled_to_close_the_residual():
    height, rate, _ = kinked(1, 60)
    path, _ = integrate(height, rate, 1e-6, 20)
    assert abs(float(path.integral().sum()) - (height(1.0) - height(0.0))) > 1e-3


@pytest.mark.parametrize("max_steps", [100, 400])
def test_what_is_held_does_not_grow_with_the_steps(max_steps):
    height, rate, expected = kinked(2, 500)
    elements = 500_000
    path = PathIntegral(1e-9, max_steps, lambda numbers: numbers[:5].clone())
    most, room = 0, most_held(torch.zeros(elements, dtype=torch.float64))
    while path.wanted:
        place = path.wanted[0]
        told = torch.zeros(elements, dtype=torch.float64)
        told[:5] = rate(place)
        path.take(place, height(place), told)
        most = max(most, len(path._nodes))
    assert room == 65
    assert path.steps == max_steps
    assert most <= room + 8
    assert torch.allclose(path.integral()[:5], expected, atol=0.05 * float(expected.abs().max()))


def test_room_for_rates_is_a_matter_of_their_bytes():
    sizes = [most_held(torch.zeros(number)) for number in (10, 150_528, 10**7)]
    assert sizes == [2048, 110, 65]


def test_many_kinks_are_integrated_to_a_tight_tolerance():
    height, rate, expected = kinked(5, 60)
    path, asked = integrate(height, rate, 1e-4, 3000)
    assert path.converged
    assert len(asked) > 200
    assert float((path.integral() - expected).abs().max()) <= 4e-4 * float(expected.abs().max())


def test_a_path_that_goes_nowhere_is_done_at_once():
    path, asked = integrate(lambda place: 0.25, lambda place: [0.0, 0.0])
    assert path.converged
    assert len(asked) == 5
    assert path.integral().tolist() == [0, 0]
