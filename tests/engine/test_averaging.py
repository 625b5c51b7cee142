"""Running averages: equal to those of all samples at once, and intervals that hold as often as they say."""

import pytest
import torch

from pellucid.engine.averaging import Running


def normal(number, width=4, seed=0):
    return torch.randn(number, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_mean_and_variance_are_those_of_all_samples_at_once(offset):
    samples, running = normal(50) + offset, Running(torch.zeros(4))
    for sample in samples:
        running.add(sample)
    assert running.count == 50
    torch.testing.assert_close(running.mean, samples.mean(0), rtol=1e-14, atol=0)
    torch.testing.assert_close(running.variance, samples.var(0), rtol=1e-7 if offset else 1e-13, atol=0)


def test_what_adding_returns_averages_to_the_variance():
    samples, running = normal(30).exp(), Running(torch.zeros(4))
    returned = torch.stack([running.add(sample) for sample in samples])
    assert not returned[0].any()
    torch.testing.assert_close(returned[1:].mean(0), samples.var(0), rtol=1e-13, atol=0)


def test_sums_are_kept_in_double_precision_whatever_is_added():
    running = Running(torch.zeros(1))
    for value in (16777216.0, 16777217.0, 16777219.0):
        running.add(torch.tensor([value], dtype=torch.float64))
    assert running.mean.dtype == torch.float64
    assert float(running.mean) == pytest.approx(16777217.333333333, abs=1e-8)


@pytest.mark.parametrize("number", [2, 3, 5, 20])
def test_intervals_hold_the_true_mean_in_19_of_20_cases(number):
    inside = 0
    for seed in range(100):
        running = Running(torch.zeros(20))
        for sample in normal(number, 20, seed) * 3 + 7:
            running.add(sample)
        inside += int(((running.mean - 7).abs() <= running.half_width()).sum())
    assert inside / 2000 == pytest.approx(0.95, abs=0.02)


def test_one_sample_bounds_nothing():
    running = Running(torch.zeros(3))
    running.add(torch.ones(3))
    assert bool(running.half_width().isinf().all())


def test_several_samples_at_once_count_as_one_by_one():
    samples = normal(40) * 3 + 100
    single, several = Running(torch.zeros(4)), Running(torch.zeros(4))
    for sample in samples:
        single.add(sample)
    for part in samples.split([1, 7, 30, 2]):
        several.extend(part)
    assert several.count == 40
    torch.testing.assert_close(several.mean, single.mean, rtol=1e-14, atol=0)
    torch.testing.assert_close(several.variance, samples.var(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(several.half_width(), single.half_width(), rtol=1e-12, atol=0)
