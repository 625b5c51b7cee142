"""Samples suit the task, differ from each other, and are the same every time."""

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.guide.samples import PHOTOGRAPHS, SENTENCES, samples

TASKS = {
    "colour pictures": pl.tasks.Image(32),
    "grey pictures": pl.tasks.Image(8, mean=(0.0,), deviation=(1.0,)),
    "rows with a reference": pl.tasks.Tabular(["a", "b"], reference=torch.arange(20.0).view(10, 2)),
    "rows": pl.tasks.Tabular(["a", "b"]),
    "characters": pl.tasks.Sequence(vocabulary="abcdefgh"),
    "channels": pl.tasks.Sequence(channels=["left", "right"]),
    "tensors": pl.tasks.TensorTask(shape=(3, 4)),
}


def sampled(task):
    return samples(pl.wrap(nn.Flatten(), task))


@pytest.mark.parametrize("name", TASKS)
def test_samples_suit_the_task_and_differ_from_each_other(name):
    inputs = sampled(TASKS[name])
    assert inputs.value.shape[1:] == TASKS[name].example().value.shape[1:] or name == "characters"
    rows = inputs.value.flatten(1)
    assert len(inputs) >= 4
    assert len(torch.unique(rows, dim=0)) == len(rows)


@pytest.mark.parametrize("name", TASKS)
def test_samples_are_the_same_every_time(name):
    assert torch.equal(sampled(TASKS[name]).value, sampled(TASKS[name]).value)


def test_characters_stay_one_hot():
    value = sampled(TASKS["characters"]).value
    assert torch.equal(value.sum(-1), torch.ones(value.shape[:2]))
    assert set(value.unique().tolist()) == {0.0, 1.0}


def test_rows_come_from_the_training_data():
    task = TASKS["rows with a reference"]
    assert torch.equal(sampled(task).value, task.reference)


def test_nothing_is_made_up_for_tensors_of_unknown_shape():
    assert sampled(pl.tasks.TensorTask()) is None


def test_every_photograph_is_installed_and_has_its_file():
    assert all(photograph.path.is_file() for photograph in PHOTOGRAPHS)
    assert len(SENTENCES) >= 4
