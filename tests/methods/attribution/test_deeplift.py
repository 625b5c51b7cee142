"""DeepLIFT: gates by hand, completeness on networks that other code finds hard, layers, baselines and honest residuals."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import pellucid as pl
from engine.networks import ResNet, seeded
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.query import Unit
from pellucid.methods import DeepLift, IntegratedGradients

RULES = ("rescale", "reveal-cancel")
both_rules = pytest.mark.parametrize("rule", RULES)


class Function(nn.Module):
    """A module that computes what it is given, in float64."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)
        self.precision = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, point):
        return self.function(point)


def gate(function, *row, rule="rescale", baseline=0.0):
    """Scores of one row by a function of its columns."""
    network = Function(lambda point: function(*point.unbind(1))[:, None])
    subject = pl.wrap(network, pl.tasks.TensorTask(output="value"))
    answer = DeepLift(rule=rule, baseline=baseline)(subject, pl.Decision(torch.tensor([row], dtype=torch.float64)))
    assert bool(answer.converged)
    return answer.scores[0].tolist()


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def unexplained(answer):
    """The part of the scores' size that does not add up to the rise above the baseline."""
    rise = answer.value - answer.quality["baseline"]
    missed = rise - answer.scores.flatten(1).sum(1)
    return float((missed.abs() / answer.scores.flatten(1).abs().sum(1)).max())


relu = torch.relu
minimum = lambda one, other: one - relu(one - other)  # noqa: E731
both = lambda one, other: relu(one + other - 1)  # noqa: E731
either = lambda one, other: 1 - relu(1 - one - other)  # noqa: E731
odd = lambda one, other: either(one, other) - both(one, other)  # noqa: E731


@pytest.mark.parametrize(("row", "least"), [((3.0, 1.0), 1), ((1.0, 3.0), 1), ((2.0, 2.0), 2)])
def test_a_minimum_belongs_to_both_where_what_cancels_is_revealed_and_to_the_lesser_where_it_is_not(row, least):
    assert gate(minimum, *row, rule="reveal-cancel") == pytest.approx([least / 2, least / 2])
    one, other = row
    expected = [0, least] if one > other else [least, 0]
    assert gate(minimum, *row) == pytest.approx(expected if one != other else [2, 0])


@both_rules
def test_and_and_or_are_shared_by_two_equal_inputs(rule):
    for function, value in ((both, 1.0), (either, 1.0), (odd, 0.0)):
        assert gate(function, 1.0, 1.0, rule=rule) == pytest.approx([value / 2, value / 2])
    assert gate(either, 1.0, 0.0, rule=rule) == pytest.approx([1, 0])
    assert gate(both, 1.0, 0.0, rule=rule) == pytest.approx([0, 0])


def test_saturation_is_seen_where_the_gradient_is_zero():
    assert gate(either, 1.0, 1.0) == pytest.approx([0.5, 0.5])
    assert gate(either, 3.0, 1.0) == pytest.approx([0.75, 0.25])


def test_a_threshold_does_not_jump():
    """A bias of −10, passed by a little: its score grows from nothing, where gradient times input would jump to 10."""
    for over in (1e-6, 0.1, 5.0):
        assert gate(lambda one: relu(one - 10), 10 + over) == pytest.approx([over])


def test_a_product_and_its_parts_are_shared_half_and_half():
    assert gate(lambda one, other: one * other, 3.0, 4.0) == [6, 6]
    assert gate(lambda one, other: one * other, 3.0, 4.0, baseline=1.0) == [5, 6]  # Δ · the mean of the other factor


@both_rules
def test_a_linear_network_has_its_weights_times_the_changes(rule):
    network = seeded(lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)))
    point, baseline = drawn(2, 5), drawn(5, seed=1)
    answer = DeepLift(baseline=baseline, rule=rule)(pl.wrap(network), pl.Decision(point, target=[0, 2]))
    leaf = point.clone().requires_grad_()
    (slope,) = torch.autograd.grad(network(leaf)[[0, 1], [0, 2]].sum(), leaf)
    torch.testing.assert_close(answer.scores, slope * (point - baseline))


