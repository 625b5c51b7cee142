"""Multipliers between two runs: closed forms for each kind of operation, completeness on any graph, both paths alike."""

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from engine.networks import ResNet, seeded
from engine.programs import STEPS, WIDTH, Program
from pellucid.core.errors import NotAnswerable
from pellucid.engine.alignment import Alignment
from pellucid.engine.backward import walked_back
from pellucid.engine.multipliers import Rescale
from pellucid.engine.reveal_cancel import RevealCancel
from pellucid.engine.tape import Tape

RULES = (Rescale, RevealCancel)


def rows(*given):
    return torch.tensor(given, dtype=torch.float64)


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def multiplied(model, point, reference, rule=Rescale):
    """Multipliers of the point, and what its contributions leave unexplained."""
    module = model if isinstance(model, nn.Module) else None
    with Tape(point, module) as tape:
        values = model(point)
    with Tape(reference, module) as other:
        lowest = model(reference)
    found = walked_back(tape, values, otherwise=rule(Alignment(tape, other), torch.float64))
    scores = found * (point - reference)
    return found, values - lowest - scores.flatten(1).sum(1)


MATRIX = drawn(6, 6, seed=7)
COMPLETE = {
    "softmax": lambda h: h.softmax(1)[:, 0],
    "log-softmax": lambda h: h.log_softmax(1)[:, 2],
    "layer norm": lambda h: functional.layer_norm(h, (6,)).relu()[:, 0],
    "group norm": lambda h: functional.group_norm(h, 2).relu()[:, 1],
    "instance norm": lambda h: functional.instance_norm(h[:, None]).relu()[:, 0, 0],
    "attention": lambda h: functional.scaled_dot_product_attention(*h.view(-1, 1, 3, 2).unbind(1) * 3).sum((1, 2)),
    "leaky ReLU by hand": lambda h: torch.where(h > 0, h, 0.1 * h).sum(1),
    "ELU by hand": lambda h: torch.where(h > 0, h, h.exp() - 1).sum(1),
    "ReLU by a mask": lambda h: (h * (h > 0)).sum(1),
    "ReLU by where": lambda h: torch.where(h > 0, h, 0.0).sum(1),
    "ReLU by filling": lambda h: h.masked_fill(h < 0, 0.0).sum(1),
    "ReLU by maximum": lambda h: torch.maximum(h, torch.zeros(6, dtype=h.dtype)).sum(1),
    "maximum by index": lambda h: h.gather(1, h.argmax(1, keepdim=True))[:, 0],
    "quotient": lambda h: h[:, 0] / (1 + h.square().sum(1)),
    "inverse": lambda h: (2 / (1 + h.abs())).sum(1),
    "power": lambda h: (h**3).sum(1) + (2**h).sum(1),
    "steps": lambda h: (h * 3).round().sum(1),
    "gate": lambda h: functional.glu(h, 1).sum(1),
    "log-sigmoid": lambda h: functional.logsigmoid(h[:, 0]),
    "maximum": lambda h: torch.maximum(h, h.flip(1) * 0.5).sum(1),
    "minimum": lambda h: h.amin(1) + h.min(1).values,
    "pooling": lambda h: functional.max_pool1d(h[:, None], 3, 1, 1).sum((1, 2)),
    "deviation": lambda h: h.std(1),
    "log-sum-exp": lambda h: h.logsumexp(1),
    "products": lambda h: h.cumprod(1)[:, -1] + h.prod(1),
    "outer product": lambda h: torch.einsum("bi,bj->bij", h, h.tanh()).relu().sum((1, 2)),
    "distance": lambda h: torch.cdist(h[:, None], MATRIX[None].expand(len(h), 6, 6)).sum((1, 2)),
    "division by a constant": lambda h: (h / 3).relu().sum(1),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", COMPLETE)
def test_whatever_follows_a_linear_map_the_change_is_accounted_for(name, rule):
    model = lambda x: COMPLETE[name](x @ MATRIX)  # noqa: E731
    for reference in (drawn(3, 6, seed=1), drawn(3, 6, seed=1) * 0.01, torch.zeros(3, 6, dtype=torch.float64)):
        found, missed = multiplied(model, drawn(3, 6), reference, rule)
        size = (found * (drawn(3, 6) - reference)).abs().sum(1)
        assert bool((missed.abs() <= 1e-9 * size.clamp(min=1e-3)).all())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(steps=STEPS, seed=st.integers(0, 1000))
@pytest.mark.parametrize("rule", RULES)
def test_random_programs_are_accounted_for(rule, steps, seed):
    """All but those that switch between unrelated values, or sort: what no operation accounts for is left over there."""
    torch.manual_seed(seed)
    program = Program([step for step in steps if step[0] not in ("mask", "sort")])
    point, reference = (torch.randn(2, WIDTH, dtype=torch.float64) for _ in range(2))
    found, missed = multiplied(lambda x: program(x)[:, 0], point, reference, rule)
    size = (found * (point - reference)).abs().sum(1)
    assert bool((missed.abs() <= 1e-8 * size.clamp(min=1)).all())


@pytest.mark.parametrize("rule", RULES)
def test_a_resnet_is_accounted_for_in_both_precisions(rule):
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-4)):
        network = seeded(ResNet, dtype=dtype)
        point, reference = drawn(2, 3, 33, 31).to(dtype), drawn(2, 3, 33, 31, seed=1).to(dtype)
        found, missed = multiplied(lambda x: network(x)[:, 1], point, reference, rule)  # noqa: B023
        size = (found * (point - reference)).abs().flatten(1).sum(1)
        assert bool((missed.abs() <= tolerance * size).all())


