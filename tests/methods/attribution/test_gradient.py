"""The gradient: equal to finite differences whatever the graph is made of, and the network is left as it was."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import pellucid as pl
from pellucid.core.errors import NotAnswerable, PellucidError
from pellucid.methods import ExpectedGradients, Gradient, IntegratedGradients, SmoothGrad


class Functional(nn.Module):
    """Convolution, functional ReLU, a residual sum, a concatenation and a mean, without a module for any of them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(6, 3)

    def forward(self, pixels):
        hidden = functional.relu(self.first(pixels))
        hidden = hidden + functional.gelu(self.second(hidden))
        return self.head(torch.cat([hidden.mean((2, 3)), hidden.amax((2, 3))], 1))


class InPlace(nn.Module):
    """One in-place ReLU called twice, an in-place sum, and a slice that is assigned to."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(8, 3)

    def forward(self, row):
        hidden = self.relu(self.first(row.flatten(1)))
        hidden = hidden + self.relu(self.second(hidden))
        hidden += 1
        copied = hidden.clone()
        copied[:, :4] = hidden[:, 4:] * 2
        torch.tanh_(copied)
        return self.head(copied)


class Normalised(nn.Module):
    """Batch norm with statistics of its own, dropout and a softmax attention over positions."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(4), nn.Dropout(0.5)
        self.attention, self.head = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 3)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, sequence):
        hidden = self.drop(self.norm(sequence.transpose(1, 2)).transpose(1, 2))
        return self.head(self.attention(hidden, hidden, hidden)[0].mean(1))


class Recurrent(nn.Module):
    """A two-layer LSTM read at its last position."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 5, num_layers=2, batch_first=True), nn.Linear(5, 3)

    def forward(self, sequence):
        return self.head(self.lstm(sequence)[0][:, -1])


SHAPES = {Functional: (2, 5, 5), InPlace: (8,), Normalised: (4, 4), Recurrent: (4, 3)}


def made(kind, number=2):
    """A seeded network in float64 and inputs for it."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return kind().double(), torch.randn(number, *SHAPES[kind], dtype=torch.float64)


def differences(function, point, step=1e-6):
    """Central differences of ``function(points) -> [n]`` at every element of one example."""
    steps = torch.eye(point.numel(), dtype=point.dtype).view(-1, *point.shape) * step
    return ((function(point + steps) - function(point - steps)) / (2 * step)).view(point.shape)


@pytest.mark.parametrize("of", ["logit", "probability", "log-probability", "loss"])
@pytest.mark.parametrize("kind", SHAPES)
def test_derivatives_equal_finite_differences(kind, of):
    net, inputs = made(kind)
    answer = Gradient()(pl.wrap(net), pl.Decision(inputs, target=1, of=of))
    net.eval()

    def quantity(points):
        scores = net(points).detach()
        logs = scores.log_softmax(1)[:, 1]
        return {"logit": scores[:, 1], "probability": logs.exp(), "log-probability": logs, "loss": -logs}[of]

    for found, point in zip(answer.scores, inputs, strict=True):
        expected = differences(quantity, point)
        assert float((found - expected).abs().max()) <= 1e-4 * max(float(expected.abs().max()), 1e-6)
    assert torch.allclose(answer.value, quantity(inputs), atol=1e-12)


@pytest.mark.parametrize("kind", SHAPES)
def test_a_contrast_is_the_difference_of_two_derivatives(kind):
    net, inputs = made(kind)
    subject = pl.wrap(net)
    first, second = (Gradient()(subject, pl.Decision(inputs, target=target)).scores for target in (0, 2))
    contrast = Gradient()(subject, pl.Decision(inputs, target=0, foil=2))
    assert torch.allclose(contrast.scores, first - second, atol=1e-12)


def test_derivatives_at_a_layer_equal_finite_differences_from_there_on():
    net, inputs = made(InPlace)
    answer = Gradient()(pl.wrap(net), pl.Decision(inputs, target=0, at="first"))
    assert answer.scores.shape == (2, 8)

    def rest(hidden):
        with torch.no_grad():
            hidden = hidden.relu()
            hidden = hidden + net.second(hidden).relu() + 1
            copied = torch.cat([hidden[:, 4:] * 2, hidden[:, 4:]], 1)
            return net.head(copied.tanh())[:, 0]

    for found, hidden in zip(answer.scores, net.first(inputs).detach(), strict=True):
        assert torch.allclose(found, differences(rest, hidden), atol=1e-7)


def test_the_second_call_of_a_module_is_a_layer_of_its_own():
    net, inputs = made(InPlace)
    subject = pl.wrap(net)
    first, second = (Gradient()(subject, pl.Decision(inputs, target=0, at=at)).scores for at in ("relu", "relu#1"))
    assert first.shape == second.shape
    assert not torch.allclose(first, second)


