"""Feature ablation: what the score loses, by hand, with groups, foils, and features that stand in for each other."""

import pytest
import torch

import pellucid as pl
from methods.shapley.games import asked
from pellucid.methods import FeatureAblation


def test_a_linear_model_loses_weight_times_distance_to_the_baseline():
    weights, row = torch.tensor([2.0, -1.0, 0.5]).double(), torch.tensor([1.0, 3.0, -2.0]).double()
    answer = asked(FeatureAblation(baseline=0.5), lambda rows: rows @ weights, 3, row)
    torch.testing.assert_close(answer.scores[0], weights * (row - 0.5), rtol=0, atol=1e-12)
    assert answer.interval is None
    assert answer.residual is None
    assert answer.evaluations["F"] == 6  # each feature hidden, the two ends, and the plain row for its target


def test_neither_of_two_that_stand_in_for_each_other_scores():
    answer = asked(FeatureAblation(baseline=0.0), lambda rows: rows[:, :2].amax(1) + rows[:, 2], 3)
    assert answer.scores[0].tolist() == [0, 0, 1]


def test_a_group_is_hidden_together_and_shares_the_fall():
    groups = torch.tensor([0, 0, 1, -1])
    answer = asked(FeatureAblation(baseline=0.0, features=groups), lambda rows: rows[:, :2].amax(1) + rows[:, 3], 4)
    assert answer.by_feature()[0].tolist() == [1, 0]
    assert answer.scores[0].tolist() == [0.5, 0.5, 0, 0]


def test_a_part_of_a_picture_is_hidden_by_its_own_mean_colour():
    def worth(pixels):
        return torch.stack([pixels[:, 0, :2, :2].square().sum((1, 2)), pixels.sum((1, 2, 3))], 1)

    subject = pl.wrap(worth, pl.tasks.Image(4, mean=(0, 0, 0), deviation=(1, 1, 1)))
    picture = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    quarters = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]])
    answer = FeatureAblation(features=quarters)(subject, pl.Decision(picture, target=0, foil=1))
    corner = picture[0, 0, :2, :2]
    expected = torch.tensor([float(corner.square().sum() - 4 * corner.mean().square()), 0, 0, 0])
    torch.testing.assert_close(answer.by_feature()[0], expected, rtol=0, atol=1e-5)
    assert float(expected[0]) > 0.01


@pytest.mark.parametrize("of", ["probability", "log-probability"])
def test_the_quantity_that_was_asked_about_falls(of):
    net = torch.nn.Linear(3, 2).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]]))
        net.bias.zero_()
    row = torch.tensor([[0.3, -0.2, 0.1]], dtype=torch.float64)
    answer = FeatureAblation(baseline=0.0)(pl.wrap(net), pl.Decision(row, target=1, of=of))
    kind = torch.exp if of == "probability" else torch.clone
    asked_about = lambda rows: kind(net(rows).log_softmax(1)[:, 1])  # noqa: E731
    rows = row.repeat(3, 1) * (1 - torch.eye(3).double())
    torch.testing.assert_close(answer.scores[0], (asked_about(row) - asked_about(rows)).detach(), rtol=0, atol=1e-12)
