"""Averages over a path: exact polynomials, jumps wherever they lie, cancelling errors, and few evaluations."""

import math

import pytest
import torch

from pellucid.engine.path_average import PathAverage, accounted


class Counted:
    """A path along which derivatives are these functions of the place, and their integral is known."""

    def __init__(self, height, dtype=torch.float64, **gradients):
        self.height, self.functions, self.dtype = height, gradients, dtype
        self.evaluations = 0

    def gradients(self, place):
        self.evaluations += 1
        return {name: torch.tensor([function(place)], dtype=self.dtype) for name, function in self.functions.items()}

    def average(self):
        changes = {name: torch.ones(1, dtype=self.dtype) for name in self.functions}
        terms = [torch.tensor([1.0], dtype=self.dtype)]
        found = PathAverage(self.gradients, self.height, changes, terms).average()
        return {name: float(share) for name, share in found.items()}


def step(at):
    return lambda place: float(place > at)


def test_a_polynomial_is_exact_at_once():
    path = Counted(lambda place: place**8, one=lambda place: 8 * place**7)
    assert path.average()["one"] == pytest.approx(1, rel=1e-14)
    assert path.evaluations == 8 + 16


@pytest.mark.parametrize("at", [1e-9, 0.3, 1 / math.pi, 1 - 1e-7])
def test_a_jump_is_found_wherever_it_lies(at):
    path = Counted(lambda place: max(0.0, place - at), one=step(at))
    assert path.average()["one"] == pytest.approx(1 - at, rel=1e-9)


def test_a_spike_between_all_nodes_is_seen_by_what_is_left_unaccounted_for():
    width = 1e-5
    rise = lambda place: math.tanh((place - 0.7654321) / width)  # noqa: E731
    path = Counted(rise, one=lambda place: (1 - rise(place) ** 2) / width)
    assert path.average()["one"] == pytest.approx(2, rel=1e-9)


def test_errors_that_cancel_in_the_sum_are_seen_element_by_element():
    path = Counted(lambda place: 0.0, one=step(1 / 3), other=lambda place: -step(1 / 3)(place))
    found = path.average()
    assert found["one"] == pytest.approx(2 / 3, rel=1e-9)
    assert found["other"] == -found["one"]


def test_nothing_is_refined_below_rounding():
    noise = lambda place: 1e-17 * math.sin(1e9 * place)  # noqa: E731
    path = Counted(noise, one=noise)
    path.average()
    assert path.evaluations == 8 + 16


def test_single_precision_asks_for_less():
    path = Counted(math.exp, torch.float32, one=math.exp)
    assert path.average()["one"] == pytest.approx(math.e - 1, rel=1e-6)
    assert path.evaluations == 4 + 8


def test_parts_run_out_on_what_has_no_end():
    path = Counted(lambda place: 0.0, one=lambda place: float(int(place * 1e6) % 2))
    assert 0 < path.average()["one"] < 1
    assert path.evaluations <= 130 * 24


def test_a_complex_multiplier_accounts_for_the_real_part():
    one, change = torch.tensor([1 + 2j]), torch.tensor([3 - 1j])
    assert accounted(one, change).tolist() == [1 * 3 + 2 * -1]
