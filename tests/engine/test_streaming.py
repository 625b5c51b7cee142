"""Streaming choice: the notes' vectors, what is promised against brute force, and how little is asked and held."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.engine.streaming import streak

WEIGHTS = (0.05, 0.40, 0.10, 0.30, 0.02, 0.13)


class Counted:
    """A set function that records which sets it was asked about, batch by batch."""

    def __init__(self, worth):
        self.worth, self.batches = worth, []

    def __call__(self, sets):
        self.batches.append(list(sets))
        return [self.worth(members) for members in sets]

    @property
    def asked(self):
        return [members for batch in self.batches for members in batch]


def modular(weights):
    return Counted(lambda members: math.fsum(weights[item] for item in members))


def coverage(parts, weights):
    return Counted(lambda members: math.fsum(weights[e] for e in frozenset().union(*(parts[i] for i in members))))


@pytest.mark.parametrize(("order", "expected"), [(range(6), (1, 3)), (range(5, -1, -1), (3, 1))])
def test_weights_that_add_up_give_the_two_largest_in_the_order_of_passing_by(order, expected):
    found = streak(list(order), modular(WEIGHTS), 2, 0.5)
    assert found.items == expected
    assert found.gains == pytest.approx([WEIGHTS[item] for item in expected])
    assert found.streamed == 2


def test_nothing_is_asked_twice_and_all_thresholds_of_an_item_are_one_batch():
    value = modular(WEIGHTS)
    found = streak(list(range(6)), value, 2, 0.5)
    assert len(set(value.asked)) == len(value.asked) == found.evaluations
    assert len(value.batches[0]) == 6
    assert len(value.batches) <= 1 + 6 + 1


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 0.7])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_no_more_sets_stand_side_by_side_than_the_thresholds_in_range(k, epsilon):
    found = streak(list(range(6)), modular(WEIGHTS), k, epsilon)
    assert found.sets <= math.log(9 * k**3 / (1 - epsilon)) / -math.log(1 - epsilon) + 1
    assert found.evaluations <= 6 * (found.sets + 1) + k * 6


numbers = st.floats(0.01, 10)


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, min_size=3, max_size=8), st.integers(1, 4), st.randoms())
def test_what_adds_up_is_chosen_within_the_promise_of_streaming(weights, k, random):
    order = list(range(len(weights)))
    random.shuffle(order)
    found = streak(order, modular(weights), k, 0.5)
    best = math.fsum(sorted(weights, reverse=True)[:k])
    assert found.value >= best * 0.25
    assert len(set(found.items)) == len(found.items) == min(k, len(weights))
    assert found.value == pytest.approx(math.fsum(weights[item] for item in found.items))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.frozensets(st.integers(0, 9), min_size=1), min_size=4, max_size=8),
    st.lists(numbers, min_size=10, max_size=10),
    st.integers(1, 3),
    st.randoms(),
)
def test_coverage_is_within_its_promise_of_the_best_sets(parts, weights, k, random):
    value = coverage(parts, weights)
    order = list(range(len(parts)))
    random.shuffle(order)
    found = streak(order, value, k, 0.5)
    best = max(value.worth(frozenset(some)) for some in itertools.combinations(order, k))
    assert found.value >= best * 0.25
    assert found.value >= max(found.singles) - 1e-12


def test_an_item_that_only_counts_beside_another_is_found_when_filling_up():
    worth = {frozenset({0}): 1.0, frozenset({0, 2}): 5.0}
    value = Counted(lambda members: worth.get(members, 1.0 if 0 in members else 0.0))
    found = streak([2, 1, 0, 3], value, 2, 0.5)
    assert set(found.items) == {0, 2}
    assert found.value == 5
    assert found.streamed == 1


def test_where_nothing_brings_anything_the_set_is_filled_all_the_same():
    found = streak([1, 0, 2], Counted(lambda members: -float(len(members))), 2, 0.5)
    assert found.sets == 0
    assert len(found.items) == 2
    assert found.value == -2
