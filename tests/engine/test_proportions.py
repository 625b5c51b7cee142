"""Intervals of shares: they cover the truth as often as they say, computed exactly over all outcomes."""

from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import binom, multinomial

from pellucid.engine.proportions import paired_interval, share_interval


@pytest.mark.parametrize("total", [8, 20, 60])
def test_the_interval_of_a_share_covers_it(total):
    shares = np.linspace(0.02, 0.98, 49)
    bounds = [share_interval(right, total) for right in range(total + 1)]
    covered = [
        sum(binom.pmf(k, total, share) for k, (low, high) in enumerate(bounds) if low <= share <= high)
        for share in shares
    ]
    assert 0.93 <= np.mean(covered) <= 0.97
    assert min(covered) > 0.82


def test_the_interval_of_a_share_solves_the_score_equation():
    z = NormalDist().inv_cdf(0.975)
    for bound in share_interval(7, 20):
        assert abs(7 / 20 - bound) == pytest.approx(z * (bound * (1 - bound) / 20) ** 0.5)


@pytest.mark.parametrize("total", [10, 25])
@pytest.mark.parametrize(("up", "down"), [(0.0, 0.0), (0.1, 0.1), (0.3, 0.05), (0.5, 0.2), (0.05, 0.4)])
def test_the_interval_of_a_paired_difference_covers_it(total, up, down):
    covered = 0.0
    for gained in range(total + 1):
        for lost in range(total + 1 - gained):
            low, high = paired_interval(gained, lost, total)
            if low <= up - down <= high:
                rest = total - gained - lost
                covered += multinomial.pmf([gained, lost, rest], total, [up, down, 1 - up - down])
    assert covered >= 0.93


def test_exchanging_the_conditions_turns_the_interval_round():
    low, high = paired_interval(5, 2, 20)
    assert paired_interval(2, 5, 20) == pytest.approx((-high, -low))


def test_nothing_counted_leaves_everything_possible():
    assert share_interval(0, 0) == (0.0, 1.0)
    assert paired_interval(0, 0, 0) == (-1.0, 1.0)
    assert share_interval(0, 10)[0] == 0.0
    assert share_interval(10, 10)[1] == pytest.approx(1.0)
