"""Methods that perturb give a model no more at a time than the byte budget allows, and less where memory runs out."""

import dataclasses
import multiprocessing
import sys
from typing import ClassVar

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.method import discover, query_type

MEBIBYTE = 1024 * 1024
# Few draws: how much is held at once does not depend on how many follow each other.
QUICK = {
    "budget": 24,
    "segments": 4,
    "samples": 16,
    "design": 2,
    "tolerance": 0.5,
    "window": 8,
    "stride": 8,
    "k": 2,
    "cells": 4,
    "steps": 3,
    "areas": (0.2,),
}
OF_METHOD = {
    "sobol": {"samples": 64},  # enough for the pictures in which more superpixels are found than asked for
    "exact-shapley": {"budget": 512},
    "permutation": {"rows": torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)), "samples": 2},
}


def perturbing():
    """The methods that explain a decision by perturbing what goes in, with settings that are quick."""
    found = {}
    for name, kind in discover().items():
        spec = kind.spec
        if "perturbation" in spec.properties and query_type(kind) is pl.Decision and not spec.structure:
            fields = {field.name: field for field in dataclasses.fields(kind)}
            required = [n for n, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING]
            if not required and "edit" not in fields:  # what is asked about one edit takes two passes
                quick = {field: value for field, value in QUICK.items() if field in fields}
                found[name] = kind(**(quick | OF_METHOD.get(name, {})))
    return found


METHODS = perturbing()


class Network(nn.Module):
    """Two convolutions and an average, which notes how many examples come at once and fails above a limit."""

    sizes: ClassVar[list[int]] = []  # of all copies together
    limit: ClassVar[int] = 10**9

    def __init__(self, channels=16):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)
        self.head = nn.Linear(channels, 4)

    def forward(self, pixels):
        Network.sizes.append(len(pixels))
        if len(pixels) > Network.limit:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")
        features = self.second(self.first(pixels).relu()).relu()
        return self.head(features.mean((2, 3)))


def subject():
    torch.manual_seed(0)
    return pl.wrap(Network().eval(), pl.tasks.Image(32), name="network")


def pictures(number):
    """Smooth pictures in the network's own space."""
    coarse = torch.randn(number, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return nn.functional.interpolate(coarse, size=32, mode="bilinear", align_corners=False)


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch):
    monkeypatch.setattr(Network, "sizes", [])
    monkeypatch.setattr(Network, "limit", 10**9)


def asked(method, number=5):
    return METHODS[method](subject(), pl.Decision(pictures(number), target=1))


def numbers(result):
    """All that a result says in numbers, as one vector."""
    found = [getattr(result, field.name) for field in dataclasses.fields(result)]
    flat = [part for value in found for part in (value if isinstance(value, tuple) else (value,))]
    return torch.cat([t.double().flatten() for t in flat if isinstance(t, torch.Tensor) and t.is_floating_point()])


@pytest.mark.parametrize("method", METHODS)
def test_no_batch_exceeds_the_byte_budget(method):
    with pl.byte_budget(MEBIBYTE):
        size = subject().batch_size(subject().prepare(pictures(1)))
        asked(method, 9)
    assert 1 < size < 9
    assert max(Network.sizes) <= size


@pytest.mark.parametrize("method", METHODS)
def test_where_memory_runs_out_batches_are_halved_and_the_answer_is_the_same(method, monkeypatch):
    whole = asked(method)
    largest = max(Network.sizes)
    assert largest > 3
    Network.sizes.clear()
    monkeypatch.setattr(Network, "limit", 3)
    found = asked(method)
    assert max(Network.sizes) > 3  # it was tried
    expected, scale = numbers(whole), numbers(whole).abs().max()
    assert (numbers(found) - expected).abs().max() <= 1e-5 * scale


def _peaks(channel, methods, number, budget):
    """Peak memory of a process after each of these methods was asked about many pictures at once, in bytes."""
    import resource

    torch.set_num_threads(1)
    unit = 1 if sys.platform == "darwin" else 1024

    def peak():
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    model = subject()
    query = pl.Decision(pictures(number), target=1)
    for name in methods:
        METHODS[name](model, pl.Decision(query.inputs[:2], target=1))
    before, found = peak(), {}
    with pl.byte_budget(budget):
        for name in methods:
            result = METHODS[name](model, query)
            found[name] = peak() - before
            del result
    channel.send(found)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is read from the resource module")
@pytest.mark.parametrize("method", METHODS)
def test_a_thousand_pictures_stay_within_the_byte_budget(method):
    """Beside the budget a method holds what it is asked, what stands in its place, groups and scores: tens of MiB here.

    All predictions at once would take 65 MiB more.
    """
    number, budget, pictures_size = 1000, 32 * MEBIBYTE, 1000 * 3 * 32 * 32 * 4
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_peaks, args=(sender, [method], number, budget))
    process.start()
    process.join()
    assert process.exitcode == 0
    (grown,) = receiver.recv().values()
    assert grown <= budget + 10 * pictures_size
