"""Draws depend on seed, method and example, and on nothing else."""

import torch

from pellucid.core.seeds import generator


def drawn(seed, method, example):
    return torch.rand(50, generator=generator(seed, method, example))


def test_draws_repeat_for_the_same_seed_method_and_example():
    example = torch.arange(4.0)
    assert torch.equal(drawn(3, "lime", example), drawn(3, "lime", example.clone()))


def test_draws_differ_by_seed_method_and_example():
    example = torch.arange(4.0)
    first = drawn(3, "lime", example)
    for other in (drawn(4, "lime", example), drawn(3, "rise", example), drawn(3, "lime", example + 1)):
        assert not torch.equal(first, other)


def test_draws_are_those_of_the_example_wherever_it_stands_in_a_batch():
    batch = torch.rand(5, 3, 4, generator=torch.Generator().manual_seed(0))
    turned = batch.flip(0)
    assert torch.equal(drawn(0, "lime", batch[1]), drawn(0, "lime", turned[3]))


def test_the_global_generator_is_neither_read_nor_moved():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = drawn(0, "lime", torch.ones(2))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(drawn(0, "lime", torch.ones(2)), first)
