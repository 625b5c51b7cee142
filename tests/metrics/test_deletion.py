"""Deletion: the best value of an additive model in closed form, its steps, covers and features."""

import math

import pytest
import torch

import pellucid as pl
from metrics.additive_models import heights, judgement, mean_height, picture_model, pictures, row_model
from pellucid.metrics.deletion import Deletion


@pytest.mark.parametrize("number", [1, 2, 7, 50])
def test_the_perfect_map_of_equal_weights_leaves_a_straight_line(number):
    subject = row_model([1.0] * number)
    point = torch.ones(1, number, dtype=torch.float64)
    assert float(Deletion()(subject, judgement(point, point)).value) == pytest.approx(number / 2)


def test_the_perfect_map_of_one_feature_that_matters_falls_at_once():
    subject = row_model([0.0] * 9 + [1.0])
    point = torch.ones(1, 10, dtype=torch.float64)
    best, worst = Deletion()(
        subject, judgement(point, torch.arange(10.0)[None], -torch.arange(10.0)[None])
    ).value.tolist()
    assert best == pytest.approx(1 / 20)
    assert worst == pytest.approx(1 - 1 / 20)


@pytest.mark.parametrize(("number", "steps"), [(10, 3), (7, 5), (3, 50), (100, 50)])
def test_steps_are_even_and_none_is_lost(number, steps):
    subject = row_model([1.0] * number)
    found = Deletion(steps=steps)(subject, judgement(torch.ones(1, number, dtype=torch.float64), torch.rand(1, number)))
    falls = -found.curve[0].diff()
    assert len(falls) == min(number, steps)
    assert float(falls.sum()) == pytest.approx(number)
    assert set(falls.round().tolist()) <= {math.floor(number / len(falls)), math.ceil(number / len(falls))}


def test_the_area_counts_how_many_features_each_step_takes():
    subject = row_model([1.0] * 5)  # three steps take 2, 1 and 2 features
    found = Deletion(steps=3)(subject, judgement(torch.ones(1, 5, dtype=torch.float64), torch.rand(1, 5)))
    assert found.curve[0].tolist() == pytest.approx([5, 3, 2, 0])
    assert float(found.value) == pytest.approx(2.5)  # a straight line, whatever the steps


def test_named_features_are_erased_together_by_the_named_cover():
    subject, weights = picture_model(8)
    point = pictures(1, 8)
    found = Deletion(cover="black", features="grid")(subject, judgement(point, point * weights))
    features = subject.task.features(subject.prepare(point), "grid")
    losses, sums = (features.sums(scores)[0] for scores in ((point + 2) * weights, point * weights))
    curve = heights(losses, sums.argsort(descending=True).tolist(), float((point * weights).sum()))
    assert found.curve[0].tolist() == pytest.approx(curve)
    assert float(found.value) == pytest.approx(mean_height(curve))


def test_the_quantity_of_the_decision_is_what_falls():
    torch.manual_seed(0)
    subject = pl.wrap(torch.nn.Linear(4, 3).double().eval())
    point = torch.rand(1, 4, dtype=torch.float64)
    for of in ("score", "probability", "log-probability"):
        found = Deletion()(subject, judgement(point, point, target=1, of=of))
        scores = subject.scores(point)[0]
        expected = {
            "score": scores[1],
            "probability": scores.softmax(0)[1],
            "log-probability": scores.log_softmax(0)[1],
        }
        assert float(found.curve[0, 0]) == pytest.approx(float(expected[of]))
