"""Whatever is wrapped, the caller's own objects stay as they are."""

import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch import nn

import pellucid as pl
from pellucid.core.errors import UsageError
from pellucid.core.subject import Subject
from pellucid.subjects.callable import FunctionSubject
from pellucid.subjects.sklearn import EstimatorSubject
from pellucid.subjects.torch import TorchSubject
from pellucid.tasks import Tabular, TensorTask

ROWS = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 4.0]])


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(2, 2)


def estimator() -> LinearRegression:
    return LinearRegression().fit(ROWS, ROWS)


def function(batch: torch.Tensor) -> torch.Tensor:
    return batch


MODELS = {TorchSubject: network, EstimatorSubject: estimator, FunctionSubject: lambda: function}


@pytest.mark.parametrize("kind", MODELS)
def test_each_kind_of_model_becomes_a_subject(kind):
    subject = pl.wrap(MODELS[kind]())
    assert isinstance(subject, kind)
    assert isinstance(subject, Subject)
    assert subject.scores(torch.tensor(ROWS).float()).shape == (3, 2)


@pytest.mark.parametrize("kind", MODELS)
def test_the_task_of_the_caller_is_never_changed(kind):
    task = Tabular(["a", "b"])
    before = copy.deepcopy(vars(task))
    subject = pl.wrap(MODELS[kind](), task, labels=["no", "yes"])
    assert subject.task.labels == ("no", "yes")
    assert {name: value for name, value in vars(task).items() if not isinstance(value, torch.Tensor)} == {
        name: value for name, value in before.items() if not isinstance(value, torch.Tensor)
    }


@pytest.mark.parametrize("kind", MODELS)
def test_one_task_serves_two_subjects_with_their_own_labels(kind):
    task = Tabular(["a", "b"])
    first, second = (pl.wrap(MODELS[kind](), task, labels=labels) for labels in (["a", "b"], ["c", "d"]))
    assert (first.task.labels, second.task.labels) == (("a", "b"), ("c", "d"))


@pytest.mark.parametrize("kind", MODELS)
def test_a_subject_comes_back_as_it_is(kind):
    subject = pl.wrap(MODELS[kind]())
    assert pl.wrap(subject) is subject
    with pytest.raises(UsageError, match="a subject takes no labels"):
        pl.wrap(subject, labels=["a", "b"])


def test_wrapping_a_subject_does_not_ask_its_model():
    asked = []
    subject = pl.wrap(lambda batch: asked.append(batch) or batch, TensorTask(shape=(2,)))
    assert pl.wrap(subject) is subject
    assert asked == []


def test_names_are_those_of_the_model_unless_given():
    assert pl.wrap(network()).name == "Linear"
    assert pl.wrap(estimator()).name == "LinearRegression"
    assert pl.wrap(function).name == "function"
    assert pl.wrap(lambda batch: batch).name == "function"
    assert pl.wrap(network(), name="mine").name == "mine"


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (network(), {"numpy": True}),
        (network(), {"version": "1"}),
        (estimator(), {"output": 0}),
        (estimator(), {"device": "cpu"}),
        (estimator(), {"numpy": True}),
        (function, {"device": "cpu"}),
    ],
)
def test_options_of_another_kind_are_refused(model, options):
    (option,) = options
    with pytest.raises(UsageError, match=f"takes no {option}; leave {option}= out"):
        pl.wrap(model, **options)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear, "the class Linear"),
        (LinearRegression, "the class LinearRegression"),
        ("net.pt", "a str"),
        (7, "a int"),
    ],
)
def test_what_is_no_model_is_refused_with_what_is(model, message):
    with pytest.raises(UsageError, match=f"cannot wrap {message}; give an nn.Module"):
        pl.wrap(model)


def test_labels_are_given_once_and_as_a_list():
    with pytest.raises(UsageError, match="given twice"):
        pl.wrap(network(), TensorTask(labels=("a", "b")), labels=["c", "d"])
    with pytest.raises(UsageError, match="not the text 'yes'"):
        pl.wrap(network(), labels="yes")
    assert pl.wrap(network(), TensorTask(labels=("a", "b")), labels=["a", "b"]).task.labels == ("a", "b")
