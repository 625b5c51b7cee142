"""Rectifiers answer as ever while their gradient passes, and are themselves again afterwards."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from pellucid.engine.passing import PassingRectifiers

OPERATIONS = {
    "relu": torch.relu,
    "functional": functional.relu,
    "in place": lambda x: functional.relu(x, inplace=True),
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "relu6": functional.relu6,
    "module": nn.ReLU(inplace=True),
    "clamp": lambda x: x.clamp(min=0),
    "clamp in place": lambda x: x.clamp_(0, 6),
    "clamp_min": lambda x: torch.clamp_min(x, 0),
    "hardtanh": lambda x: functional.hardtanh(x, 0.0, 6.0),
    "threshold": lambda x: functional.threshold(x, 0.0, 0.0),
    "maximum": lambda x: torch.maximum(x, torch.zeros(())),
}


def differentiated(operation, x):
    leaf = x.clone().requires_grad_()
    value = operation(leaf * 1)
    return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]


@pytest.mark.parametrize("name", OPERATIONS)
def test_values_stay_and_gradients_pass(name):
    x = torch.tensor([-3.0, -0.5, 0.5, 3.0])
    value, gradient = differentiated(OPERATIONS[name], x)
    assert gradient.tolist() == [0, 0, 1, 1]
    with PassingRectifiers(0) as passing:
        again, passed = differentiated(OPERATIONS[name], x)
    assert torch.equal(again, value)
    assert passed.tolist() == [1, 1, 1, 1]
    assert passing.calls >= 1
    assert differentiated(OPERATIONS[name], x)[1].tolist() == [0, 0, 1, 1]


def test_rectifiers_before_the_first_that_passes_keep_their_gradient():
    network = lambda x: torch.relu(torch.relu(x) - 5)  # noqa: E731
    x = torch.tensor([-1.0, 1.0])
    found = []
    for first in (0, 1, 2):
        with PassingRectifiers(first) as passing:
            found.append(differentiated(network, x)[1].tolist())
        assert passing.calls == 2
    assert found == [[1, 1], [0, 1], [0, 0]]


def test_what_needs_no_gradient_is_not_counted():
    with PassingRectifiers(0) as passing:
        assert torch.relu(torch.tensor([-1.0])).tolist() == [0]
    assert passing.calls == 0


def test_the_mode_ends_with_its_block_also_where_that_fails():
    depth = torch._C._len_torch_function_stack()
    with pytest.raises(ValueError, match="inside"), PassingRectifiers(0):
        raise ValueError("inside")
    assert torch._C._len_torch_function_stack() == depth
