"""Restricted Boltzmann machines agree with sums over all their states, and learning makes their data likelier."""

import itertools
import math

import pytest
import torch
from torch import nn

import pellucid as pl
from models.machines import small_machine
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.core.meter import reporting
from pellucid.models import RBM, ContrastiveDivergence


def bits(number):
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=number)), dtype=torch.float64)


def gaussian_machine():
    return RBM(
        *(p.detach() / 2 for p in (small_machine().weights, small_machine().visible_bias)),
        torch.zeros(3).double(),
        "gaussian",
    )


def test_expectations_and_marginals_are_those_of_the_reference():
    machine = small_machine()
    means = [
        (0.65222498, 0.65327048, 0.47658216, 0.89014259),
        (0.32344944, 0.80846497, 0.51157167, 0.74250596),
        (0.61001475, 0.78694523, 0.40212949, 0.80387478),
    ]
    for unit, row in enumerate(means):
        torch.testing.assert_close(
            machine.exact_visible_mean(unit), torch.tensor(row, dtype=torch.float64), atol=6e-9, rtol=0
        )
    states, weights = machine.hidden_states()
    marginals = weights.softmax(0) @ states
    expected = torch.tensor([0.78958534, 0.40695377, 0.78961320], dtype=torch.float64)
    torch.testing.assert_close(marginals, expected, atol=6e-9, rtol=0)


def test_free_energy_and_partition_are_sums_of_energies_over_all_states():
    machine = small_machine()
    visible, hidden = bits(4), bits(3)
    energies = machine.energy(visible[:, None], hidden[None])
    by_hand = torch.stack(
        [-v @ machine.visible_bias - h @ machine.hidden_bias - v @ machine.weights @ h for v in visible for h in hidden]
    )
    torch.testing.assert_close(energies.flatten(), by_hand)
    torch.testing.assert_close(machine.free_energy(visible), -(-energies).logsumexp(1))
    torch.testing.assert_close(machine.log_partition(), (-energies).flatten().logsumexp(0))
    joint = (-energies).flatten().softmax(0).view(16, 8)
    torch.testing.assert_close(machine.exact_visible_mean(), joint.sum(1) @ visible)
    torch.testing.assert_close(machine(visible), (joint @ hidden) / joint.sum(1, keepdim=True))


def test_the_partition_of_gaussian_units_is_the_integral():
    machine = RBM(*(torch.tensor(value).double() for value in ([[0.7, -0.4]], [0.3], [0.2, -0.1])), "gaussian")
    grid = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    density = (-machine.free_energy(grid[:, None])).exp()
    torch.testing.assert_close(machine.log_partition().exp(), torch.trapezoid(density, grid))
    mean = torch.trapezoid(density * grid, grid) / torch.trapezoid(density, grid)
    torch.testing.assert_close(machine.exact_visible_mean()[0], mean)


@pytest.mark.parametrize("machine", [small_machine(), gaussian_machine()], ids=["binary", "gaussian"])
def test_gibbs_sampling_reaches_the_exact_mean(machine):
    generator = torch.Generator().manual_seed(1)
    hidden = torch.zeros(4000, 3, dtype=torch.float64)
    means = [machine.visible_mean(state).mean(0) for state in machine.gibbs(hidden, 220, generator)]
    torch.testing.assert_close(torch.stack(means[20:]).mean(0), machine.exact_visible_mean(), atol=0.004, rtol=0)


def test_a_clamped_unit_stays_on_in_every_sweep():
    machine, generator = small_machine(), torch.Generator().manual_seed(2)
    states = list(machine.gibbs(torch.zeros(10, 3, dtype=torch.float64), 20, generator, clamped=1))
    assert len(states) == 20
    assert all(bool((state[:, 1] == 1).all()) for state in states)
    assert any(bool((state[:, 0] == 0).any()) for state in states)


