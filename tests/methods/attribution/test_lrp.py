"""LRP as a method: published vectors, contrasts, layers, rules by place, and what it refuses."""

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.engine.rules import Epsilon, Gamma, ZPlus
from pellucid.methods import LRP


def two_layers(inplace=False):
    """Linear(3, 3) of twos, ReLU, Linear(3, 1) of threes, without biases, in double precision."""
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(inplace), nn.Linear(3, 1, bias=False)).double()
    with torch.no_grad():
        net[0].weight.fill_(2)
        net[2].weight.fill_(3)
    return net


def residual_net():
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.last = (
                nn.Conv2d(1, 4, 3, padding=1),
                nn.Conv2d(4, 4, 3, padding=1),
                nn.Linear(4, 3),
            )

        def forward(self, pixels):
            hidden = self.first(pixels).relu()
            return self.last((hidden + self.second(hidden)).relu().mean((2, 3)))

    return pl.wrap(Net().double(), name="residual")


PIXELS = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("inplace", [False, True])
def test_two_bias_free_layers_give_the_published_vector(inplace):
    inputs = torch.tensor([[1.0, 2, 3], [3, 6, 9]], dtype=torch.float64)
    answer = LRP(composite="epsilon")(pl.wrap(two_layers(inplace)), pl.Decision(inputs, target=0))
    assert torch.allclose(answer.scores, torch.tensor([[18.0, 36, 54], [54, 108, 162]]).double(), rtol=1e-6)
    assert answer.converged.all()


def test_gamma_by_place_gives_the_published_vector():
    net = two_layers()
    with torch.no_grad():
        net[0].weight[0, 0] = -2
    rules = {"0": Gamma(1.0), "2": Gamma(0.25)}
    answer = LRP(composite="epsilon", rules=rules)(
        pl.wrap(net), pl.Decision(torch.tensor([[1.0, 2, 3]]).double(), target=0)
    )
    assert torch.allclose(answer.scores, torch.tensor([[28 / 3, 104 / 3, 52]]).double(), rtol=1e-6)


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus", "epsilon-plus-flat", "epsilon-alpha2-beta1"])
def test_scores_absorption_and_residual_account_for_the_whole_value(composite):
    answer = LRP(composite=composite)(residual_net(), pl.Decision(PIXELS))
    accounted = answer.scores.sum((1, 2, 3)) + sum(answer.absorbed.values()) + answer.residual
    assert torch.allclose(accounted, answer.value, atol=1e-10)
    assert answer.residual.abs().max() <= 1e-9 * answer.value.abs().max()
    assert {"bias", "stabiliser"} <= set(answer.absorbed)


def test_a_contrast_is_the_difference_of_two_answers():
    subject, method = residual_net(), LRP(composite="epsilon")
    target, foil = (method(subject, pl.Decision(PIXELS, target=index)) for index in (1, 2))
    contrast = method(subject, pl.Decision(PIXELS, target=1, foil=2))
    assert torch.allclose(contrast.scores, target.scores - foil.scores, atol=1e-8)
    assert torch.allclose(contrast.value, target.value - foil.value)


def test_relevance_at_a_layer_has_its_shape_and_its_own_account():
    answer = LRP(composite="epsilon-plus")(residual_net(), pl.Decision(PIXELS, at="second"))
    assert answer.scores.shape == (2, 4, 6, 6)
    accounted = answer.scores.sum((1, 2, 3)) + sum(answer.absorbed.values()) + answer.residual
    assert torch.allclose(accounted, answer.value, atol=1e-10)


@pytest.mark.parametrize("of", ["probability", "log-probability", "loss", pl.Unit("first", 0)])
def test_what_is_no_score_before_the_softmax_is_refused(of):
    with pytest.raises(NotAnswerable, match="relevance"):
        LRP()(residual_net(), pl.Decision(PIXELS, of=of))


def test_an_operation_without_a_rule_is_refused_by_name():
    net = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    with pytest.raises(NotAnswerable, match=r"layer_norm.*'1'"):
        LRP()(pl.wrap(net), pl.Decision(torch.ones(1, 4)))


def test_an_unknown_composite_or_place_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="epsilon-plus"):
        LRP(composite="epsilonplus")
    with pytest.raises(UsageError, match="second"):
        LRP(rules={"secnd": ZPlus()})(residual_net(), pl.Decision(PIXELS))


def test_rules_are_part_of_what_a_method_is():
    assert LRP(rules={"0": Epsilon()}) == LRP(rules={"0": Epsilon()})
    assert LRP(rules={"0": Epsilon()}) != LRP(rules={"0": ZPlus()})


def test_the_answer_does_not_depend_on_the_batch():
    subject = residual_net()
    whole = LRP()(subject, pl.Decision(PIXELS)).scores
    alone = LRP()(subject, pl.Decision(PIXELS[1:])).scores
    assert torch.allclose(whole[1:], alone, atol=1e-12)