def test_what_is_sorted_or_chosen_by_rank_is_averaged_as_far_as_parts_reach():
    for function in (lambda h: h.sort(1).values, lambda h: h.topk(2, 1).values, lambda h: h.median(1).values[:, None]):
        model = lambda x: (function(x @ MATRIX) * torch.arange(1.0, 7)[: function(x).shape[1]]).sum(1)  # noqa: B023, E731
        found, missed = multiplied(model, drawn(3, 6), drawn(3, 6, seed=1))
        size = (found * (drawn(3, 6) - drawn(3, 6, seed=1))).abs().sum(1)
        assert bool((missed.abs() <= 1e-3 * size).all())


def test_a_switch_between_unrelated_values_is_left_over():
    """Where the mask alone changes the output, no value of it changed, and nothing can be said to have done it."""
    found, missed = multiplied(lambda x: torch.where(x > 0, 1.0 + 0 * x, 0 * x).sum(1), rows([2.0]), rows([-1.0]))
    assert found.tolist() == [[0]]
    assert missed.tolist() == [1]


@pytest.mark.parametrize(
    "function",
    [torch.relu, torch.sigmoid, torch.tanh, functional.gelu, torch.exp, torch.square, torch.floor, torch.sin],
)
def test_an_elementwise_function_has_the_quotient_of_its_changes(function):
    point, reference = rows([2.0, -0.7, 0.3]), rows([-1.0, 0.2, 1.9])
    found, _ = multiplied(lambda x: function(x).sum(1), point, reference)
    expected = (function(point) - function(reference)) / (point - reference)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)


def test_what_hardly_changes_has_the_average_derivative_not_the_noise_of_a_quotient():
    point = rows([0.5, -3.0, -5.5, 40.0, 0.0])
    for change in (10.0**-power for power in range(17)):
        found, _ = multiplied(lambda x: functional.gelu(x).sum(1), point, point - change)
        nodes, weights = (torch.tensor(part)[:, None] for part in np.polynomial.legendre.leggauss(20))
        place = point - change / 2 + nodes * change / 2
        slope = (1 + torch.erf(place / math.sqrt(2))) / 2 + place * torch.exp(-(place**2) / 2) / math.sqrt(2 * math.pi)
        torch.testing.assert_close(found, (slope * weights).sum(0, keepdim=True) / 2, rtol=0, atol=1e-10)


def test_what_does_not_change_at_all_has_the_derivative():
    for function in (torch.relu, torch.tanh, functional.hardtanh):
        point = rows([0.7, -0.3, 2.0]).requires_grad_()
        (slope,) = torch.autograd.grad(function(point).sum(), point)
        found, _ = multiplied(lambda x: function(x).sum(1), point.detach(), point.detach().clone())  # noqa: B023
        torch.testing.assert_close(found, slope)


