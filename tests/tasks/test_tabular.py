"""Rows of named columns: standardised and back, whatever form they come in."""

import pytest
import torch

from pellucid.core.errors import BadInput, UsageError
from pellucid.tasks.tabular import Tabular

REFERENCE = torch.tensor([[1.0, 10.0], [3.0, 20.0], [5.0, 60.0]])


@pytest.fixture
def task():
    return Tabular(("age", "income"), ("no", "yes"), (3.0, 30.0), (2.0, 10.0), reference=REFERENCE)


FORMS = (
    [5.0, 10],
    (5, 10),
    {"income": 10, "age": 5},
    "5, 10",
    ["5", "10.0"],
    {"age": "5", "income": "10", "name": "x"},
)


@pytest.mark.parametrize("row", FORMS, ids=str)
def test_a_row_of_any_form_is_standardised(task, row):
    inputs = task.prepare(row)
    assert inputs.value.tolist() == [[1.0, -2.0]]
    assert inputs.origins[0].raw == {"age": 5.0, "income": 10.0}


def test_several_rows_are_a_batch_and_a_flat_list_is_one_row(task):
    assert len(task.prepare([[1, 2], [3, 4], [5, 6]])) == 3
    assert len(task.prepare(["1,2", "3,4"])) == 2
    assert len(task.prepare([1, 2])) == 1


def test_a_tensor_is_in_the_model_s_own_space(task):
    inputs = task.prepare(torch.tensor([1.0, -2.0]))
    assert inputs.value.tolist() == [[1.0, -2.0]]
    assert inputs.origins[0].raw == {"age": 5.0, "income": 10.0}


def test_a_row_comes_back_from_its_point(task):
    inputs = task.prepare([[7.0, 33.0]])
    assert task.row(inputs.value[0]) == pytest.approx({"age": 7.0, "income": 33.0}, rel=1e-6)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([1.0], "a row has 2 values .age, income, ….*not 1"),
        ("red, 3", "column 'age' holds 'red', which is not a number"),
        ({"age": 1, "incme": 2}, "no column 'income'; did you mean 'incme'"),
        ([float("nan"), 1], "column 'age' holds nan; fill it in"),
        ([1, float("-inf")], "column 'income' holds -inf; fill it in"),
        ([None, 1], "column 'age' holds None"),
        ([], "a row has 2 values"),
        (7, "a row is a mapping, a sequence or text, not a int"),
        (None, "not a NoneType"),
        (torch.zeros(1, 3), "rows have 2 columns"),
        (torch.tensor([[1.0, torch.nan]]), "NaN"),
        (torch.zeros(0, 2), "empty"),
    ],
    ids=str,
)
def test_a_row_that_cannot_be_used_is_refused_by_its_column(task, row, said):
    with pytest.raises(BadInput, match=said):
        task.prepare(row)


def test_bounds_and_mean_are_those_of_the_training_rows(task):
    low, high = task.bounds(task.prepare([1, 2]))
    assert low.tolist() == [[-1.0, -2.0]]
    assert high.tolist() == [[1.0, 3.0]]
    assert torch.allclose(task.baseline(task.prepare([1, 2]), "mean"), torch.tensor([[0.0, 0.0]]), atol=1e-6)


def test_uniform_draws_lie_within_the_bounds_and_depend_on_the_row(task):
    inputs = task.prepare([[1, 2], [3, 4]])
    draws = task.baseline(inputs, "uniform", seed=5)
    low, high = task.bounds(inputs)
    assert bool(((draws >= low) & (draws <= high)).all())
    assert torch.equal(task.baseline(inputs.rows(torch.tensor([1, 0])), "uniform", seed=5), draws.flip(0))
    assert not torch.equal(task.baseline(inputs, "uniform", seed=6), draws)


def test_every_column_is_a_feature_with_its_name(task):
    features = task.features(task.prepare([[1, 2], [3, 4]]), "columns")
    assert features.labels == (("age", "income"),) * 2
    assert features.segments.tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("means", "deviations", "said"),
    [((1.0,), (1.0, 1.0), "as many means"), ((0.0, 0.0), (1.0, 0.0), "deviations must be above 0")],
)
def test_statistics_that_do_not_fit_are_refused(means, deviations, said):
    with pytest.raises(UsageError, match=said):
        Tabular(("a", "b"), None, means, deviations)
