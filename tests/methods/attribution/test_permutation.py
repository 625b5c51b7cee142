"""Feature permutation: values of other rows by hand, intervals over rows, and rows from the task or from the user."""

import pytest
import torch

import pellucid as pl
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.methods import Permutation
from pellucid.tasks.tensor import TensorTask

OTHERS = torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
ROW = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)


def product(rows):
    return (rows[:, 0] * rows[:, 1] + rows[:, 2])[:, None]


SUBJECT = pl.wrap(product, TensorTask(output="value"))


def test_scores_are_mean_falls_over_all_other_rows():
    answer = Permutation(rows=OTHERS)(SUBJECT, pl.Decision(ROW))
    exchanged = torch.stack([-2 * (1 - OTHERS[:, 0]), -2 - OTHERS[:, 1], 0.5 - OTHERS[:, 2]])
    torch.testing.assert_close(answer.scores[0], exchanged.mean(1), rtol=0, atol=1e-12)
    half = 2.0227 * exchanged.std(1) / 40**0.5
    torch.testing.assert_close(answer.interval[1][0] - answer.scores[0], half, rtol=1e-4, atol=0)
    assert answer.evaluations["F"] == 3 * 40 + 2
    assert "40 of 40 other rows" in answer.summary()


def test_all_values_of_a_group_come_from_the_same_row():
    groups = torch.tensor([0, 0, 1])
    answer = Permutation(rows=OTHERS, features=groups)(SUBJECT, pl.Decision(ROW))
    expected = (-2 - OTHERS[:, 0] * OTHERS[:, 1]).mean()
    assert float(answer.by_feature()[0][0]) == pytest.approx(float(expected), abs=1e-12)


def test_every_feature_takes_its_values_from_the_same_rows_without_replacement():
    answer = Permutation(rows=OTHERS, samples=39)(SUBJECT, pl.Decision(ROW))
    means = torch.stack([-2 * (1 - OTHERS[:, 0]), -2 - OTHERS[:, 1], 0.5 - OTHERS[:, 2]])
    out = (means.sum(1, keepdim=True) - means) / 39  # only one row is left out, the same for every feature
    assert bool(((out - answer.scores[0][:, None]).abs() < 1e-12).all(0).any())


def test_intervals_hold_the_mean_over_unlimited_rows_about_as_often_as_they_say():
    inside = []
    for seed in range(200):
        rows = torch.randn(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        answer = Permutation(rows=rows, seed=seed)(SUBJECT, pl.Decision(ROW))
        low, high = answer.interval[0][0], answer.interval[1][0]
        exact = torch.tensor([-2.0, -2.0, 0.5]).double()
        inside.append(((low <= exact) & (exact <= high)).double())
    assert 0.92 <= float(torch.stack(inside).mean()) <= 0.98


def test_a_table_takes_its_reference_rows():
    reference = torch.tensor([[10.0, 1.0], [20.0, 2.0], [30.0, 3.0]])
    task = pl.tasks.Tabular(["a", "b"], means=[20.0, 2.0], deviations=[10.0, 1.0], reference=reference, output="value")
    subject = pl.wrap(lambda rows: rows[:, :1] * 5, task)
    answer = Permutation()(subject, pl.Decision([40.0, 2.0]))
    assert answer.scores[0].tolist() == pytest.approx([10.0, 0.0])
    assert [row["feature"] for row in answer.table()] == ["a", "b"]


def test_a_batch_can_be_permuted_within_itself():
    answer = Permutation(rows=OTHERS[:5])(SUBJECT, pl.Decision(OTHERS[:5]))
    assert answer.scores.shape == (5, 3)
    expected = OTHERS[:5, 2] - OTHERS[:5, 2].mean()
    torch.testing.assert_close(answer.scores[:, 2], expected, rtol=0, atol=1e-12)


def test_without_other_rows_there_is_a_way_out():
    with pytest.raises(NotAnswerable, match=r"rows=…\), or ask feature-ablation"):
        Permutation()(SUBJECT, pl.Decision(ROW))
    with pytest.raises(UsageError, match=r"in the shape of \(3,\)"):
        Permutation(rows=OTHERS[:, :2])(SUBJECT, pl.Decision(ROW))
    with pytest.raises(UsageError, match="two rows"):
        Permutation(rows=OTHERS[:1])(SUBJECT, pl.Decision(ROW))