def test_a_unit_inside_the_network_can_be_asked():
    net, inputs = made(Functional)
    answer = Gradient()(pl.wrap(net), pl.Decision(inputs, of=pl.Unit("first", (1, 2, 3))))
    for example, point in zip(answer.scores, inputs, strict=True):
        expected = torch.zeros_like(point)
        expected[:, 1:4, 2:5] = net.first.weight[1].detach()
        assert torch.allclose(example, expected, atol=1e-12)


def test_a_target_per_example_is_a_question_per_example():
    net, inputs = made(Functional, 3)
    subject = pl.wrap(net)
    answer = Gradient()(subject, pl.Decision(inputs, target=[2, 0, 1]))
    for row, target in enumerate([2, 0, 1]):
        alone = Gradient()(subject, pl.Decision(inputs[row : row + 1], target=target))
        assert torch.allclose(answer.scores[row], alone.scores[0], atol=1e-12)
    assert answer.target.tolist() == [2, 0, 1]


def test_the_saliency_map_is_the_absolute_derivative():
    net, inputs = made(Functional)
    subject, decision = pl.wrap(net), pl.Decision(inputs, target=1)
    signed, absolute = Gradient()(subject, decision), Gradient(values="absolute")(subject, decision)
    assert torch.equal(absolute.scores, signed.scores.abs())
    assert bool((signed.scores < 0).any())


def test_the_first_saliency_map_is_the_largest_size_over_the_channels_and_counts_once():
    net, inputs = made(Functional)
    subject, decision = pl.wrap(net), pl.Decision(inputs, target=1)
    signed, largest = Gradient()(subject, decision), Gradient(values="maximum")(subject, decision)
    expected = signed.scores.abs().amax(1)
    assert torch.equal(largest.scores, expected[:, None].expand_as(inputs))
    for found, example in zip(largest.by_feature(), expected, strict=True):
        assert found.sum() == pytest.approx(float(example.sum()))


@pytest.mark.parametrize(("subject", "raw"), [("minilm-sentiment", "A warm film."), ("char-lstm", ["what", "a"])])
def test_words_and_characters_have_the_largest_size_among_their_numbers(subject, raw):
    loaded = pl.load(subject)
    signed, largest = (Gradient(values=values)(loaded, pl.Decision(raw, target=0)) for values in ("signed", "maximum"))
    assert torch.equal(largest.scores, signed.scores.abs().amax(2, keepdim=True).expand_as(signed.scores))
    assert [len(vector) for vector in largest.by_feature()] == [len(vector) for vector in signed.by_feature()]


def test_where_there_are_no_channels_the_largest_size_is_the_size():
    net, inputs = made(InPlace)
    absolute, largest = (
        Gradient(values=values)(pl.wrap(net), pl.Decision(inputs, target=1)) for values in ("absolute", "maximum")
    )
    assert torch.equal(absolute.scores, largest.scores)
    with pytest.raises(NotAnswerable, match="at a layer ask values='absolute'"):
        Gradient(values="maximum")(pl.wrap(net), pl.Decision(inputs, target=1, at="first"))


def test_the_batch_size_does_not_matter():
    net, inputs = made(Recurrent, 5)
    subject, decision = pl.wrap(net), pl.Decision(inputs, target=1)
    whole = Gradient()(subject, decision)
    with pl.byte_budget(1):
        assert torch.allclose(Gradient()(subject, decision).scores, whole.scores, atol=1e-12)
    assert whole.evaluations == {"F": 5, "B": 5}


def test_parameters_and_modes_are_left_alone():
    net, inputs = made(Normalised)
    net.train()
    Gradient()(pl.wrap(net), pl.Decision(inputs, target=1))
    assert all(module.training for module in net.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())


def test_a_caller_that_wants_no_graphs_gets_the_same_gradient():
    subject, rows = pl.wrap(nn.Linear(3, 2), name="linear"), torch.ones(2, 3)
    expected = Gradient()(subject, pl.Decision(rows)).scores
    with torch.no_grad():
        assert torch.equal(Gradient()(subject, pl.Decision(rows)).scores, expected)


def test_a_score_that_does_not_depend_on_the_input_is_refused():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.scores = nn.Parameter(torch.ones(3))

        def forward(self, row):
            return self.scores.expand(len(row), -1)

    with pytest.raises(NotAnswerable, match="does not depend"):
        Gradient()(pl.wrap(Constant()), pl.Decision(torch.ones(1, 2)))


@pytest.mark.parametrize("method", [Gradient(), IntegratedGradients(), SmoothGrad(), ExpectedGradients()])
def test_whole_numbers_have_no_gradient_but_their_embedding_has(method):
    class Embedded(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(10, 4), nn.Linear(4, 3)

        def forward(self, numbers):
            return self.head(self.table(numbers).tanh().mean(1))

    subject, numbers = pl.wrap(Embedded()), torch.tensor([[1, 5, 2], [3, 3, 9]])
    with pytest.raises(PellucidError, match="whole numbers"):
        method(subject, pl.Decision(numbers, target=1))
    assert Gradient()(subject, pl.Decision(numbers, target=1, at="table")).scores.shape == (2, 3, 4)
