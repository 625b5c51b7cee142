"""LRP as a method: which score it explains, what its result says of itself, and what it refuses."""

import importlib.util

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import pellucid as pl
from engine.networks import ResNet, explained, seeded
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.query import Unit
from pellucid.engine.relevance_operations import OPERATIONS, Operation
from pellucid.engine.rules import COMPOSITES, Epsilon, Gamma, ZBox, ZPlus
from pellucid.methods import LRP
from pellucid.models.efficientnet_lite import VARIANTS
from pellucid.subjects.loading import load


def pixels(batch=2, side=32, dtype=torch.float64):
    generator = torch.Generator().manual_seed(7)
    return torch.randn(batch, 3, side, side, generator=generator).clamp(-3, 3).to(dtype)


@pytest.fixture(scope="module")
def network():
    return seeded(lambda: ResNet(stem=3))


@pytest.fixture(scope="module")
def subject(network):
    return pl.wrap(network)


def linear(weight, bias):
    module = nn.Linear(len(weight[0]), len(weight)).double()
    module.weight.data, module.bias.data = torch.tensor(weight).double(), torch.tensor(bias).double()
    return module


def test_of_a_linear_map_the_scores_are_its_terms_and_the_bias_absorbs_itself():
    subject = pl.wrap(linear([[1.0, -2.0, 0.5], [2.0, 1.0, 0.0]], [0.5, -1.0]))
    found = LRP(composite="epsilon")(subject, pl.Decision(torch.tensor([[2.0, -1.0, 1.0]]).double(), target=0))
    torch.testing.assert_close(found.scores, torch.tensor([[2.0, 2.0, 0.5]]).double(), rtol=1e-6, atol=0)
    assert found.value.item() == 5
    assert found.absorbed["bias"].item() == pytest.approx(0.5, rel=1e-6)
    assert found.absorbed["stabiliser"].item() == pytest.approx(1e-6, rel=1e-3)
    assert found.reaching.item() == pytest.approx(0.9, rel=1e-6)
    assert found.residual.abs().item() < 1e-12
    assert found.converged.item()
    assert found.evaluations == {"F": 1, "B": 1}


@pytest.mark.parametrize("name", COMPOSITES)
def test_scores_and_what_is_absorbed_sum_to_the_predicted_score(name, network, subject):
    found = LRP(composite=name, low=-3.0, high=3.0)(subject, pl.Decision(pixels()))
    with torch.no_grad():
        scores = network(pixels())
    torch.testing.assert_close(found.value, scores.max(1).values, rtol=1e-12, atol=0)
    assert found.target.tolist() == scores.argmax(1).tolist()
    total = found.scores.flatten(1).sum(1) + sum(found.absorbed.values())
    torch.testing.assert_close(total, found.value, rtol=1e-9, atol=0)
    assert found.converged.all()


def test_a_foil_is_subtracted(network, subject):
    method = LRP(composite="epsilon-plus")
    both = method(subject, pl.Decision(pixels(), target=[3, 1], foil=[5, 0]))
    expected = explained(network, pixels(), "epsilon-plus", target=[3, 1], foil=[5, 0])
    torch.testing.assert_close(both.scores, expected.scores, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(both.value, expected.value, rtol=1e-12, atol=0)


def test_relevance_can_be_asked_at_a_layer_and_at_a_second_call(network, subject):
    found = LRP(composite="epsilon-plus")(subject, pl.Decision(pixels(), target=2, at="layers.3"))
    expected = explained(network, pixels(), "epsilon-plus", target=2, at="layers.3")
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-9, atol=1e-12)
    square = nn.Linear(3, 3).double()
    twice = pl.wrap(nn.Sequential(square, nn.ReLU(), square))
    points = torch.rand(2, 3, dtype=torch.float64)
    first, second = (LRP(composite="epsilon")(twice, pl.Decision(points, at=at)) for at in ("0", "0#1"))
    assert float((first.scores - second.scores).abs().max()) > 1e-3
    torch.testing.assert_close(second.scores.sum(1), second.value, rtol=1e-12, atol=0)
    with pytest.raises(UsageError, match=r"no layer '0#2' was called"):
        LRP()(twice, pl.Decision(points, at="0#2"))


