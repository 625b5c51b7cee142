"""Batches respect the budget, give way when memory runs out, and never change an answer."""

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core import meter
from pellucid.core.errors import SubjectFailed
from pellucid.core.query import Decision
from pellucid.engine.batching import evaluate, examples_within_budget, in_batches, out_of_memory
from pellucid.engine.targets import resolve

MEBIBYTE = 1024 * 1024


SIZES: list[int] = []


class Seen(nn.Module):
    """A sum that notes the size of every batch of all its copies, and fails above a limit as torch without memory."""

    def __init__(self, limit=10**9):
        super().__init__()
        self.limit = limit

    def forward(self, rows):
        SIZES.append(len(rows))
        if len(rows) > self.limit:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")
        return rows.sum(1, keepdim=True)


def perturbed(rows):
    return torch.arange(rows.start, rows.stop, dtype=torch.float64)[:, None].expand(-1, 3)


def evaluated(module, number=20):
    subject = pl.wrap(module, name="seen")
    inputs = subject.prepare(torch.zeros(1, 3, dtype=torch.float64))
    target = resolve(subject, inputs, Decision(None, 0))
    SIZES.clear()
    return evaluate(subject, inputs, target, torch.zeros(number, dtype=torch.long), perturbed, "work")


def test_both_the_budget_and_the_cache_bound_a_batch():
    assert examples_within_budget(total=1, largest=1) == 512
    assert examples_within_budget(total=MEBIBYTE, largest=MEBIBYTE) == 16
    assert examples_within_budget(total=256 * MEBIBYTE, largest=MEBIBYTE) == 2
    assert examples_within_budget(total=2048 * MEBIBYTE, largest=2048 * MEBIBYTE) == 1
    with pl.byte_budget(100):
        assert examples_within_budget(total=30, largest=30) == 3
    assert examples_within_budget(total=30, largest=30) == 512


@pytest.mark.parametrize("budget", [1, 100, 10**6])
def test_values_are_those_of_each_row_in_order_whatever_the_budget(budget):
    with pl.byte_budget(budget):
        found = evaluated(Seen())
    assert found.dtype == torch.float64
    assert found.tolist() == [3.0 * n for n in range(20)]


def test_one_row_at_a_time_within_the_smallest_budget():
    with pl.byte_budget(1):
        evaluated(Seen())
    assert set(SIZES) == {1}


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_a_batch_is_halved_until_memory_suffices(limit):
    found = evaluated(Seen(limit))
    assert found.tolist() == [3.0 * n for n in range(20)]
    assert any(size > limit for size in SIZES)


def test_one_example_that_does_not_fit_is_an_error_with_the_way_out():
    subject = pl.wrap(Seen(limit=0), name="seen")
    with pytest.raises(SubjectFailed, match=r"seen ran out of memory .*smaller byte budget"):
        subject.scores(torch.zeros(4, 3))


def test_another_error_is_not_asked_again():
    asked = []

    def work(rows):
        asked.append(rows)
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        in_batches(10, 5, work)
    assert len(asked) == 1


def test_what_caused_an_error_counts_too():
    assert out_of_memory(MemoryError())
    assert out_of_memory(torch.OutOfMemoryError("CUDA"))
    assert not out_of_memory(RuntimeError("shapes"))
    cause = RuntimeError("not enough memory")
    try:
        raise SubjectFailed("failed") from cause
    except SubjectFailed as error:
        found = out_of_memory(error)
    assert found


def test_equal_batches_are_padded_to_one_size_on_request():
    with pl.byte_budget(24 * 6), pl.deterministic():
        padded = evaluated(Seen())
    assert set(SIZES) == {SIZES[0]} != {1}
    with pl.byte_budget(24 * 6):
        assert torch.equal(evaluated(Seen()), padded)


def test_equal_examples_have_equal_bits_whatever_stands_beside_them():
    layers = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 5))
    subject = pl.wrap(layers, name="mlp")
    point = torch.rand(9, 64, generator=torch.Generator().manual_seed(0))
    inputs = subject.prepare(point)
    target = resolve(subject, inputs, Decision(point, 0))

    def values(order):
        return evaluate(subject, inputs, target, order, lambda rows: point[order[rows]])

    with pl.deterministic():
        together = values(torch.arange(9))
        assert torch.equal(values(torch.arange(8, -1, -1)).flip(0), together)
        assert all(torch.equal(values(torch.tensor([n])), together[n : n + 1]) for n in range(9))


def test_progress_counts_rows_and_passes_are_metered():
    told = []
    with pl.byte_budget(24 * 7), meter.reporting(lambda *step: told.append(step)), meter.metered() as passes:
        evaluated(Seen())
    assert told[-1] == (20, 20, "work")
    assert [done for done, _, _ in told] == sorted({done for done, _, _ in told})
    assert passes.forward == 21  # one to resolve the target