def test_one_neuron_has_the_integrated_gradient():
    network = seeded(lambda: nn.Sequential(nn.Linear(6, 1), nn.Softplus()))
    subject = pl.wrap(network, pl.tasks.TensorTask(output="value"))
    decision = pl.Decision(drawn(3, 6))
    expected = IntegratedGradients(tolerance=1e-10)(subject, decision).scores
    torch.testing.assert_close(DeepLift()(subject, decision).scores, expected, rtol=1e-8, atol=1e-10)


@both_rules
def test_the_baseline_itself_has_no_scores(rule):
    network = seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 2)))
    answer = DeepLift(baseline=drawn(1, 4), rule=rule)(pl.wrap(network), pl.Decision(drawn(1, 4), 0))
    assert not answer.scores.any()
    assert bool(answer.converged)


class Reused(nn.Module):
    """One ReLU module three times, also in place, a functional one, and a map that is called twice."""

    def __init__(self):
        super().__init__()
        self.first, self.again, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, row):
        hidden = self.relu(self.first(row))
        hidden = hidden + self.relu(self.again(hidden))
        hidden += functional.relu(self.again(hidden))
        hidden[:, ::2] = torch.tanh_(hidden[:, 1::2] * 1.0)
        return self.last(self.relu(hidden - 0.1)).softmax(1)


class CellWrittenOut(nn.Module):
    """An LSTM by its equations, over three steps of two numbers."""

    def __init__(self):
        super().__init__()
        self.input, self.state, self.last = nn.Linear(2, 16), nn.Linear(4, 16, bias=False), nn.Linear(4, 3)

    def forward(self, row):
        hidden = cell = row.new_zeros(len(row), 4)
        for step in row.view(-1, 3, 2).unbind(1):
            enter, forget, update, leave = (self.input(step) + self.state(hidden)).chunk(4, 1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * update.tanh()
            hidden = leave.sigmoid() * cell.tanh()
        return self.last(hidden)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.LSTM(2, 4, batch_first=True, bidirectional=True), nn.Linear(8, 3)

    def forward(self, row):
        return self.last(self.layer(row.view(-1, 3, 2))[0][:, -1])


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.Linear(4, 3)
        self.up = nn.Linear(2, 4)

    def forward(self, row):
        return self.last(self.layer(self.up(row.view(-1, 3, 2))).amax(1))


class Gated(nn.Module):
    """Products of parts of the input with each other, a mask made from the input, a maximum and a norm."""

    def __init__(self):
        super().__init__()
        self.first, self.gate, self.last = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, row):
        hidden = self.first(row) * self.gate(row).sigmoid()
        hidden = hidden * (hidden > -0.2) + functional.normalize(hidden)
        return self.last(torch.maximum(hidden, hidden.flip(1)))


AWKWARD = (Reused, CellWrittenOut, Recurrent, Attending, Gated)


@both_rules
@pytest.mark.parametrize("network", AWKWARD)
@pytest.mark.parametrize(
    "asked",
    [
        {"target": [0, 2, 1]},
        {"target": 2, "foil": 0},
        {"target": 0, "of": "probability"},
        {"target": 0, "of": "log-probability", "foil": 1},
        {"target": 1, "of": "loss"},
        {"of": Unit("last", 2)},
    ],
)
def test_scores_add_up_whatever_the_network_and_the_question(network, asked, rule):
    subject = pl.wrap(seeded(network))
    answer = DeepLift(rule=rule, baseline=drawn(6, seed=5))(subject, pl.Decision(drawn(3, 6), **asked))
    assert unexplained(answer) < 1e-9
    assert bool(answer.converged.all())
    assert float(answer.residual.abs().max()) < 1e-9


@both_rules
def test_scores_of_a_picture_add_up_in_single_precision(rule):
    subject = pl.wrap(seeded(ResNet, dtype=torch.float32))
    answer = DeepLift(rule=rule)(subject, pl.Decision(drawn(2, 3, 40, 40).float(), target=3))
    assert unexplained(answer) < 1e-5
    assert answer.scores.dtype == torch.float32
    assert answer.evaluations == {"F": 4, "B": 2}


def test_a_functional_or_reused_relu_is_the_same_as_a_module_of_its_own():
    apart = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)))
    one = nn.ReLU()
    reused = nn.Sequential(apart[0], one, apart[2], one, apart[4])
    functions = Function(lambda row: apart[4](functional.relu_(apart[2](relu(apart[0](row))))), apart)
    inputs = drawn(2, 6)
    expected = DeepLift()(pl.wrap(apart), pl.Decision(inputs, 1)).scores
    for network in (reused, functions):
        assert torch.equal(DeepLift()(pl.wrap(network), pl.Decision(inputs, 1)).scores, expected)


