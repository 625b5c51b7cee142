"""Relevance of single channels, followed to the layer before: by hand, and in sum."""

import pytest
import torch
from torch import nn

import pellucid as pl
from engine.networks import ResNet, explained, seeded
from engine.test_ablation import ablation_of
from pellucid.core.errors import UsageError
from pellucid.core.query import Decision
from pellucid.engine.conditional_flow import conditional_flow
from pellucid.engine.redistribution import redistribute
from pellucid.engine.relevance import propagate
from pellucid.engine.rules import composite
from pellucid.engine.tape import Tape
from pellucid.engine.targets import resolve

PLUS = composite("epsilon-plus")


def flows(subject, inputs, names=None, mask=None):
    ablation = ablation_of(subject, inputs, names=names)
    mask = torch.ones(len(ablation.layer_of), dtype=torch.bool) if mask is None else mask
    layers = [layer.name for layer in ablation.layers]
    target = resolve(subject, inputs, Decision(inputs, target=1))
    replace = ablation.replacements(mask[None])
    relevance = redistribute(subject, inputs, target, PLUS, reading=layers, replace=replace).read
    every = [list(range(layer.channels)) for layer in ablation.layers]
    found = conditional_flow(ablation, PLUS, relevance, every, mask)
    return found, ablation.by_layer(ablation.per_channel(relevance)), ablation


def test_of_a_linear_map_each_channel_comes_from_its_terms():
    layers = lambda: nn.Sequential(  # noqa: E731
        nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2, bias=False), nn.ReLU(), nn.Linear(2, 2)
    )
    module = seeded(layers).double()
    subject = pl.wrap(module)
    inputs = subject.prepare(torch.tensor([[0.2, 0.9, 0.5]], dtype=torch.float64))
    (found,), (_, upper), _ = flows(subject, inputs)
    with torch.no_grad():
        hidden = module[1](module[0](inputs.value))[0]
    terms = hidden * module[2].weight.detach()
    torch.testing.assert_close(found, upper[:, None] * terms / terms.sum(1, keepdim=True), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_what_flows_from_all_channels_is_the_relevance_of_the_layer_before(share):
    subject = pl.wrap(seeded(lambda: ResNet(width=4, stages=2)))
    inputs = subject.prepare(torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(3)).double())
    size = len(ablation_of(subject, inputs).layer_of)
    mask = torch.rand(size, generator=torch.Generator().manual_seed(4)) < share
    found, relevance, ablation = flows(subject, inputs, mask=mask)
    assert len(found) == len(ablation.layers) - 1
    for flow, before, kept in zip(found, relevance, ablation.by_layer(mask), strict=False):
        torch.testing.assert_close(flow.sum(0), before, rtol=1e-6, atol=1e-9)
        assert not flow[:, ~kept].any()


def test_nothing_is_walked_where_no_channel_is_asked_about():
    subject = pl.wrap(seeded(lambda: ResNet(width=4, stages=2)))
    inputs = subject.prepare(torch.randn(1, 3, 16, 16).double())
    ablation = ablation_of(subject, inputs)
    mask = torch.ones(len(ablation.layer_of), dtype=torch.bool)
    found = conditional_flow(ablation, PLUS, {}, [[] for _ in ablation.layers], mask)
    assert [tuple(flow.shape) for flow in found] == [(0, layer.channels) for layer in ablation.layers[:-1]]


def test_a_walk_from_a_layer_goes_on_as_the_walk_from_the_score_did():
    network = seeded(lambda: ResNet(width=4, stages=2))
    point = torch.randn(2, 3, 16, 16).double()
    whole = explained(network, point, "epsilon-plus", target=[0, 1], reading=["layers.2"])
    with Tape(point, network) as tape:
        scores = network(point)
    onward = propagate(tape, scores, whole.read["layers.2"], PLUS, start="layers.2")
    torch.testing.assert_close(onward.scores, whole.scores, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(onward.value, whole.read["layers.2"].flatten(1).sum(1))
    with pytest.raises(UsageError, match=r"must have the shape of layer 'layers.2'"):
        propagate(tape, scores, torch.zeros_like(scores), PLUS, start="layers.2")
