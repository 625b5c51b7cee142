"""Any graph: without biases and stabilisers, relevance is input times gradient, whatever the topology."""

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from engine.networks import closes, explained
from pellucid.engine.rules import Composite, Epsilon, Norm

WIDTH = 4
LRP0 = Composite("lrp-0", convolution=Epsilon(0.0), linear=Epsilon(0.0), sum=Norm(0.0))

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["module", "relu", "relu_", "leaky", "add", "add_", "join", "slice", "scale", "mask", "max", "half", "view"]
        ),
        st.integers(0, 5),
        st.integers(0, 5),
    ),
    min_size=2,
    max_size=12,
)


class Program(nn.Module):
    """A random straight-line program over vectors, with three maps that any step may call again."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.maps = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.joins = nn.Linear(2 * WIDTH, WIDTH, bias=False)
        self.double()

    def forward(self, point):
        values = [point * 1.0, point * 0.5]
        for name, one, two in self.steps:
            first, second = values[one % len(values)], values[two % len(values)]
            made = self.step(name, one, first, second)
            if made is not None:
                values.append(made)
        return sum(values[2:], start=values[0]).sum(1, keepdim=True)

    def step(self, name, number, first, second):
        match name:
            case "module":
                return self.maps[number % 3](first)
            case "relu":
                return functional.relu(first)
            case "relu_":
                first.relu_()
            case "leaky":
                return functional.leaky_relu(first, 0.1)
            case "add":
                return first + second
            case "add_":
                first += second
            case "join":
                return self.joins(torch.cat([first, second], 1))
            case "slice":
                made = first.clone()
                made[:, number % 3 :] = second[:, number % 3 :]
                return made
            case "scale":
                first.mul_(1.5)
            case "mask":
                return torch.where(first > 0, first, second)
            case "max":
                return torch.maximum(first, second)
            case "half":
                first[:, :2] += second[:, 2:]
            case "view":
                return first.view(-1, 2, 2).transpose(1, 2).flip(2).reshape(-1, WIDTH)
        return None


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(steps=STEPS, seed=st.integers(0, 1000))
def test_relevance_of_a_random_program_is_input_times_gradient(steps, seed):
    torch.manual_seed(seed)
    program, point = Program(steps), torch.randn(2, WIDTH, dtype=torch.float64)
    leaf = point.clone().requires_grad_()
    try:
        (gradient,) = torch.autograd.grad(program(leaf).sum(), leaf)
    except RuntimeError as error:
        # Autograd cannot differentiate what overwrites a value it needs; the tape can, but there is nothing to compare.
        assume("modified by an inplace operation" not in str(error))
        raise
    found = explained(program, point, LRP0)
    expected = leaf.detach() * gradient
    assume(bool((found.value.abs() > 1e-6).all()))
    scale = float(expected.abs().max())
    torch.testing.assert_close(found.scores, expected, rtol=0, atol=1e-8 * max(scale, 1e-6))
    torch.testing.assert_close(found.total, found.value, rtol=1e-8, atol=1e-10)
    assert closes(found, 1e-8)


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (2, 3, 9, 7)])
def test_relevance_of_a_dense_network_is_input_times_gradient(shape):
    """DenseNet: everything before is joined and read again, with max pooling in between."""

    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.steps = nn.ModuleList(nn.Conv2d(3 + 4 * number, 4, 3, padding=1, bias=False) for number in range(4))
            self.last = nn.Linear(19, 3, bias=False)
            self.double()

        def forward(self, x):
            for number, step in enumerate(self.steps):
                x = torch.cat([x, functional.relu(step(functional.relu(x)))], 1)
                x = functional.max_pool2d(x, 2) if number == 1 else x
            return self.last(x.mean((2, 3)))

    network, point = Dense(), torch.randn(*shape, dtype=torch.float64)
    leaf = point.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(leaf)[:, 1].sum(), leaf)
    found = explained(network, point, LRP0, target=1)
    torch.testing.assert_close(found.scores, point * gradient, rtol=1e-8, atol=1e-12)
