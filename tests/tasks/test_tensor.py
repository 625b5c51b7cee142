"""Tensors of which nothing else is known."""

import numpy as np
import pytest
import torch

from pellucid.core.errors import BadInput, UsageError
from pellucid.tasks.tensor import TensorTask, as_tensor


def test_numbers_of_any_kind_become_a_batch():
    for raw in ([[1, 2], [3, 4]], np.array([[1, 2], [3, 4]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]])):
        inputs = TensorTask().prepare(raw)
        assert inputs.value.tolist() == [[1.0, 2.0], [3.0, 4.0]]
        assert inputs.value.is_floating_point()


def test_a_tensor_keeps_its_precision_and_numbers_are_single():
    assert TensorTask().prepare(torch.ones(1, 2, dtype=torch.float64)).value.dtype == torch.float64
    assert TensorTask().prepare(np.ones((1, 2))).value.dtype == torch.float32


def test_one_example_of_a_known_shape_gets_its_batch():
    task = TensorTask(shape=(2, 3))
    assert task.prepare(torch.ones(2, 3)).value.shape == (1, 2, 3)
    assert task.example().value.shape == (1, 2, 3)
    with pytest.raises(BadInput, match=r"one example has shape \(2, 3\), not \(3, 2\)"):
        task.prepare(torch.ones(4, 3, 2))


def test_named_inputs_share_their_batch_and_the_first_is_the_point():
    inputs = TensorTask().prepare({"left": torch.ones(2, 3), "right": torch.ones(2, 1)})
    assert inputs.point == "left"
    assert TensorTask(point="right").prepare({"left": torch.ones(2, 3), "right": torch.ones(2, 1)}).point == "right"
    with pytest.raises(BadInput, match="differ in batch size"):
        TensorTask().prepare({"left": torch.ones(2, 3), "right": torch.ones(3, 1)})


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (torch.tensor([[1.0, torch.nan, torch.inf]]), "2 NaN or infinite values of 3"),
        (torch.zeros(0, 3), r"empty: shape \(0, 3\)"),
        ([], "empty"),
        ("text", "cannot make a tensor|cannot"),
        ([[1, 2], [3]], "cannot make a tensor"),
        pytest.param(object(), "cannot make a tensor", id="an object"),
        (torch.ones(3), "the first dimension is the batch"),
    ],
    ids=str,
)
def test_what_is_no_batch_of_finite_numbers_is_refused(raw, said):
    with pytest.raises(BadInput, match=said):
        TensorTask().prepare(raw)


def test_the_graph_of_a_tensor_is_left_behind():
    assert not as_tensor(torch.ones(2, requires_grad=True) * 2, "x").requires_grad


def test_baselines_are_zero_the_mean_of_each_example_and_draws_within_its_range():
    inputs = TensorTask().prepare(torch.tensor([[0.0, 2.0], [4.0, 8.0]]))
    task = TensorTask()
    assert not task.baseline(inputs, "zero").any()
    assert task.baseline(inputs, "mean").tolist() == [[1.0, 1.0], [6.0, 6.0]]
    draws = task.baseline(inputs, "uniform")
    assert bool(((draws >= 0) & (draws <= 8)).all())
    with pytest.raises(UsageError, match="no baseline 'blur' here"):
        task.baseline(inputs, "blur")


def test_draws_do_not_depend_on_neighbours():
    point = torch.tensor([[0.0, 2.0], [4.0, 8.0]])
    task = TensorTask()
    together = task.baseline(task.prepare(point), "uniform")
    assert torch.equal(task.baseline(task.prepare(point[1:]), "uniform")[0], together[1])


def test_every_element_is_a_feature():
    features = TensorTask().features(TensorTask().prepare(torch.ones(2, 2, 3)), "elements")
    assert features.segments[1].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert features.counts() == (6, 6)