@pytest.mark.parametrize("persistent", [False, True], ids=["contrastive", "persistent"])
@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_learning_makes_the_data_likelier(persistent, visible):
    generator = torch.Generator().manual_seed(3)
    kind = torch.randint(2, (400, 1), generator=generator).double()
    data = torch.cat([kind, kind, 1 - kind, 1 - kind], 1)
    data = (data - torch.bernoulli(torch.full_like(data, 0.1), generator=generator)).abs()
    if visible == "gaussian":
        data = 3 * data + torch.randn(data.shape, generator=generator, dtype=torch.float64)
    rate = 0.5 if visible == "binary" else 0.02

    @torch.no_grad()
    def likelihood(epochs):
        how = ContrastiveDivergence(persistent=persistent, steps=2, epochs=epochs, decay=0.0, rate=rate)
        machine = RBM.fit(data, 4, how, visible)
        return float((-machine.free_energy(data) - machine.log_partition()).mean())

    # The best that any model can do, in nats: the pattern, four elements each flipped with probability 0.1, and noise.
    entropy = math.log(2) + 4 * 0.325 + (2 * math.log(2 * math.pi * math.e) if visible == "gaussian" else 0)
    before, after = likelihood(0), likelihood(40)
    assert before < -entropy - 0.6
    assert after > -entropy - 0.15


def test_training_is_the_same_for_the_same_seed_and_tells_how_far_it_is():
    data, seen = torch.rand(60, 5, generator=torch.Generator().manual_seed(4)), []
    torch.manual_seed(1)
    with reporting(lambda done, total, what: seen.append((done, total, what))):
        first = RBM.fit(data, 3, ContrastiveDivergence(epochs=3))
    torch.manual_seed(2)
    again, other = (RBM.fit(data, 3, ContrastiveDivergence(epochs=3, seed=seed)) for seed in (0, 1))
    assert torch.equal(first.weights, again.weights)
    assert not torch.equal(first.weights, other.weights)
    assert seen[-1] == (3, 3, "contrastive divergence, 5 to 3 units")
    assert all(parameter.requires_grad for parameter in first.parameters())


def test_sparsity_keeps_hidden_units_silent():
    data = torch.rand(400, 6, generator=torch.Generator().manual_seed(4))
    plain, sparse = (
        RBM.fit(data, 8, ContrastiveDivergence(epochs=30, sparsity=target, sparsity_cost=5.0)) for target in (None, 0.1)
    )
    assert float(plain(data).detach().mean()) > 0.3
    assert float(sparse(data).detach().mean()) == pytest.approx(0.1, abs=0.03)


def test_a_machine_is_a_network_whose_pre_activations_have_a_name():
    machine = small_machine()
    subject = pl.wrap(machine, task=pl.tasks.TensorTask(shape=(2, 2), output="value"))
    inputs = subject.prepare(torch.rand(3, 2, 2))
    run = subject.run(inputs, capture=("linear", "sigmoid"))
    before = inputs.value.double().flatten(1) @ machine.weights + machine.hidden_bias
    torch.testing.assert_close(run.activations["linear"], before.detach())
    torch.testing.assert_close(run.scores, before.sigmoid().detach())
    assert isinstance(machine.linear, nn.Linear)


def test_what_cannot_be_a_machine_is_refused():
    with pytest.raises(UsageError, match=r"\[visible, hidden\]"):
        RBM(torch.zeros(4, 3), torch.zeros(3), torch.zeros(4))
    with pytest.raises(UsageError, match="'binary' or 'gaussian'"):
        RBM(torch.zeros(4, 3), torch.zeros(4), torch.zeros(3), "ternary")
    with pytest.raises(BadInput, match="from -1 to 2"):
        RBM.fit(torch.tensor([[-1.0, 2.0]]), 2)
    with pytest.raises(BadInput, match="finite"):
        RBM.fit(torch.tensor([[torch.nan, 0.5]]), 2)
    with pytest.raises(NotAnswerable, match="too many states"):
        RBM(torch.zeros(2, 21), torch.zeros(2), torch.zeros(21)).log_partition()
