"""Weight attribution: complete for homogeneous networks, exact effects of zeroed filters, and nothing changed."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import pellucid as pl
from engine.networks import ResNet, seeded
from pellucid.core.content import digest
from pellucid.core.errors import UsageError
from pellucid.engine.parameter_units import ParameterUnits
from pellucid.methods.attribution.weight_attribution import WeightAttribution


def rectifiers(widths, bias=False):
    layers = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).double()


def rows(number, width, seed=0):
    return torch.randn(number, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 7), min_size=1, max_size=3), st.booleans())
def test_scores_of_every_layer_sum_to_the_value_of_a_homogeneous_network(seed, hidden, contrast):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        subject = pl.wrap(rectifiers([4, *hidden, 3]))
    asked = pl.Decision(rows(2, 4, seed), target=1, foil=2 if contrast else None)
    found = WeightAttribution(top=2, draws=0)(subject, asked)
    for scores in found.scores.values():
        torch.testing.assert_close(scores.sum(1), found.value)


def test_scores_are_gradient_times_weight_by_hand():
    first, second = rows(3, 2, 1), rows(2, 3, 2)
    network = rectifiers([2, 3, 2], bias=True)
    with torch.no_grad():
        network[0].weight.copy_(first)
        network[2].weight.copy_(second)
    x = rows(1, 2, 3)
    hidden = network[0](x)[0].detach()
    found = WeightAttribution(top=3, draws=0)(pl.wrap(network), pl.Decision(x, target=0))
    expected = (second[0] * (hidden > 0)) * hidden
    torch.testing.assert_close(found.scores["0"][0], expected)
    torch.testing.assert_close(found.scores["2"][0, 0], found.value[0])
    assert float(found.scores["2"][0, 1]) == 0
    assert found.layers == ("0", "2")


@pytest.mark.parametrize("of", ["score", "probability", "loss"])
def test_effects_are_those_of_networks_without_the_filters(of):
    network = seeded(lambda: ResNet(stem=3, width=4)).eval()
    pictures = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    asked = pl.Decision(pictures, target=1, of=of)
    found = WeightAttribution(top=4, draws=3)(pl.wrap(network), asked)
    parts = dict(network.named_modules())
    for example in range(2):
        everything = copy.deepcopy(network)
        for rank in range(4):
            layer, unit = found.unit(example, rank).split("/")
            kept = {name: value.detach()[int(unit)].clone() for name, value in parts[layer].named_parameters()}
            with torch.no_grad():
                for value in parts[layer].parameters():
                    value[int(unit)] = 0
                for value in dict(everything.named_modules())[layer].parameters():
                    value[int(unit)] *= float((found.score(example, rank) > 0) != (found.score(example, 0) > 0))
            left = quantity(network, pictures[example : example + 1], of)
            torch.testing.assert_close(found.value[example] - left, found.effects[example, rank])
            with torch.no_grad():
                for name, value in parts[layer].named_parameters():
                    value[int(unit)] = kept[name]
        left = quantity(everything, pictures[example : example + 1], of)
        torch.testing.assert_close(found.value[example] - left, found.together[example])


def quantity(network, picture, of):
    scores = network(picture).detach()
    if of == "score":
        return scores[0, 1]
    chance = scores.log_softmax(-1)[0, 1]
    return chance.exp() if of == "probability" else -chance


def test_a_unit_that_carries_everything_is_first_and_random_ones_do_nothing():
    network = rectifiers([3, 20, 2], bias=True)
    with torch.no_grad():
        network[2].weight.zero_()
        network[2].weight[0, 13] = 5
        network[0].weight[13] = torch.tensor([1.0, 1.0, 1.0])
        network[2].bias.zero_()
    found = WeightAttribution(top=1, draws=4)(pl.wrap(network), pl.Decision(torch.ones(1, 3).double(), target=0))
    assert found.unit(0, 0) == "0/13"
    torch.testing.assert_close(found.effects[0, 0], found.value[0])
    assert not found.control.any()
    assert "the value falls by" in found.summary()
    assert found.table()[0]["kind"] == "Linear"


def test_the_row_of_the_class_itself_is_not_ranked_but_scored():
    network = rectifiers([3, 4, 5])
    found = WeightAttribution(top=50, draws=0)(pl.wrap(network), pl.Decision(rows(1, 3), target=2))
    torch.testing.assert_close(found.scores["2"][0, 2], found.value[0])
    assert [found.unit(0, rank) for rank in range(4)] == sorted(
        (f"0/{unit}" for unit in range(4)), key=lambda name: -abs(float(found.scores["0"][0, int(name[2:])]))
    )


def test_the_network_is_left_as_it_was_and_shared_parameters_count_once():
    shared = nn.Linear(3, 3, bias=False)
    network = nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(3, 2, bias=False)).double()
    network.requires_grad_(False)
    before = digest(dict(network.named_parameters()))
    found = WeightAttribution(top=2)(pl.wrap(network), pl.Decision(rows(1, 3), target=0))
    assert digest(dict(network.named_parameters())) == before
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in network.parameters())
    assert found.layers == ("0", "4")
    torch.testing.assert_close(found.scores["0"].sum(1), 2 * found.value)


def test_groups_are_filters_with_their_bias_and_gates_by_parameter():
    parts = [nn.ConvTranspose2d(3, 5, 2), nn.BatchNorm2d(5), nn.Flatten(), nn.Unflatten(1, (5, 9))]
    network = nn.Sequential(*parts, nn.LSTM(9, 4, batch_first=True))
    groups = ParameterUnits(pl.wrap(network, output=0)).groups
    assert {name: group.units for name, group in groups.items()} == {
        "0": 5,
        "1": 5,
        "4.weight_ih_l0": 16,
        "4.weight_hh_l0": 16,
        "4.bias_ih_l0": 16,
        "4.bias_hh_l0": 16,
    }
    assert [tuple(parameter.shape) for parameter, _ in groups["0"].members] == [(3, 5, 2, 2), (5,)]


def test_layers_can_be_chosen_by_pattern():
    network = rectifiers([3, 4, 5, 2])
    found = WeightAttribution(layers="0, [2]", draws=0)(pl.wrap(network), pl.Decision(rows(1, 3), target=0))
    assert found.layers == ("0", "2")
    with pytest.raises(UsageError, match="no parameters in '7'"):
        WeightAttribution(layers="7")(pl.wrap(network), pl.Decision(rows(1, 3), target=0))
