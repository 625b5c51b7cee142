"""Distributions counted in passing: quantiles within the promised sixteenth, counts exact, extremes exact."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.engine.distribution import Distribution, bin_edges


def counted(values, *sizes):
    found = Distribution(len(values))
    for part in values.split(list(sizes) or values.shape[1], 1):
        found.add(part)
    return found


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-(2.0**19), 2.0**19, width=32), min_size=1, max_size=60),
    st.sampled_from([0.001, 0.1, 0.5, 0.9, 0.999, 1.0]),
)
def test_a_quantile_is_within_a_sixteenth_of_the_value_of_that_rank(values, share):
    found = counted(torch.tensor([values]))
    exact = sorted(values)[max(int(np.ceil(share * len(values) - 1e-9)), 1) - 1]
    assert abs(float(found.quantile(share)[0]) - exact) <= abs(exact) / 16 + 2.0**-20


def test_quantiles_of_many_values_are_close_and_the_last_one_is_the_maximum():
    values = torch.randn(2, 20000, generator=torch.Generator().manual_seed(0)) * torch.tensor([[1.0], [300.0]])
    found = counted(values, 15000, 5000)
    for share in (0.01, 0.5, 0.9, 0.999):
        expected = values.double().quantile(share, dim=1)
        assert (found.quantile(share) - expected).abs().max() <= 0.01 * values.abs().max()
    assert found.quantile(1.0).tolist() == values.amax(1).tolist()


def test_every_value_is_in_the_bin_between_its_edges():
    edges = bin_edges()
    for value in (0.0, -0.0, 1e-9, 0.75, -0.75, 1.0, -1.0, 1.0624, 1.0625, 3e5, -2e6, 2.0**20):
        (number,) = counted(torch.tensor([[value]])).counts[0].nonzero()[:, 0].tolist()
        held = min(max(value, float(edges[0])), float(edges[-1]))
        assert edges[number] <= held <= edges[number + 1]


def test_batches_and_their_order_do_not_matter_and_parts_add_up():
    values = torch.randn(3, 100).relu()
    whole, turned, parts = counted(values), counted(values.flip(1), 30, 70), counted(values[:, :40])
    parts.merge(counted(values[:, 40:]))
    for other in (turned, parts):
        assert torch.equal(other.counts, whole.counts)
        assert torch.equal(other.highest, whole.highest)
        assert torch.equal(other.lowest, whole.lowest)


def test_a_histogram_holds_all_values_and_is_that_of_numpy_to_the_width_of_a_bin():
    values = torch.rand(1, 5000, generator=torch.Generator().manual_seed(0)) * 7 + 1
    counts, edges = counted(values).histogram(0, 10)
    expected, at = np.histogram(values[0].numpy(), 10)
    assert edges.numpy() == pytest.approx(at, rel=1e-6)
    assert float(counts.sum()) == pytest.approx(5000)
    assert np.abs(counts.numpy() - expected).max() < 60


def test_zeros_lie_in_the_first_bin_of_a_rectified_channel_and_above_zero_is_counted_exactly():
    values = torch.cat([torch.zeros(1, 30), torch.rand(1, 10) + 1], 1)
    found = counted(values)
    assert float(found.histogram(0, 8)[0][0]) == pytest.approx(30)
    assert float(found.above_zero()[0]) == 0.25
    assert float(found.quantile(0.5)[0]) == 0.0


def test_a_constant_channel_has_one_bin_and_its_value_for_every_quantile():
    found = counted(torch.full((1, 12), 2.5))
    counts, edges = found.histogram(0, 4)
    assert counts.tolist() == [12, 0, 0, 0]
    assert set(edges.tolist()) == {2.5}
    assert found.quantile(0.3).tolist() == [2.5]


def test_a_state_goes_on_as_if_nothing_had_happened():
    values = torch.randn(2, 50)
    first, second = counted(values[:, :20]), Distribution(2)
    second.restore(first.state())
    second.add(values[:, 20:])
    assert torch.equal(second.counts, counted(values).counts)
    assert torch.equal(second.lowest, values.amin(1))
