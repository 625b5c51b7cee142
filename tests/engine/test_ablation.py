"""Channels that are switched off while the signal flows, by hand and by a network that is written out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import pellucid as pl
from engine.networks import ResNet, seeded
from pellucid.core.errors import UsageError
from pellucid.engine.ablation import Ablation, silence
from pellucid.engine.crossings import crossings
from pellucid.engine.taping import taped


def ablation_of(subject, inputs, kind="reference", reference=None, names=None):
    with taped(subject, inputs) as (tape, run):
        layers = crossings(tape, run.scores, names)
    return Ablation(subject, inputs, layers, silence(subject, inputs, layers, kind, reference))


def scores_of(ablation, masks):
    return ablation.evaluate(masks, lambda run: run.scores)


@pytest.fixture(scope="module")
def chain():
    """Two layers of three and two channels, and an input."""
    module = seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 3)))
    return module, pl.wrap(module)


ROW = torch.tensor([[1.0, -2.0, 0.5, 0.3]], dtype=torch.float64)


def test_later_layers_read_what_is_left_of_earlier_ones(chain):
    module, subject = chain
    ablation = ablation_of(subject, subject.prepare(ROW), "zero")
    masks = torch.tensor([[1, 0, 1, 1, 1], [1, 1, 1, 0, 1], [0, 0, 1, 1, 0]]).bool()
    with torch.no_grad():
        first = torch.tanh(module[0](ROW)) * masks[:, :3]
        second = torch.tanh(module[2](first)) * masks[:, 3:]
        expected = module[4](second)
    torch.testing.assert_close(scores_of(ablation, masks), expected)
    assert ablation.layer_of.tolist() == [0, 0, 0, 1, 1]


def test_what_is_switched_off_holds_what_it_holds_for_the_neutral_input(chain):
    module, subject = chain
    ablation = ablation_of(subject, subject.prepare(ROW))
    masks = torch.tensor([[0, 1, 1, 1, 0]]).bool()
    with torch.no_grad():
        nothing = torch.tanh(module[0](torch.zeros(1, 4).double()))
        first = torch.where(masks[:, :3], torch.tanh(module[0](ROW)), nothing)
        second = torch.where(masks[:, 3:], torch.tanh(module[2](first)), torch.tanh(module[2](nothing)))
        expected = module[4](second)
    torch.testing.assert_close(scores_of(ablation, masks), expected)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 6), st.integers(0, 10_000))
def test_with_one_layer_off_no_choice_of_other_channels_tells_the_input_from_the_neutral_one(off, seed):
    subject = pl.wrap(seeded(lambda: ResNet(width=4, stages=3)))
    source = torch.Generator().manual_seed(seed)
    inputs = subject.prepare(torch.randn(1, 3, 16, 16, generator=source).double())
    ablation = ablation_of(subject, inputs)
    masks = torch.rand(3, len(ablation.layer_of), generator=source) < 0.6
    masks[:, ablation.layer_of == off] = False
    neutral = subject.scores(torch.zeros(1, 3, 16, 16).double())
    torch.testing.assert_close(scores_of(ablation, masks), neutral.expand(3, -1), rtol=0, atol=1e-10)


def test_with_all_channels_at_work_the_network_is_itself():
    subject = pl.wrap(seeded(lambda: ResNet(width=4)))
    inputs = subject.prepare(torch.randn(1, 3, 16, 16).double())
    everything = torch.ones(2, len(ablation_of(subject, inputs).layer_of), dtype=torch.bool)
    for kind in ("reference", "mean", "zero"):
        found = scores_of(ablation_of(subject, inputs, kind), everything)
        torch.testing.assert_close(found, subject.scores(inputs).expand(2, -1), rtol=0, atol=1e-10)


def test_a_mean_is_over_the_reference_and_its_positions():
    module = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(2, 1, 2, bias=False), nn.Flatten()
    ).double()
    subject = pl.wrap(module)
    inputs = subject.prepare(torch.rand(1, 1, 2, 2).double())
    reference = torch.rand(3, 1, 2, 2).double()
    ablation = ablation_of(subject, inputs, "mean", reference, ["1"])
    with torch.no_grad():
        expected = module[1](module[0](reference)).mean((0, 2, 3))
    torch.testing.assert_close(ablation.silent["1"].reshape(-1), expected)
    (silent,) = ablation_of(subject, inputs, "reference", reference, ["1"]).silent.values()
    torch.testing.assert_close(silent, module[1](module[0](reference)).mean(0, keepdim=True).detach())


def test_a_reference_of_another_size_is_refused_unless_its_mean_is_asked_for():
    module = nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)
    ).double()
    subject = pl.wrap(module)
    inputs, reference = subject.prepare(torch.rand(1, 1, 4, 4).double()), torch.rand(2, 1, 6, 6).double()
    with pytest.raises(UsageError, match="same size, or ask ablation='mean'"):
        ablation_of(subject, inputs, "reference", reference)
    assert ablation_of(subject, inputs, "mean", reference).silent["1"].shape == (1, 2, 1, 1)


def test_sets_are_evaluated_within_the_byte_budget_and_give_the_same():
    subject = pl.wrap(seeded(lambda: ResNet(width=4)))
    ablation = ablation_of(subject, subject.prepare(torch.randn(1, 3, 16, 16).double()))
    masks = torch.rand(7, len(ablation.layer_of)) < 0.5
    whole = scores_of(ablation, masks)
    with pl.byte_budget(1):
        torch.testing.assert_close(scores_of(ablation, masks), whole, rtol=0, atol=1e-12)


def test_amounts_are_shares_of_what_is_positive_in_their_layer(chain):
    _, subject = chain
    ablation = ablation_of(subject, subject.prepare(ROW))
    found = ablation.shares(torch.tensor([3.0, 1.0, -2.0, -1.0, 0.0], dtype=torch.float64))
    assert found[:3].tolist() == [0.75, 0.25, -0.5]
    assert found[3] < 0 == found[4]
