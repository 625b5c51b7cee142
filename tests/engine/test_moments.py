"""Moments of data that passes by: equal to those of all data at once to rounding, for any mean, order and batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.engine.moments import Moments


@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 60),
    st.sampled_from([0.0, 1.0, -1e4, 1e8]),
    st.lists(st.integers(1, 11), min_size=1, max_size=5),
    st.integers(0, 2**16),
)
def test_streaming_equals_batch_for_any_order_split_and_mean(rows, mean, sizes, seed):
    source = torch.Generator().manual_seed(seed)
    data = torch.randn(rows, 3, generator=source, dtype=torch.float64) + mean
    order = torch.randperm(rows, generator=source)
    parts = [Moments(3, covariance=True), Moments(3, covariance=True)]
    variances = Moments(3)
    start = turn = 0
    while start < rows:
        chosen = data[order[start : start + sizes[turn % len(sizes)]]]
        parts[turn % 2].add(chosen)
        variances.add(chosen)
        start, turn = start + len(chosen), turn + 1
    parts[0].merge(parts[1])
    expected = torch.from_numpy(np.cov(data.numpy(), rowvar=False, bias=True))
    rounding = 1e-15 * max(1.0, abs(mean)) * rows
    assert parts[0].count == variances.count == rows
    assert torch.allclose(parts[0].mean, data.mean(0), rtol=1e-13, atol=1e-13)
    assert torch.allclose(parts[0].covariance(), expected, rtol=1e-9, atol=1e-12 + rounding)
    assert torch.allclose(variances.variance(), expected.diagonal(), rtol=1e-9, atol=1e-12 + rounding)


def test_a_large_mean_leaves_unit_variances_at_rounding_where_sums_of_squares_in_single_precision_lose_them():
    data = torch.randn(4096, 2, generator=torch.Generator().manual_seed(0)) + 3000
    found = Moments(2)
    for part in data.split(64):
        found.add(part)
    expected = data.double().var(0, correction=0)
    naive = (data.square().mean(0) - data.mean(0).square()).double()
    assert float((found.variance() - expected).abs().max()) < 1e-12
    assert float((naive - expected).abs().max()) > 0.1


def test_correlations_are_those_of_numpy_and_unknown_for_a_constant_column():
    data = torch.randn(50, 3, generator=torch.Generator().manual_seed(1)).double()
    data[:, 2] = 0.1
    found = Moments(3, covariance=True)
    for part in data.split(7):
        found.add(part)
    assert float(found.variance()[2]) != 0  # by rounding
    correlation = found.correlation()
    assert float(correlation[0, 1]) == pytest.approx(np.corrcoef(data[:, :2].T.numpy())[0, 1], abs=1e-12)
    assert correlation[2].isnan().all()


def test_a_state_goes_on_bit_for_bit():
    data = torch.randn(30, 4)
    whole, first, second = Moments(4, True), Moments(4, True), Moments(4, True)
    for part in data.split(10):
        whole.add(part)
    first.add(data[:10])
    second.restore(first.state())
    for part in data[10:].split(10):
        second.add(part)
    assert torch.equal(second.covariance(), whole.covariance())


def test_covariances_that_were_not_kept_are_refused():
    with pytest.raises(TypeError, match="variances only"):
        Moments(2).covariance()
