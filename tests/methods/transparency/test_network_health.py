"""Network health: planted units are found and nothing else, removing them changes nothing, and costs are those by hand."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import pellucid as pl
from engine.networks import seeded
from pellucid.core.errors import UsageError
from pellucid.engine.layer_costs import layer_costs
from pellucid.engine.unit_health import Removal
from pellucid.engine.units import layer_at
from pellucid.methods.transparency.network_health import NetworkHealth

PAIR = torch.tensor([[5, 1]])


class Planted(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.relu = nn.Conv2d(2, 10, 3, padding=1), nn.ReLU()
        self.second, self.tanh = nn.Conv2d(10, 6, 3, padding=1), nn.Tanh()
        self.head = nn.Linear(6, 3)

    def forward(self, pictures):
        return self.head(self.tanh(self.second(self.relu(self.first(pictures)))).mean((2, 3)))


def planted():
    """Unit 3 of the first layer is silent, 5 is twice 1, 8 is read by nobody; of the second 2 is saturated, 4 is minus 0."""
    module = seeded(Planted).eval()
    with torch.no_grad():
        module.first.bias[3] = -100
        module.first.weight[5], module.first.bias[5] = 2 * module.first.weight[1], 2 * module.first.bias[1]
        module.second.weight[:, 8] = 0
        module.second.weight[2] *= 1000
        module.second.weight[4], module.second.bias[4] = -module.second.weight[0], -module.second.bias[0]
    return module


def pictures(number=40):
    return torch.randn(number, 2, 9, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(scope="module")
def report():
    module = planted()
    return NetworkHealth(spare=True, timed=1)(pl.wrap(module.double()), pl.Representation((), pictures()))


def test_planted_units_are_found_and_nothing_else(report):
    first, second = report.layers
    assert (first.name, second.name) == ("relu", "tanh")
    assert first.silent.tolist() == [3]
    assert first.unused.tolist() == [8]
    assert first.duplicates.tolist() == [[5, 1]]
    assert first.saturated.tolist() == []
    assert second.duplicates.tolist() == [[4, 0]]
    assert float(second.correlations[0]) == pytest.approx(-1)
    assert second.saturated.tolist() == [2]
    assert [len(second.silent), len(second.unused)] == [0, 0]
    assert first.removable == [3, 5, 8]


def test_without_them_every_score_stays_the_same(report):
    assert report.without < 1e-6
    assert all(layer.without < 1e-6 for layer in report.layers)
    assert report.changed[0] == 0
    assert report.changed[2] == pytest.approx(0.0876, abs=1e-3)
    assert "no score changes by more than" in report.summary()
    assert report.layers[0].spare >= 2


def test_what_stands_for_removed_units_is_what_a_smaller_network_would_compute():
    module, smaller = planted().double(), planted().double()
    with torch.no_grad():
        smaller.second.weight[:, 1] += 2 * module.second.weight[:, 5]
        smaller.second.bias += 0.3 * module.second.weight[:, 5].sum((1, 2))
        smaller.second.bias += 0.5 * module.second.weight[:, 3].sum((1, 2))
        smaller.second.weight[:, [3, 5]] = 0
    subject = pl.wrap(module)
    inputs = subject.prepare(pictures(3))
    constant = torch.arange(10) == 3
    removal = Removal(
        layer_at(subject, inputs, "relu"), constant, 0.5 * constant.double(), PAIR, torch.tensor([[2.0, 0.3]])
    )
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))  # where no padding is seen
    before = {"tanh": lambda output: output[inner].mean((2, 3), keepdim=True)}
    found = subject.run(inputs, replace={"relu": removal, **before}).scores
    torch.testing.assert_close(found, pl.wrap(smaller).run(inputs, replace=before).scores)


def test_near_duplicates_change_what_the_report_says_they_change():
    module = planted().double()
    with torch.no_grad():
        noise = torch.randn(module.first.weight[5].shape, generator=torch.Generator().manual_seed(2))
        module.first.weight[5] += 0.01 * noise
    found = NetworkHealth(timed=0)(pl.wrap(module), pl.Representation(("relu",), pictures()))
    assert found.layers[0].duplicates.tolist() == [[5, 1]]
    assert 1e-4 < found.without < 0.2
    strict = NetworkHealth(timed=0, alike=0.99999)(pl.wrap(module), pl.Representation(("relu",), pictures()))
    assert strict.layers[0].duplicates.tolist() == []


def test_spared_units_are_as_many_as_change_no_decision():
    module = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False)).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.eye(4))
        module[2].weight.copy_(torch.tensor([[1.0, 0, 1e-6, 1e-6], [0, 1.0, 1e-6, 1e-6]]))
    rows = torch.rand(60, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows[0] = torch.tensor([0.5, 0.6, 0.1, 0.9])
    found = NetworkHealth(spare=True, timed=0)(pl.wrap(module), pl.Representation((), rows))
    assert found.layers[0].spare == 2
    everything = NetworkHealth(spare=True, allowed=0.99, timed=0)(pl.wrap(module), pl.Representation((), rows))
    assert everything.layers[0].spare == 4


def test_costs_are_those_by_hand(report):
    costs = {cost.name: cost for cost in layer_costs(pl.wrap(planted()), pl.wrap(planted()).prepare(pictures(1)))}
    assert set(costs) == {"first", "second", "head"}
    assert costs["first"].parameters == 2 * 9 * 10 + 10
    assert costs["first"].multiply_adds == 81 * 2 * 9 * 10
    assert costs["second"].multiply_adds == 81 * 10 * 9 * 6
    assert costs["head"].multiply_adds == 18
    assert costs["head"].bytes == 8 * (6 * 3 + 3) + 8 * 3
    assert report.modules == ("first", "second", "head")
    assert set(report.seconds) >= {"first", "relu", "head"}
    assert sum(report.time_share(name) for name in report.seconds) == pytest.approx(1)


def test_recurrent_layers_cost_their_weights_at_every_step():
    module = nn.LSTM(5, 4, batch_first=True)
    subject = pl.wrap(module, output=0)
    (cost,) = layer_costs(subject, subject.prepare(torch.zeros(1, 7, 5)))
    assert (cost.kind, cost.multiply_adds) == ("LSTM", 7 * 16 * (5 + 4))


def test_the_same_network_with_its_units_in_another_order_matches_one_to_one():
    module, other = planted().double(), planted().double()
    order = torch.randperm(10, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        other.first.weight.copy_(module.first.weight[order])
        other.first.bias.copy_(module.first.bias[order])
        other.second.weight.copy_(module.second.weight[:, order])
    stranger = Planted().double()
    method = NetworkHealth(timed=0, others=(pl.wrap(other, name="shuffled"), pl.wrap(stranger, name="stranger")))
    found = method(pl.wrap(module), pl.Representation((), pictures()))
    first = found.layers[0]
    assert float(first.matched[0, 0]) == pytest.approx(1)
    assert float(first.matched[0, 1]) < 0.2
    assert float(first.matched[0, 1]) < float(first.matched[1, 0]) < 0.9
    assert found.counts[0].tolist() == [[1, 1, 0, 1], [0, 0, 1, 1]]
    assert found.others == ("shuffled 1", "stranger 2")
    assert "Beside shuffled 1: silent units 1 there, 1 here" in found.summary()


def test_padding_and_whole_numbers_of_calls_are_heeded():
    relu = nn.ReLU()
    module = nn.Sequential(nn.Linear(3, 4), relu, nn.Linear(4, 4), relu, nn.Linear(4, 2)).double()
    found = NetworkHealth(timed=0)(pl.wrap(module), pl.Representation((), torch.ones(2, 3).double()))
    assert [layer.name for layer in found.layers] == ["1", "1#1"]
    assert found.layers[0].silent.tolist() == [0, 1, 2, 3]  # on one and the same example, everything is constant
    assert "2 examples are few" in found.summary()


def test_others_of_another_size_and_unknown_layers_are_refused():
    subject = pl.wrap(planted().double())
    with pytest.raises(UsageError, match="no layer 'rule'; did you mean 'relu'"):
        NetworkHealth(timed=0)(subject, pl.Representation(("rule",), pictures(3)))
    unlike = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Flatten())
    with pytest.raises(UsageError, match="has no layer 'relu'"):
        NetworkHealth(timed=0, others=(pl.wrap(unlike.double()),))(subject, pl.Representation(("relu",), pictures(3)))


def test_silent_units_of_a_trained_network_can_go_without_any_change():
    pictures = torch.from_numpy(load_digits().images[:200] / 16).float()[:, None]
    found = NetworkHealth(timed=0)(pl.load("digits-cnn"), pl.Representation((), pictures))
    assert [len(layer.silent) for layer in found.layers] == [1, 1]
    assert found.without < 1e-6
    assert found.changed[0] == 0