def test_kinks_are_not_taken_for_noise():
    found, _ = multiplied(lambda x: functional.hardtanh(x).sum(1), rows([1 + 1e-9, 1e-9]), rows([1 - 3e-9, -1e-9]))
    torch.testing.assert_close(found, rows([0.75, 1.0]), rtol=1e-6, atol=0)


def test_a_product_is_shared_half_and_half():
    point, reference = rows([3.0, 5.0]), rows([1.0, -1.0])
    found, missed = multiplied(lambda x: x[:, 0] * x[:, 1], point, reference)
    assert found.tolist() == [[2, 2]]  # the mean of the other factor
    assert missed.tolist() == [0]


def test_a_matrix_product_of_two_values_is_taken_half_way():
    def model(x):
        return (x[:, :4].view(-1, 2, 2) @ x[:, 4:].view(-1, 2, 2)).sum((1, 2))

    point, reference = drawn(2, 8), drawn(2, 8, seed=1)
    found, missed = multiplied(model, point, reference)
    middle = ((point + reference) / 2).requires_grad_()
    torch.testing.assert_close(found, torch.autograd.grad(model(middle).sum(), middle)[0])
    assert float(missed.abs().max()) < 1e-12


def test_softmax_and_layer_norm_have_their_derivative_averaged_over_the_path():
    for function in (lambda h: h.softmax(1)[:, 0], lambda h: functional.layer_norm(h, (6,))[:, 2]):
        point, reference = drawn(1, 6), drawn(1, 6, seed=1)
        found, _ = multiplied(function, point, reference)
        places = (torch.arange(20000, dtype=torch.float64)[:, None] + 0.5) / 20000
        path = (reference + places * (point - reference)).requires_grad_()
        expected = torch.autograd.grad(function(path).sum(), path)[0].mean(0, keepdim=True)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def test_maxima_go_by_the_winners_of_both_runs():
    pool = lambda x: functional.max_pool1d(x[:, None], 2).sum((1, 2))  # noqa: E731
    for maximum in (pool, lambda x: x.amax(1), lambda x: x.max(1).values, lambda x: torch.maximum(x[:, 0], x[:, 1])):
        found, _ = multiplied(maximum, rows([3.0, 1.0]), rows([0.0, 2.0]))
        assert (found * rows([3.0, -1.0])).tolist() == [[1, 0]]  # up to 3 from the reference's 2
        found, _ = multiplied(maximum, rows([1.0, 0.0]), rows([0.0, 3.0]))
        assert (found * rows([1.0, -3.0])).tolist() == [[0, -2]]  # from 3 down to the input's 1
        found, _ = multiplied(maximum, rows([3.0, 1.0]), rows([2.0, 1.0]))
        assert found.tolist() == [[1, 0]]
        found, _ = multiplied(maximum, rows([3.0, 1.0]), rows([3.0, 2.0]))
        assert found.tolist() == [[1, 0]]  # the winner did not change, and would count if it did
    found, _ = multiplied(lambda x: x.amin(1), rows([-3.0, -1.0]), rows([0.0, -2.0]))
    assert (found * rows([-3.0, 1.0])).tolist() == [[-1, 0]]


def test_no_multiplier_of_a_maximum_is_larger_than_one():
    point, reference = drawn(50, 9), drawn(50, 9, seed=1)
    point[:, 0] = reference[:, 0] + 1e-7 * point[:, 0]
    found, _ = multiplied(lambda x: functional.max_pool1d(x[:, None], 3, 1).sum((1, 2)) / 3, point, reference)
    assert float(found.max()) <= 1 + 1e-9
    assert float(found.min()) >= 0


class Branching(nn.Module):
    def __init__(self, way):
        super().__init__()
        self.way, self.first, self.second = way, nn.Linear(2, 2).double(), nn.Linear(2, 2).double()

    def forward(self, x):
        return self.way(self, x, bool((x > 0).all())).sum(1)


