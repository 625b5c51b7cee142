"""Features gather scores and spread them again without losing any."""

import pytest
import torch

from pellucid.core.errors import UsageError
from pellucid.core.subject import Features, Inputs, Origin, single

SEGMENTS = torch.tensor([[[0, 0, 1], [2, -1, 1]], [[0, 1, 1], [1, 1, -1]]])
SCORES = torch.tensor([[[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]], [[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]]], dtype=torch.float64)


@pytest.fixture
def features():
    return Features("cell", SEGMENTS)


def test_scores_are_summed_over_each_feature_and_none_outside(features):
    assert features.counts() == (3, 2)
    assert [sums.tolist() for sums in features.sums(SCORES)] == [[3.0, 36.0, 8.0], [1.0, 30.0]]


def test_sums_of_spread_values_are_the_values(features):
    values = [torch.tensor([3.0, -1.0, 0.5], dtype=torch.float64), torch.tensor([2.0, 7.0], dtype=torch.float64)]
    spread = features.spread(values, SCORES)
    assert all(torch.allclose(a, b, rtol=1e-14) for a, b in zip(features.sums(spread), values, strict=True))
    assert not spread[SEGMENTS < 0].any()


def test_features_broadcast_over_channels():
    channels = SCORES[:, None].expand(-1, 3, -1, -1)
    features = Features("cell", SEGMENTS[:, None])
    assert [sums.tolist() for sums in features.sums(channels)] == [[9.0, 108.0, 24.0], [3.0, 90.0]]
    spread = features.spread([torch.tensor([6.0, 0.0, 0.0]), torch.zeros(2)], torch.zeros(2, 3, 2, 3))
    assert spread[0, :, 0, :2].eq(1).all()
    assert spread.sum() == 6


def test_some_examples_keep_their_own_labels(features):
    named = Features("cell", SEGMENTS, (("a", "b", "c"), ("d", "e")), (((0, 1),) * 3, ((0, 1),) * 2))
    one = named.rows(slice(1, 2))
    assert one.labels == (("d", "e"),)
    assert one.counts() == (2,)
    assert len(one.spans[0]) == 2


def test_rows_of_inputs_take_every_named_tensor_mask_and_origin_along():
    inputs = Inputs(
        {"point": torch.arange(6.0).view(3, 2), "state": torch.arange(3)},
        "point",
        torch.tensor([[True, False], [True, True], [False, True]]),
        (Origin("a"), Origin("b"), Origin("c")),
    )
    again = inputs.rows(torch.tensor([2, 0, 2]))
    assert again.value.tolist() == [[4.0, 5.0], [0.0, 1.0], [4.0, 5.0]]
    assert again.tensors["state"].tolist() == [2, 0, 2]
    assert again.mask.tolist() == [[False, True], [True, False], [False, True]]
    assert [origin.raw for origin in again.origins] == ["c", "a", "c"]
    assert len(inputs.rows(slice(1, None))) == 2
    moved = inputs.at(torch.zeros(3, 2))
    assert not moved.value.any()
    assert moved.tensors["state"] is inputs.tensors["state"]
    assert inputs.value.any()


def test_one_example_at_a_time_is_said_with_the_number():
    single(Inputs({"x": torch.ones(1, 2)}, "x"), "explain")
    with pytest.raises(UsageError, match="explain takes one example at a time, not 2; call it once per example"):
        single(Inputs({"x": torch.ones(2, 2)}, "x"), "explain")
