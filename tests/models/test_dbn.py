"""Deep belief nets: greedily trained, read downwards as the chain of conditional probabilities that they are."""

import pytest
import torch

import pellucid as pl
from models.machines import small_machine
from pellucid.core.errors import UsageError
from pellucid.models import DBN, RBM, ContrastiveDivergence


def two_layers():
    generator = torch.Generator().manual_seed(7)
    above = RBM(
        torch.randn(3, 2, generator=generator, dtype=torch.float64), torch.zeros(3).double(), torch.zeros(2).double()
    )
    return DBN([small_machine(), above])


def test_it_answers_with_the_probabilities_of_the_last_layer_and_names_all_pre_activations():
    net = two_layers()
    subject = pl.wrap(net, task=pl.tasks.TensorTask(shape=(1, 2, 2), output="value"))
    inputs = subject.prepare(torch.rand(5, 1, 2, 2))
    run = subject.run(inputs, capture=("layers.0.linear", "layers.1.linear"))
    first, second = (layer.weights.detach() for layer in net.layers)
    below = inputs.value.double().flatten(1) @ first + net.layers[0].hidden_bias.detach()
    torch.testing.assert_close(run.activations["layers.0.linear"], below)
    torch.testing.assert_close(run.activations["layers.1.linear"], below.sigmoid() @ second)
    torch.testing.assert_close(run.scores, (below.sigmoid() @ second).sigmoid())


def test_the_mean_of_what_comes_down_is_that_over_all_states_between():
    net, generator = two_layers(), torch.Generator().manual_seed(3)
    values = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    assert torch.equal(net.descended(values, 0, generator), values)
    torch.testing.assert_close(net.descended(values, 1, generator), net.layers[0].visible_mean(values))
    above = DBN([*net.layers, RBM(torch.eye(2).double(), torch.zeros(2).double(), torch.zeros(2).double())])
    top = torch.tensor([1.0, 0.0], dtype=torch.float64)
    found = above.descended(top.expand(200000, 2), 2, generator).mean(0)
    probability = net.layers[1].visible_mean(top)
    states = torch.arange(8)[:, None] >> torch.arange(3) & 1
    weights = torch.where(states == 1, probability, 1 - probability).prod(1)
    exact = weights @ net.layers[0].visible_mean(states.double())
    torch.testing.assert_close(found, exact.detach(), atol=0.004, rtol=0)


def test_each_layer_learns_from_the_probabilities_of_the_one_below():
    data = torch.rand(80, 6, generator=torch.Generator().manual_seed(1))
    how = [ContrastiveDivergence(epochs=2, seed=1), ContrastiveDivergence(epochs=2, seed=5)]
    net = DBN.fit(data, (4, 3), how)
    first = RBM.fit(data, 4, how[0])
    second = RBM.fit(first(data), 3, how[1])
    assert torch.equal(net.layers[0].weights, first.weights)
    assert torch.equal(net.layers[1].weights, second.weights)
    real = DBN.fit(data - 0.5, (4, 3), how[0], visible="gaussian")
    assert [layer.visible for layer in real.layers] == ["gaussian", "binary"]


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="layer 1 must have 3 binary"):
        DBN([small_machine(), small_machine()])
    with pytest.raises(UsageError, match="at least one"):
        DBN([])
    with pytest.raises(UsageError, match="2 layers and 1"):
        DBN.fit(torch.rand(5, 4), (3, 2), [ContrastiveDivergence()])
