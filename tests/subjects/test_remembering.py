"""A black box with a memory is asked once for every example, and answers as one without."""

import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from torch import nn

import pellucid as pl
from pellucid.core import meter
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.methods.surrogates.lime import Lime
from pellucid.tasks import Tabular, TensorTask

ROWS = torch.randn(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class Function:
    """A function that knows which rows it was given."""

    def __init__(self, noise=0.0):
        self.rows, self.noise = [], noise

    def __call__(self, batch):
        self.rows += batch.tolist()
        scores = torch.stack([batch.sum(1), batch.prod(1)], 1)
        return scores + self.noise * torch.rand(scores.shape, dtype=scores.dtype)


def test_an_example_is_asked_once_whatever_its_batch(tmp_path):
    function = Function()
    expected = function(ROWS)
    subject = pl.wrap(function, TensorTask(), cache=tmp_path)
    first = subject.scores(ROWS[:3])
    function.rows.clear()
    mixed = subject.scores(ROWS[[5, 0, 5, 2, 6]])
    assert function.rows == ROWS[[5, 6]].tolist()
    assert torch.equal(torch.cat([first, mixed]), expected[[0, 1, 2, 5, 0, 5, 2, 6]])


def test_another_process_finds_the_answers(tmp_path):
    task = Tabular(["a", "b", "c", "d"])
    pl.wrap(Function(), task, name="f", cache=tmp_path).scores(ROWS)
    later = Function()
    subject = pl.wrap(later, task, name="f", cache=str(tmp_path))
    torch.testing.assert_close(subject.scores(ROWS), Function()(ROWS))
    assert not [row for row in ROWS.tolist() if row in later.rows]


def test_what_an_answer_costs_does_not_depend_on_the_memory(tmp_path):
    method, counts = Lime(samples=30), []
    for options in ({}, {"cache": tmp_path}, {"cache": tmp_path}):
        subject = pl.wrap(Function(), TensorTask(), **options)
        with meter.metered() as passes:
            result = method(subject, pl.Decision(ROWS[:1], target=1))
        counts.append((passes.forward, result.evaluations, result.scores.tolist()))
    assert counts[0] == counts[1] == counts[2]


@pytest.mark.parametrize("task", [TensorTask(), Tabular(["a", "b", "c", "d"])], ids=["no probe", "probe"])
def test_a_model_that_answers_differently_each_time_is_refused(tmp_path, task):
    torch.manual_seed(0)
    subject = pl.wrap(Function(noise=1.0), task, cache=tmp_path)
    with pytest.raises(NotAnswerable, match="twice the same"):
        subject.scores(ROWS)


def test_another_function_of_the_name_is_another_model(tmp_path):
    task = Tabular(["a", "b", "c", "d"])
    pl.wrap(Function(), task, name="f", cache=tmp_path).scores(ROWS)
    other = pl.wrap(lambda batch: 2 * Function()(batch), task, name="f", cache=tmp_path)
    torch.testing.assert_close(other.scores(ROWS), 2 * Function()(ROWS))


def test_an_estimator_remembers_too(tmp_path, monkeypatch):
    data = load_wine()
    estimator = LogisticRegression(max_iter=20, solver="liblinear").fit(data.data[:, :4], data.target > 0)
    rows = torch.tensor(data.data[:5, :4])
    first = pl.wrap(estimator, cache=tmp_path).scores(rows)
    second = pl.wrap(estimator, cache=tmp_path)
    monkeypatch.setattr(LogisticRegression, "predict_proba", None)
    assert torch.equal(second.scores(rows), first)


def test_a_module_and_a_subject_take_no_cache(tmp_path):
    with pytest.raises(UsageError, match="takes no cache"):
        pl.wrap(nn.Linear(4, 2), cache=tmp_path)
    with pytest.raises(UsageError, match="takes no cache"):
        pl.wrap(pl.wrap(Function()), cache=tmp_path)
