"""A pass as a list of operations: repeated, it gives what the pass gave; what a list cannot tell is said to be so."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from pellucid.engine.program import Recorder, Rows, Unrepeatable, program


def rows(number, seed):
    return torch.randn(number, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def heard(function, several=3):
    """The program of a function, from one row and from several others."""
    one, others = rows(1, 0), rows(several, 1)
    with torch.no_grad():
        with Recorder({"x": one}) as alone:
            first = function(one)
        with Recorder({"x": others}) as together:
            second = function(others)
    return program(alone, together, (first, second), several)


def repeated(passes, given):
    """The output of the program for other rows."""
    values = {passes.inputs["x"]: given}
    for operation in passes.operations:
        for slot, found in zip(operation.outputs, operation.run(values.__getitem__, len(given)), strict=True):
            if slot is not None:
                values[slot] = found
    return values[passes.output]


def in_place(x):
    found = x * 2
    found += 1
    found.relu_()
    return found.flatten(1).sum(1)


def rearranged(x):
    return x.reshape(len(x) * 3, 16).view(-1, 4, 4).transpose(1, 2).contiguous().view(len(x), -1).cumsum(1)


def several_results(x):
    low, high = x.split([1, 2], 1)
    values, places = high.max(1)
    return values + low[:, 0] + places


def own_tensors(x):
    start = torch.zeros(len(x), 3, 4, 4, dtype=x.dtype)
    return (start + x + torch.tensor(2.0) + torch.arange(4.0)).mean((2, 3))


WEIGHT = torch.linspace(-1, 1, 9, dtype=torch.float64).view(3, 3)
REPEATABLE = {
    "in place": in_place,
    "rearranged": rearranged,
    "several results": several_results,
    "tensors of its own": own_tensors,
    "a weight from outside": lambda x: x.mean((2, 3)) @ WEIGHT.t(),
    "dead ends": lambda x: (x.numpy() if False else x.exp(), x.sum(), x * 2)[2],
    "attention": lambda x: functional.scaled_dot_product_attention(x, x, x).flatten(1),
    "a decision that stays": lambda x: x * 2 if bool(x.isfinite().all()) else x,
}


@pytest.mark.parametrize("name", REPEATABLE)
def test_a_program_gives_what_the_pass_gives_for_any_number_of_rows(name):
    function = REPEATABLE[name]
    passes = heard(function)
    for number in (1, 2, 5):
        given = rows(number, 10 + number)
        assert torch.allclose(repeated(passes, given.clone()), function(given.clone()), atol=1e-12)


def read_after_a_write(x):
    found = x * 1.0
    seen = found.view(len(x), -1)
    found.relu_()
    return seen.sum(1)


def running(x, kept=[0]):  # noqa: B006
    kept[0] += 1
    return x * kept[0]


UNREPEATABLE = {
    "a number taken out": (lambda x: x * float(x.sum()), "number"),
    "a detour through numpy": (lambda x: torch.from_numpy(x.numpy() ** 2).mean((2, 3)), "computed by|given something"),
    "a detour on the side": (lambda x: x + torch.from_numpy(x.numpy() ** 2), "given something else"),
    "memory that is read after a write": (read_after_a_write, "written through one"),
    "a decision that changes": (lambda x: x * 2 if bool((x > 0).all()) or len(x) > 2 else x.exp(), "depend"),
    "another way for one row": (lambda x: x.sum(1) if len(x) > 1 else x.exp().sum(1), "depend"),
    "a factor that changes": (running, "given something else"),
    "noise": (lambda x: x + torch.from_numpy(torch.randn(3, 4, 4).double().numpy()), "given something else"),
    "scores that no operation made": (lambda x: WEIGHT, "not computed"),
}


@pytest.mark.parametrize("name", UNREPEATABLE)
def test_what_operations_alone_do_not_tell_is_refused(name):
    function, why = UNREPEATABLE[name]
    with pytest.raises(Unrepeatable, match=why):
        heard(function)


def test_counts_of_rows_are_told_from_other_numbers():
    passes = heard(lambda x: x.reshape(len(x) * 3, 16) + 3)
    reshape, add = passes.operations
    assert reshape.counts_rows
    assert list(reshape.args[1]) == [Rows(3), 16]
    assert not add.counts_rows
    assert passes.batched == {passes.inputs["x"]}


def test_what_does_not_depend_on_an_input_is_known():
    weight = nn.Parameter(torch.ones(3, 3).double())
    passes = heard(lambda x: x.mean((2, 3)) @ (weight * 2))
    varying = passes.depending_on("x")
    doubled = next(operation for operation in passes.operations if operation.name == "aten.mul")
    assert passes.output in varying
    assert doubled.outputs[0] not in varying


def test_nothing_that_only_died_is_kept():
    one, sizes = rows(1, 0), []
    with torch.no_grad(), Recorder({"x": one}) as recorder:
        found = one
        for _ in range(20):
            found = found + 1
            sizes.append(len(recorder._slots))
    assert sizes[-1] <= 3
    assert recorder.slot(found) is not None
    assert recorder.slot(one) is not None