def test_rules_by_place_come_before_the_composite(network, subject):
    rules = {"layers.0.*": Gamma(), "conv1": ZPlus()}
    found = LRP(composite="epsilon", rules=rules)(subject, pl.Decision(pixels(), target=1))
    expected = explained(network, pixels(), "epsilon", target=1, rules=rules)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-9, atol=1e-12)
    with pytest.raises(UsageError, match=r"'layers\.0\.conv9'.*layers\.0\.conv1"):
        LRP(rules={"layers.0.conv9": ZPlus()})(subject, pl.Decision(pixels()))


def test_the_box_is_that_of_the_task_unless_another_is_given():
    digits = load("digits-cnn")
    picture = torch.tensor(load_digits().images[:2] / 16).float()[:, None]
    query = pl.Decision(picture, target=3)
    by_task = LRP(composite="epsilon-gamma-box")(digits, query)
    given = LRP(composite="epsilon-gamma-box", low=0.0, high=1.0)(digits, query)
    wider = LRP(composite="epsilon-gamma-box", low=-1.0, high=torch.tensor([[[[2.0]]]]))(digits, query)
    by_rule = LRP(composite="epsilon-gamma-box", rules={"convolution1": ZBox()})(digits, query)
    assert torch.equal(by_task.scores, given.scores)
    assert torch.equal(by_task.scores, by_rule.scores)
    assert not torch.equal(by_task.scores, wider.scores)


def test_without_bounds_the_box_rule_is_refused(subject):
    with pytest.raises(UsageError, match=r"needs the bounds of the input; give its low= and high="):
        LRP(composite="epsilon-gamma-box")(subject, pl.Decision(pixels()))


def test_the_bounds_of_the_input_are_no_box_for_a_later_layer():
    digits = load("digits-cnn")
    query = pl.Decision(torch.tensor(load_digits().images[:1] / 16).float()[:, None], target=3)
    with pytest.raises(UsageError, match=r"'convolution2' needs the bounds of its own inputs"):
        LRP(rules={"convolution2": ZBox()})(digits, query)
    found = LRP(rules={"convolution2": ZBox(0.0, 5.0)})(digits, query)
    assert found.converged.item()


def test_batches_of_any_size_give_the_same_scores(subject):
    method, query = LRP(composite="epsilon-plus"), pl.Decision(pixels(5), target=[0, 1, 2, 3, 4], foil=9)
    whole = method(subject, query)
    with pl.byte_budget(1):
        parts = method(subject, query)
    torch.testing.assert_close(parts.scores, whole.scores, rtol=1e-10, atol=1e-13)
    for source, amount in whole.absorbed.items():
        torch.testing.assert_close(parts.absorbed[source], amount, rtol=1e-9, atol=1e-12)