WAYS = {
    "another operation": lambda net, x, high: x.sigmoid() if high else x.tanh(),
    "one operation more": lambda net, x, high: x.sigmoid() * 2 if high else x.sigmoid(),
    "one operation less": lambda net, x, high: x.sigmoid() if high else x.sigmoid() * 2,
    "another number": lambda net, x, high: x * (2 if high else 3),
    "another element": lambda net, x, high: x[:, int(high) : int(high) + 1].exp(),
    "another value": lambda net, x, high: (lambda values: values[high].exp())([x.sin(), x.cos()]),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_network_that_takes_another_path_is_refused(way):
    model = Branching(WAYS[way])
    multiplied(model, rows([1.0, 2.0]), rows([3.0, 4.0]))
    with pytest.raises(NotAnswerable, match="another path for the baseline than for the input, from aten"):
        multiplied(model, rows([1.0, 2.0]), rows([-3.0, 4.0]))


@pytest.mark.parametrize("sign", [1, -1])
def test_one_more_operation_at_the_end_is_another_path(sign):
    def model(x):
        values = x.exp().sum(1)
        return values * 2 if bool((sign * x > 0).all()) else values

    with pytest.raises(NotAnswerable, match="another path for the baseline than for the input, from aten.mul on"):
        multiplied(model, rows([1.0, 2.0]), rows([-3.0, -4.0]))


def test_other_weights_for_the_reference_are_left_over():
    model = Branching(lambda net, x, high: (net.first if high else net.second)(x))
    _, missed = multiplied(model, rows([1.0, 2.0]), rows([3.0, 4.0]))
    assert float(missed.abs()) < 1e-12
    _, missed = multiplied(model, rows([1.0, 2.0]), rows([-3.0, 4.0]))
    assert float(missed.abs()) > 1e-3


def paper(weights, biases, function, point, reference):
    """RevealCancel for a fully connected network of one output, unit by unit, as its authors write it."""
    here, there = [point], [reference]
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        here.append(function(weight @ here[-1] + bias))
        there.append(function(weight @ there[-1] + bias))
    multipliers = weights[-1][0].clone()
    for layer in reversed(range(len(weights) - 1)):
        weight, bias = weights[layer], biases[layer]
        changes, below = here[layer] - there[layer], torch.zeros_like(here[layer])
        for unit in range(len(weight)):
            terms = weight[unit] * changes
            start = weight[unit] @ there[layer] + bias[unit]
            up, down = terms.clamp(min=0).sum(), terms.clamp(max=0).sum()
            raised = (function(start + up) - function(start) + function(start + up + down) - function(start + down)) / 2
            lowered = (
                function(start + down) - function(start) + function(start + up + down) - function(start + up)
            ) / 2
            for place, term in enumerate(terms):
                shares = (raised / up, lowered / down)
                share = shares[0] if term > 0 else shares[1] if term < 0 else (shares[0] + shares[1]) / 2
                below[place] += multipliers[unit] * share * weight[unit, place]
        multipliers = below
    return multipliers


@pytest.mark.parametrize("function", [torch.relu, torch.tanh])
def test_reveal_cancel_of_a_deep_network_is_that_of_the_paper(function):
    weights = [drawn(7, 5, seed=1), drawn(6, 7, seed=2), drawn(1, 6, seed=3)]
    biases = [drawn(7, seed=4), drawn(6, seed=5), drawn(1, seed=6)]

    def model(x):
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            x = function(functional.linear(x, weight, bias))
        return functional.linear(x, weights[-1], biases[-1])[:, 0]

    point, reference = drawn(3, 5), drawn(3, 5, seed=9)
    found, missed = multiplied(model, point, reference, RevealCancel)
    for row in range(3):
        expected = paper(weights, biases, function, point[row], reference[row])
        torch.testing.assert_close(found[row], expected, rtol=1e-10, atol=1e-12)
    assert float(missed.abs().max()) < 1e-12


def test_reveal_cancel_goes_by_the_terms_of_the_last_of_two_linear_maps():
    inner, outer, last = drawn(4, 5, seed=1), drawn(3, 4, seed=2), drawn(1, 3, seed=3)
    none = torch.zeros(3, dtype=torch.float64)
    point, reference = drawn(5, seed=18), drawn(5, seed=68)
    found, missed = multiplied(
        lambda x: ((x @ inner.T) @ outer.T).relu() @ last[0], point[None], reference[None], RevealCancel
    )
    above = paper([outer, last], [none, none], torch.relu, inner @ point, inner @ reference)
    torch.testing.assert_close(found[0], above @ inner)
    assert float(missed.abs()) < 1e-12


WRITTEN = {
    "linear": lambda x, w, b: functional.linear(x, w, b).relu(),
    "in place": lambda x, w, b: functional.linear(x, w, b).relu_(),
    "matrix product and bias": lambda x, w, b: (x @ w.T + b).relu(),
    "minus a bias": lambda x, w, b: (x @ w.T - (-b)).relu(),
    "negated twice": lambda x, w, b: (-(x @ -w.T - b)).relu(),
    "from the right": lambda x, w, b: torch.addmm(b[:, None], w, x.T).T.relu(),
    "scaled": lambda x, w, b: (functional.linear(x, w / 2, b / 2) * 2).relu(),
    "divided by a negative": lambda x, w, b: (functional.linear(x, w, b) / -0.5 * -0.5).relu(),
    "subtracted from": lambda x, w, b: (b - functional.linear(x, -w)).relu(),
    "a convolution": lambda x, w, b: functional.conv1d(x[:, :, None], w[:, :, None], b).relu()[:, :, 0],
    "a batch norm behind": lambda x, w, b: (
        functional.batch_norm(functional.linear(x, w), b * 0, b * 0 + 4, b * 0 - 2, -b, eps=0).neg().relu()
    ),
    "three axes": lambda x, w, b: functional.linear(x[:, None], w, b).relu()[:, 0],
    "a view": lambda x, w, b: functional.linear(x, w, b).view(-1, 2, 2).transpose(1, 2).relu().mT.flatten(1),
    "two halves": lambda x, w, b: (
        functional.linear(x[:, :2], w[:, :2], b) + functional.linear(x[:, 2:], w[:, 2:])
    ).relu(),
    "single terms": lambda x, w, b: sum(x[:, i : i + 1] * w[:, i] for i in range(5)).add(b).relu(),
}


@pytest.mark.parametrize("way", WRITTEN)
def test_reveal_cancel_does_not_depend_on_how_a_linear_map_is_written(way):
    weight, bias, last = drawn(4, 5, seed=1), drawn(4, seed=2), drawn(4, seed=3)
    point, reference = drawn(3, 5), drawn(3, 5, seed=9)
    found, missed = multiplied(lambda x: WRITTEN[way](x, weight, bias) @ last, point, reference, RevealCancel)
    for row in range(3):
        expected = paper([weight, last[None]], [bias, bias[:1] * 0], torch.relu, point[row], reference[row])
        torch.testing.assert_close(found[row], expected, rtol=1e-9, atol=1e-12)
    assert float(missed.abs().max()) < 1e-12


def test_reveal_cancel_adds_up_over_several_readers_of_one_linear_map():
    weight = drawn(4, 5, seed=1)
    point, reference = drawn(3, 5), drawn(3, 5, seed=9)

    def both(x):
        hidden = x @ weight.T
        return hidden.relu().sum(1) + 2 * hidden.tanh().sum(1) - hidden.sum(1)

    readers = (lambda h: h.relu(), lambda h: 2 * h.tanh(), lambda h: -h)
    found, _ = multiplied(both, point, reference, RevealCancel)
    alone = [multiplied(lambda x: read(x @ weight.T).sum(1), point, reference, RevealCancel)[0] for read in readers]  # noqa: B023
    torch.testing.assert_close(found, sum(alone))


def test_reveal_cancel_is_rescale_where_nothing_cancels():
    model = lambda x: functional.softplus(x.sin()).sum(1)  # noqa: E731
    one, _ = multiplied(model, drawn(3, 5), drawn(3, 5, seed=1), RevealCancel)
    other, _ = multiplied(model, drawn(3, 5), drawn(3, 5, seed=1), Rescale)
    assert torch.equal(one, other)