class Layered(nn.Module):
    """A skip around its middle, so that a layer does not carry everything."""

    def __init__(self):
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, row):
        hidden = self.first(row).relu()
        return self.last(hidden + self.middle(hidden).tanh())


@both_rules
def test_at_a_layer_the_scores_add_up_to_what_replacing_it_changes(rule):
    subject, inputs, baseline = pl.wrap(seeded(Layered)), drawn(2, 6), drawn(6, seed=3)
    for at in ("first", "middle", "last"):
        answer = DeepLift(rule=rule, baseline=baseline)(subject, pl.Decision(inputs, 1, at=at))
        start = subject.run(subject.prepare(baseline.expand(2, 6).clone()), capture=(at,)).activations[at]
        replaced = subject.run(subject.prepare(inputs), replace={at: start}).scores[:, 1]
        torch.testing.assert_close(answer.quality["baseline"], replaced)
        assert unexplained(answer) < 1e-12
        assert answer.scores.shape == start.shape


def test_a_layer_that_carries_everything_has_the_scores_that_its_rest_has_of_its_activation():
    network, inputs = seeded(Layered), drawn(2, 6)
    answer = DeepLift()(pl.wrap(network), pl.Decision(inputs, 0, at="first"))
    rest = Function(lambda hidden: network.last(hidden.relu() + network.middle(hidden.relu()).tanh()), network)
    with torch.no_grad():
        there = network.first(torch.zeros(1, 6, dtype=torch.float64))[0]
        expected = DeepLift(baseline=there)(pl.wrap(rest), pl.Decision(network.first(inputs), 0))
    torch.testing.assert_close(answer.scores, expected.scores)


def test_the_baseline_is_the_tasks_own_a_number_a_name_or_a_tensor():
    subject, inputs = pl.wrap(seeded(Layered)), drawn(2, 6)
    ask = lambda **fields: DeepLift(**fields)(subject, pl.Decision(inputs, 0)).scores  # noqa: E731
    assert torch.equal(ask(), ask(baseline="zero"))
    assert torch.equal(ask(baseline=0.25), ask(baseline=torch.full((6,), 0.25)))
    assert not torch.equal(ask(), ask(baseline=0.25))
    with pytest.raises(UsageError, match="no baseline 'nothing'"):
        ask(baseline="nothing")


def test_a_rule_that_is_none_is_refused_when_the_method_is_made():
    with pytest.raises(UsageError, match="rescale"):
        DeepLift(rule="rescaled")


def test_a_network_that_takes_another_path_for_the_baseline_is_refused_with_the_way_out():
    def branching(row):
        return row.exp() if bool((row > 0).all()) else row.sin()

    with pytest.raises(NotAnswerable, match=r"deeplift on .*another path .*ask integrated-gradients"):
        DeepLift(baseline=-1.0)(pl.wrap(Function(branching)), pl.Decision(torch.ones(1, 3).double(), 0))
    assert DeepLift(baseline=0.5)(
        pl.wrap(Function(branching)), pl.Decision(torch.ones(1, 3).double(), 0)
    ).converged.all()


def test_what_no_rule_accounts_for_is_a_residual_and_does_not_converge():
    def switching(row):
        return torch.where(row[:, :1] > 0, 5.0 + 0 * row, row)

    answer = DeepLift(baseline=-1.0)(pl.wrap(Function(switching)), pl.Decision(torch.ones(1, 2).double(), 1))
    assert float(answer.residual.abs()) > 1
    assert not bool(answer.converged)
    torch.testing.assert_close(answer.scores.sum(1) + answer.residual, answer.value - answer.quality["baseline"])


def test_a_small_residual_of_many_kinks_is_told_and_tolerated():
    def ranked(row):
        return (row.sort(1).values * torch.arange(1.0, 13)).cumsum(1)

    answer = DeepLift(baseline=drawn(12, seed=7))(pl.wrap(Function(ranked)), pl.Decision(drawn(1, 12), 11))
    share = float((answer.residual / (answer.value - answer.quality["baseline"])).abs())
    assert 1e-6 < share < 1e-3
    assert bool(answer.converged)
