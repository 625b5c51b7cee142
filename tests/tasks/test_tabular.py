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


def edited(task, script):
    row = task.prepare([5.0, 10.0]).origins[0].raw
    edits = task.edits(row, script)
    for edit in edits:
        row = edit.apply(row)
    return row, [edit.said for edit in edits]


@pytest.mark.parametrize(
    ("script", "age", "income", "said"),
    [
        ("age = 35, income += 5", 35, 15, ["age from 5 to 35", "income from 10 to 15"]),
        ("Income *= 2; 0 -= 1", 4, 20, ["income from 10 to 20", "age from 5 to 4"]),
    ],
)
def test_columns_are_edited_by_name_or_number(task, script, age, income, said):
    assert edited(task, script) == ({"age": age, "income": income}, said)


def test_a_choice_is_edited_by_its_name():
    columns = ("age", "colour red", "colour green")
    task = Tabular(columns, choices={"colour": ("colour red", "colour green")})
    row = {"age": 1.0, "colour red": 1.0, "colour green": 0.0}
    (edit,) = task.edits(row, "colour = green")
    assert edit.apply(row) == {"age": 1.0, "colour red": 0.0, "colour green": 1.0}
    with pytest.raises(UsageError, match="colour is not 'gren'; did you mean 'green'"):
        task.edits(row, "colour = gren")


def test_an_edit_of_no_column_is_refused_with_the_nearest(task):
    with pytest.raises(UsageError, match="no column 'incme'; did you mean 'income'"):
        edited(task, "incme = 3")
    with pytest.raises(UsageError, match="write it as age = 5"):
        edited(task, "older")


def test_another_row_is_one_edit_for_each_column_that_differs(task):
    row = task.prepare([5.0, 10.0]).origins[0].raw
    (edit,) = task.changes(row, "5, 12.5")
    assert edit.apply(row) == {"age": 5.0, "income": 12.5}
    assert task.changes(row, {"age": 5, "income": 10}) == ()
