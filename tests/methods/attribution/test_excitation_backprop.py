"""Excitation backpropagation: chances of walks written out, contrasts, and what is no walk."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import pellucid as pl
from engine.networks import seeded
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.query import Unit
from pellucid.methods.attribution.excitation_backprop import ExcitationBackprop


def linear(weight, bias=None):
    module = nn.Linear(len(weight[0]), len(weight), bias=bias is not None).double()
    module.weight.data = torch.tensor(weight, dtype=torch.float64)
    if bias is not None:
        module.bias.data = torch.tensor(bias, dtype=torch.float64)
    return module


def row(*values):
    return torch.tensor([values], dtype=torch.float64)


TWO = nn.Sequential(
    linear([[1.0, 2.0, -1.0], [0.0, 1.0, 3.0]], [0.5, -1.0]), nn.ReLU(), linear([[2.0, 1.0], [1.0, -4.0]])
)
POINT = row(1.0, 1.0, 2.0)
# Activations behind the rectifier are 1.5 and 6: from class 0 the walk goes to them with chances 3/9 and 6/9, and on by
# 1:2 from the first (the third input inhibits it), by 1:6 from the second.
CHANCES = row(1 / 3 * 1 / 3, 1 / 3 * 2 / 3 + 2 / 3 * 1 / 7, 2 / 3 * 6 / 7)


def ask(network, point, **asked):
    fields = {"contrastive": asked.pop("contrastive", False)}
    return ExcitationBackprop(**fields)(pl.wrap(network), pl.Decision(point, **({"target": 0} | asked)))


def test_a_walk_follows_excitatory_weights_in_proportion_to_what_they_bring():
    found = ask(TWO, POINT)
    torch.testing.assert_close(found.scores, CHANCES)
    torch.testing.assert_close(ask(TWO, POINT, at="1").scores, row(1 / 3, 2 / 3))
    assert found.value.item() == 9
    assert found.reaching.item() == pytest.approx(1)


def test_many_walks_that_are_drawn_end_as_the_scores_say():
    network = seeded(lambda: nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)))
    point = torch.rand(1, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    hidden = network[1](network[0](point)).detach()[0]
    source, ends, lost = torch.Generator().manual_seed(0), torch.zeros(5, dtype=torch.float64), 0
    for _ in range(4000):
        chances = (hidden * network[2].weight.data[1]).clamp(min=0)
        unit = int(torch.multinomial(chances, 1, generator=source))
        chances = (point[0] * network[0].weight.data[unit]).clamp(min=0)
        if not chances.any():
            lost += 1
            continue
        ends[int(torch.multinomial(chances, 1, generator=source))] += 1
    found = ask(network, point, target=1)
    assert found.reaching.item() == pytest.approx(1 - lost / 4000, abs=0.03)
    torch.testing.assert_close(found.scores[0], ends / ends.sum(), rtol=0, atol=0.03)


def test_negative_inputs_excite_through_negative_weights():
    torch.testing.assert_close(ask(linear([[1.0, -2.0, 1.0]]), row(3.0, -1.0, -1.0)).scores, row(0.6, 0.4, 0.0))


class Convolutional(nn.Module):
    """Convolutions, a residual sum, maximum and mean pooling."""

    def __init__(self):
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, pixels):
        found = functional.max_pool2d(self.stem(pixels).relu(), 2)
        found = (found + self.block(found)).relu()
        return self.head(found.mean((2, 3)))


@pytest.mark.parametrize("at", ["input", "stem", "block"])
def test_probabilities_are_not_negative_and_sum_to_one(at):
    pixels = torch.rand(3, 2, 10, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = ask(seeded(Convolutional), pixels, at=at, target=[0, 1, 2])
    assert (found.scores >= 0).all()
    torch.testing.assert_close(found.scores.flatten(1).sum(1), torch.ones(3, dtype=torch.float64))
    assert ((found.reaching > 0.01) & (found.reaching <= 1 + 1e-9)).all()


def test_a_residual_sum_is_followed_to_terms_that_raise_it_only():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = linear([[0.0, -0.5], [0.0, 0.5]])

        def forward(self, point):
            return (point + self.branch(point)).relu() @ torch.ones(2, 1, dtype=torch.float64)

    torch.testing.assert_close(ask(Skip(), row(1.0, 1.0)).scores, row(0.25, 0.75))


def test_a_foil_takes_away_the_walks_from_the_foil():
    both = ask(TWO, POINT, foil=1)
    torch.testing.assert_close(both.scores, ask(TWO, POINT).scores - ask(TWO, POINT, target=1).scores)
    assert both.scores.sum().item() == pytest.approx(0, abs=1e-12)
    assert both.value.item() == 9 - (1.5 - 24)


def test_the_contrastive_map_takes_away_walks_over_negated_weights_of_the_last_layer():
    network = nn.Sequential(TWO[0], nn.ReLU(), linear([[2.0, -1.0], [1.0, -4.0]]))
    negated = nn.Sequential(TWO[0], nn.ReLU(), linear([[-2.0, 1.0], [-1.0, 4.0]]))
    found = ask(network, POINT, contrastive=True)
    torch.testing.assert_close(found.scores, ask(network, POINT).scores - ask(negated, POINT).scores)
    assert found.scores.sum().item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(ask(network, POINT, contrastive=True, at="1").scores, row(1.0, -1.0))


def test_a_last_layer_without_a_place_of_its_own_has_no_negated_twin():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 2, dtype=torch.float64))

        def forward(self, point):
            return functional.linear(functional.linear(point, self.weight).relu(), self.weight)

    torch.testing.assert_close(ask(Twice(), row(1.0, 3.0)).scores, row(0.25, 0.75))
    with pytest.raises(NotAnswerable, match="cannot be told by its place"):
        ask(Twice(), row(1.0, 3.0), contrastive=True)
    with pytest.raises(UsageError, match="contrast already"):
        ask(TWO, POINT, foil=1, contrastive=True)


def test_a_walk_may_start_at_a_unit():
    found = ExcitationBackprop()(pl.wrap(TWO), pl.Decision(POINT, of=Unit("1", 1)))
    torch.testing.assert_close(found.scores, row(0.0, 1 / 7, 6 / 7))
    silent = ExcitationBackprop()(pl.wrap(TWO), pl.Decision(row(-5.0, -1.0, 0.0), of=Unit("1", 1)))
    assert silent.scores.tolist() == [[0.0, 0.0, 0.0]]
    assert silent.reaching.item() == 0
    assert "Nothing that can be followed" in silent.notes[-1]


def test_a_probability_is_no_start_of_a_walk():
    with pytest.raises(NotAnswerable, match="not at a probability"):
        ask(TWO, POINT, of="probability")