def test_a_network_in_training_mode_is_explained_in_eval_mode_and_left_in_training(network):
    expected = LRP()(pl.wrap(network), pl.Decision(pixels()))
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    try:
        found = LRP()(pl.wrap(network), pl.Decision(pixels()))
        assert all(module.training for module in network.modules())
    finally:
        network.eval()
    assert torch.equal(found.scores, expected.scores)
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_a_position_of_an_answer_can_be_explained():
    class PerPosition(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv1d(2, 3, 3, padding=1)

        def forward(self, x):
            return self.convolution(x).transpose(1, 2)

    network = seeded(PerPosition)
    points = torch.rand(2, 2, 6, dtype=torch.float64)
    found = LRP(composite="epsilon")(pl.wrap(network), pl.Decision(points, target=(4, 1)))
    torch.testing.assert_close(found.value, network(points)[:, 4, 1].detach(), rtol=1e-12, atol=0)
    assert found.scores[:, :, :3].abs().max() == 0
    assert found.scores[:, :, 3:].abs().min() > 0


def test_other_inputs_than_the_point_are_named_by_what_they_received():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(3, 2, bias=False), nn.Linear(2, 2, bias=False)

        def forward(self, point, other):
            return self.one(point) + self.two(other)

    network = seeded(Two)
    inputs = {"point": torch.rand(2, 3, dtype=torch.float64), "other": torch.rand(2, 2, dtype=torch.float64)}
    found = LRP(composite="epsilon")(pl.wrap(network), pl.Decision(inputs, target=0))
    beside = (inputs["other"] @ network.two.weight.detach().T)[:, 0]
    torch.testing.assert_close(found.absorbed["other"], beside, rtol=1e-4, atol=1e-6)
    assert found.converged.all()


def test_a_score_that_hardly_arrives_is_noted():
    subject = pl.wrap(linear([[0.01], [0.0]], [5.0, 0.0]))
    found = LRP(composite="epsilon")(subject, pl.Decision(torch.ones(1, 1).double(), target=0))
    assert found.reaching.item() < 0.05
    assert any("colours rank, but do not add up" in note for note in found.notes)


def test_branches_that_nearly_cancel_are_noted():
    class Cancelling(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(4, 2)

        def forward(self, x):
            found = self.one(x)
            return found + found * -0.999

    found = LRP(composite="epsilon")(pl.wrap(seeded(Cancelling)), pl.Decision(torch.ones(1, 4).double()))
    assert any("nearly cancel" in note for note in found.notes)


def test_an_account_that_does_not_close_has_not_converged(monkeypatch):
    class Losing(Operation):
        def distribute(self, call, relevance, propagation):
            propagation.give(call.args[0], relevance * 0.999)

    monkeypatch.setitem(OPERATIONS, "aten.relu", Losing())
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    found = LRP()(pl.wrap(network), pl.Decision(torch.rand(2, 3, dtype=torch.float64)))
    assert not found.converged.any()
    assert found.residual.abs().min() > 0


@pytest.fixture(scope="module")
def homogeneous():
    """Rectifiers without biases, on which LRP-0 is input times gradient whatever is explained."""
    return seeded(lambda: nn.Sequential(nn.Linear(6, 9, bias=False), nn.ReLU(), nn.Linear(9, 4, bias=False)), 3)


@pytest.mark.parametrize("foil", [None, 2])
@pytest.mark.parametrize("of", ["probability", "log-probability", "loss"])
def test_what_comes_after_the_softmax_is_explained_from_the_scores_before_it(of, foil, homogeneous):
    rows, rules = torch.randn(3, 6, dtype=torch.float64), {"*": Epsilon(1e-14)}
    subject, question = pl.wrap(homogeneous), pl.Decision(rows, target=1, foil=foil, of=of)
    found = LRP(composite="epsilon", rules=rules)(subject, question)
    expected = pl.methods.InputXGradient()(subject, question)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.value, expected.value, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.scores.sum(1) + found.absorbed["softmax"], found.value, rtol=1e-9, atol=1e-9)


def test_a_unit_is_explained_like_a_score(homogeneous):
    rows, unit = torch.randn(3, 6, dtype=torch.float64), Unit(layer="1", index=4)
    found = LRP(composite="epsilon", rules={"*": Epsilon(1e-14)})(pl.wrap(homogeneous), pl.Decision(rows, of=unit))
    expected = pl.methods.InputXGradient()(pl.wrap(homogeneous), pl.Decision(rows, of=unit))
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.scores.sum(1), found.value, rtol=1e-9, atol=1e-9)


def test_the_maps_of_all_channels_of_a_layer_add_up_to_the_plain_map(subject):
    decision, parts = pl.Decision(pixels(), target=1), ([0, 3], [1, 2, 4, 5], [6, 7])
    conditioned = [LRP(composite="epsilon-plus", conditions={"conv1": part})(subject, decision) for part in parts]
    whole = LRP(composite="epsilon-plus")(subject, decision)
    torch.testing.assert_close(sum(found.scores for found in conditioned), whole.scores, rtol=1e-9, atol=1e-9)
    for found in conditioned:
        assert found.converged.all()
        assert (found.absorbed["other channels"] != 0).all()


def test_a_condition_may_be_a_mask(subject):
    decision = pl.Decision(pixels(), target=1)
    mask = torch.zeros(1, 8, 1, 1).index_fill_(1, torch.tensor([2, 5]), 1)
    by_mask, by_number = (LRP(conditions={"conv1": part})(subject, decision) for part in (mask.bool(), [2, 5]))
    assert torch.equal(by_mask.scores, by_number.scores)


