"""Monotonicity: 1 where nothing falls, graded on request, and rounding is no fall."""

import pytest
import torch

from metrics.additive_models import judgement, row_model
from pellucid.metrics.monotonicity import Monotonicity

POINT = torch.ones(1, 4, dtype=torch.float64)


def test_features_that_all_speak_for_the_score_never_let_it_fall():
    found = Monotonicity(cover="zero")(row_model([1.0, 2.0, 0.0, 4.0]), judgement(POINT, torch.rand(1, 4)))
    assert found.value.tolist() == [1]
    assert all(float(row[0]) == 1 for row in found.control.values())
    assert found.higher_is_better


@pytest.mark.parametrize(("weights", "steps"), [([1.0, -2.0, 3.0, 4.0], 3 / 4), ([-1.0, -2.0, -3.0, 4.0], 1 / 4)])
def test_a_feature_that_speaks_against_the_score_lets_it_fall(weights, steps):
    subject, asked = row_model(weights), judgement(POINT, torch.tensor([[3.0, 1.0, 2.0, 4.0]]))
    assert Monotonicity(cover="zero")(subject, asked).value.tolist() == [0]
    assert Monotonicity(cover="zero", measure="steps")(subject, asked).value.tolist() == [steps]


def test_the_order_decides_where_features_work_together():
    # The second feature counts only together with the first.
    subject = row_model([1.0, 1.0], link=lambda total: (total - 1.5).abs())
    found = Monotonicity(cover="zero", measure="steps")
    low, high = torch.tensor([[1.0, 2.0]], dtype=torch.float64), torch.tensor([[2.0, 1.0]], dtype=torch.float64)
    point = torch.tensor([[0.5, 3.0]], dtype=torch.float64)
    # From 1.5: restoring 0.5 first gives 1, then 2; restoring 3 first gives 1.5, then 2.
    assert found(subject, judgement(point, low, high)).value.tolist() == [0.5, 1]


def test_the_mean_over_examples_is_the_share_that_passes():
    point = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [1.0, 2.0]], dtype=torch.float64)
    found = Monotonicity(cover="zero")(row_model([1.0, 1.0]), judgement(point, torch.ones(4, 2)))
    assert found.per_example.tolist() == [[1, 0, 0, 1]]
    assert float(found.value) == 0.5


@pytest.mark.parametrize(("fall", "expected"), [(1e-9, 1), (1e-3, 0)])
def test_a_fall_of_the_size_of_rounding_is_none(fall, expected):
    subject = row_model([1.0, -fall])
    found = Monotonicity(cover="zero")(
        subject, judgement(torch.ones(1, 2, dtype=torch.float64), torch.tensor([[1.0, 2]]))
    )
    assert found.value.tolist() == [expected]
