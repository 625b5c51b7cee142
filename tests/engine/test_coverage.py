"""Greedy coverage: exactly greedy, and never below its promise of what brute force covers."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.engine.coverage import cover, importance

ROWS = [{0: 1.0, 1: -3.0}, {1: 1.0}, {2: 4.0}, {0: 1.0, 1: -3.0}]


def test_importance_is_the_root_of_the_summed_sizes():
    assert importance(ROWS, 4).tolist() == pytest.approx([math.sqrt(2), math.sqrt(7), 2, 0])


def test_what_adds_most_is_picked_first_and_ties_go_to_the_first_row():
    picked, covered = cover(ROWS, importance(ROWS, 4), 3)
    assert picked == [0, 2]  # rows 1 and 3 have nothing to add
    assert covered == pytest.approx([math.sqrt(2) + math.sqrt(7), math.sqrt(2) + math.sqrt(7) + 2])


def test_a_weight_of_zero_covers_nothing():
    assert cover([{0: 0.0}, {0: 1.0}], importance([{0: 0.0}, {0: 1.0}], 1), 2)[0] == [1]


def test_nothing_to_cover_picks_nothing():
    assert cover([{}, {}], importance([{}, {}], 0), 2) == ([], [])


matrices = st.lists(
    st.lists(st.sampled_from([0.0, 0.0, 0.5, -1.0, 2.0]), min_size=5, max_size=5), min_size=2, max_size=7
)


def covered_by(matrix, worth, rows):
    return sum(worth[column] for column in range(5) if any(matrix[row][column] for row in rows))


@settings(max_examples=150, deadline=None)
@given(matrices, st.integers(1, 4))
def test_it_is_the_greedy_choice_and_within_its_promise_of_the_best(matrix, budget):
    rows = [dict(enumerate(row)) for row in matrix]
    worth = importance(rows, 5).tolist()
    picked, covered = cover(rows, importance(rows, 5), budget)
    for step, row in enumerate(picked):
        gains = [covered_by(matrix, worth, [*picked[:step], other]) for other in range(len(matrix))]
        first = next(other for other, gain in enumerate(gains) if gain >= max(gains) * (1 - 1e-9))
        assert row == first
        assert covered[step] == pytest.approx(gains[row])
    best = max(
        covered_by(matrix, worth, some) for some in itertools.combinations(range(len(matrix)), min(budget, len(matrix)))
    )
    assert (covered[-1] if covered else 0) >= (1 - 1 / math.e) * best - 1e-9