def test_a_condition_on_a_channel_that_there_is_not_is_refused(subject):
    with pytest.raises(UsageError, match="channels 0 to 7, and no channel 8"):
        LRP(conditions={"conv1": [8]})(subject, pl.Decision(pixels()))


def test_an_operation_without_a_rule_is_refused_by_its_name_and_place():
    class Angle(nn.Module):
        def forward(self, features):
            return torch.atan2(features, features + 1)

    network = nn.Sequential(nn.Linear(3, 4), Angle(), nn.Linear(4, 2)).double()
    with pytest.raises(NotAnswerable, match=r"lrp on .*no rule for aten\.atan2, called in '1'"):
        LRP()(pl.wrap(network), pl.Decision(torch.rand(1, 3).double()))


def test_a_composite_that_is_none_is_refused_when_the_method_is_made():
    with pytest.raises(UsageError, match="epsilon-gamma-box"):
        LRP(composite="epsilon-gamma")


def test_methods_with_the_same_rules_are_equal():
    assert LRP(rules={"a": Gamma()}) == LRP(rules={"a": Gamma()})
    assert LRP(rules={"a": Gamma()}) != LRP(rules={"a": Epsilon()})


def test_a_result_with_rules_survives_saving(tmp_path, subject):
    found = LRP(rules={"conv1": ZPlus()})(subject, pl.Decision(pixels(1)))
    found.save(tmp_path / "found.pellucid")
    again = pl.Result.load(tmp_path / "found.pellucid")
    assert torch.equal(again.scores, found.scores)
    assert again.provenance.fields["rules"]["conv1"]["rule"] == "ZPlus"
    assert {name: amount.tolist() for name, amount in again.absorbed.items()} == {
        name: amount.tolist() for name, amount in found.absorbed.items()
    }


@pytest.fixture(scope="module")
def threes():
    digits = load_digits()
    return torch.tensor(digits.images[digits.target == 3][-40:] / 16).float()[:, None]


def test_what_makes_a_three_is_not_what_makes_it_a_nine(threes):
    """The maps of both classes differ, and flipping what speaks most against a nine makes a nine more likely."""
    subject, method = load("digits-cnn"), LRP(composite="epsilon-gamma-box")
    three, nine = (method(subject, pl.Decision(threes, target=target)).scores.flatten(1) for target in (3, 9))
    assert float(torch.cosine_similarity(three, nine).max()) < 0.6
    generator = torch.Generator().manual_seed(0)
    against = nine.argsort(1)[:, :6]
    anywhere = torch.rand(len(threes), 64, generator=generator).argsort(1)[:, :6]

    def as_nine(chosen):
        flipped = threes.flatten(1).scatter(1, chosen, 1 - threes.flatten(1).gather(1, chosen))
        return subject.scores(flipped.view_as(threes))[:, 9]

    assert float((as_nine(against) > as_nine(anywhere)).float().mean()) >= 0.9


@pytest.mark.skipif(
    importlib.util.find_spec(VARIANTS["lite0"].weights.package) is None, reason="the weights are not installed"
)
@pytest.mark.parametrize("name", COMPOSITES)
def test_the_account_of_a_trained_network_closes(name):
    subject = load("efficientnet-lite0")
    rows, columns = torch.meshgrid(torch.linspace(0, 6, 224), torch.linspace(0, 9, 224), indexing="ij")
    picture = torch.stack([torch.sin(rows + columns), torch.cos(rows), torch.sin(columns * 2)])[None]
    found = LRP(composite=name)(subject, pl.Decision(picture))
    assert found.converged.all()
    assert abs(float(found.residual / found.value)) <= 1e-5
    assert {"bias", "stabiliser"} <= set(found.absorbed)


def test_a_flat_first_layer_that_cannot_tell_columns_apart_says_so():
    torch.manual_seed(0)
    subject = pl.wrap(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double())
    row = torch.tensor([[1.0, -2.0, 3.0]]).double()
    flat, epsilon = (LRP(composite=name)(subject, pl.Decision(row)) for name in ("epsilon-plus-flat", "epsilon"))
    assert any("same score" in note for note in flat.notes)
    assert not any("same score" in note for note in epsilon.notes)
