"""Sampling from a unit: within a hundredth of sums over all states, which the one-step shortcut is not."""

import dataclasses

import pytest
import torch
from torch import nn

import pellucid as pl
from models.machines import small_machine
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.methods.transparency.unit_sampling import HALF, UnitSampling
from pellucid.models import DBN, RBM

LONG = UnitSampling(sweeps=1200, chains=50, samples=0)


def subject(module, shape=(4,)):
    return pl.wrap(module, pl.tasks.TensorTask(shape=shape, output="value"))


def two_layers():
    generator = torch.Generator().manual_seed(7)
    weights = 2 * torch.randn(3, 2, generator=generator, dtype=torch.float64)
    above = RBM(weights, torch.zeros(3, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
    return DBN([small_machine(), above])


def exact():
    return torch.stack([small_machine().exact_visible_mean(unit) for unit in range(3)]).detach()


def shortcut():
    machine = small_machine()
    return (machine.visible_bias + machine.weights.T).sigmoid().detach()


def test_the_mean_is_within_a_hundredth_of_the_exact_one_and_the_shortcut_is_not():
    found = LONG(subject(small_machine()), pl.Unit("linear"))
    assert float((found.images.double() - exact()).abs().max()) < 0.01
    assert float((shortcut() - exact()).abs().max(1).values.min()) > 0.09
    assert found.units == ("linear/0", "linear/1", "linear/2")
    assert found.captions == ("mean while it is on",) * 3


def test_intervals_hold_the_exact_mean_nineteen_times_of_twenty():
    asked, held = subject(small_machine()), []
    for seed in range(25):
        found = UnitSampling(sweeps=40, chains=20, burn_in=30, samples=0, seed=seed)(asked, pl.Unit("sigmoid", 1))
        held.append((found.images[0].double() - exact()[1]).abs() <= found.interval[0].double())
        assert float(found.evidence[HALF][0]) == pytest.approx(float(found.interval[0].max()))
    assert 0.88 <= float(torch.stack(held).double().mean()) <= 1.0


def test_units_of_a_second_layer_are_drawn_down_through_the_first():
    """Against the sum over all states of the layer between, which is not the state at its mean."""
    net = two_layers()
    top, below = net.machine(1), net.machine(0)
    states = (torch.arange(8)[:, None] >> torch.arange(3) & 1).double()
    hidden = (torch.arange(4)[:, None] >> torch.arange(2) & 1).double()
    joint = -top.energy(states[:, None], hidden[None])
    for unit in range(2):
        weights = joint.masked_fill(hidden[:, unit] == 0, -torch.inf).flatten().softmax(0).view(8, 4).sum(1)
        expected = (weights @ below.visible_mean(states)).detach()
        found = LONG(subject(net), pl.Unit("layers.1", unit))
        assert float((found.images[0].double() - expected).abs().max()) < 0.01
        at_the_mean = below.visible_mean(top.exact_visible_mean(unit)).detach()
        assert float((at_the_mean - expected).abs().max()) > 0.02


def test_gaussian_units_have_means_beyond_zero_and_one():
    machine = RBM(torch.tensor([[3.0, 0.0], [0.0, -2.0]]), torch.tensor([1.0, 0.0]), torch.zeros(2), "gaussian")
    found = LONG(subject(machine, (2,)), pl.Unit("linear", 0))
    torch.testing.assert_close(found.images[0], machine.exact_visible_mean(0).detach(), atol=0.02, rtol=0)
    assert float(found.images[0, 0]) == pytest.approx(4.0, abs=1e-5)


def test_samples_are_states_of_different_chains(tmp_path):
    found = UnitSampling(sweeps=20, samples=6)(subject(small_machine(), (1, 2, 2)), pl.Unit("linear", 0))
    assert found.images.shape == (7, 1, 2, 2)
    assert found.captions[:2] == ("mean while it is on", "sample 1")
    machine = small_machine()
    states = (torch.arange(4)[:, None] >> torch.arange(2) & 1).double()
    possible = machine.visible_mean(torch.cat([torch.ones(4, 1).double(), states], 1)).float()
    for sample in found.images[1:].flatten(1).float():
        assert (
            float((possible - sample).abs().amax(1).min().detach()) < 1e-6
        )  # the mean of x in a state with the unit on
    assert len(found.images[1:].unique(dim=0)) > 1
    assert bool(found.interval[1:].isnan().all())
    before = found.images.flatten(1).double() @ machine.weights[:, 0] + machine.hidden_bias[0]
    torch.testing.assert_close(found.activations, before.detach())
    loaded = pl.FeatureImages.load(found.save(tmp_path / "samples.pellucid"))
    assert torch.equal(loaded.interval.nan_to_num(-1), found.interval.nan_to_num(-1))
    with pytest.raises(ValueError, match="intervals"):
        dataclasses.replace(found, interval=found.interval[1:])


def test_a_unit_is_the_same_alone_and_with_its_layer_and_for_the_same_seed():
    asked, quick = subject(two_layers()), UnitSampling(sweeps=5, chains=4, burn_in=1)
    whole, alone = quick(asked, pl.Unit("layers.1")), quick(asked, pl.Unit("layers.1.linear", 1))
    torch.manual_seed(99)
    assert torch.equal(whole.images[5:], alone.images)
    assert torch.equal(whole.images, quick(asked, pl.Unit("layers.1.sigmoid")).images)
    other = UnitSampling(sweeps=5, chains=4, burn_in=1, seed=1)(asked, pl.Unit("layers.1", 1))
    assert not torch.equal(other.images, alone.images)


def test_with_data_it_is_told_what_they_do_to_the_unit():
    data = torch.rand(20, 4, generator=torch.Generator().manual_seed(1))
    found = UnitSampling(sweeps=5, samples=1)(subject(small_machine()), pl.Unit("linear", 2, data=data))
    before = data.double() @ small_machine().weights[:, 2] + small_machine().hidden_bias[2]
    assert float(found.evidence["maximum over the data"][0]) == pytest.approx(float(before.detach().max()), rel=1e-6)
    assert "agreement over starts" not in found.evidence


def test_what_cannot_be_sampled_is_refused_with_the_way_out():
    plain = subject(nn.Sequential(nn.Linear(4, 3), nn.Sigmoid()))
    with pytest.raises(NotAnswerable, match="no generative network.*activation-maximization"):
        UnitSampling()(plain, pl.Unit("0", 0))
    net = subject(two_layers())
    with pytest.raises(UsageError, match="no hidden units at 'layers.7'; did you mean 'layers.1'"):
        UnitSampling()(net, pl.Unit("layers.7", 0))
    with pytest.raises(UsageError, match="did you mean 'linear'"):
        UnitSampling()(subject(small_machine()), pl.Unit("liner", 0))
    with pytest.raises(UsageError, match="channels 0 to 1"):
        UnitSampling()(net, pl.Unit("layers.1", 2))
    with pytest.raises(UsageError, match="name a layer"):
        UnitSampling()(net, pl.Unit(target=0))
