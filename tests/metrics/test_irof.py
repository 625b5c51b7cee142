"""IROF: ratios of probabilities, superpixels by their mean, and refusals where a ratio says nothing."""

import pytest
import torch
from torch import nn

import pellucid as pl
from metrics.additive_models import heights, judgement, mean_height, picture_model, pictures, row_model
from pellucid.core.errors import NotAnswerable
from pellucid.engine.quantus import superpixels
from pellucid.metrics.irof import Irof


def classifier(inputs=4):
    torch.manual_seed(0)
    return pl.wrap(nn.Linear(inputs, 3).double().eval())


def test_the_mean_of_a_superpixel_counts_not_its_sum():
    subject, _ = picture_model(8)
    subject.module.function = lambda point: point.flatten(1).sum(1, keepdim=True) + 200
    point = pictures(1, 8)
    parts = torch.where(torch.arange(8) < 2, 0, 1).expand(1, 1, 8, 8)
    small = torch.where(parts == 0, 2.0, 1.0).double()  # mean 2 and sum 32, against mean 1 and sum 48
    found = Irof(features=parts, cover="zero")(subject, judgement(point, small, -small))
    columns = point.sum((0, 1, 2))
    start = float(point.sum()) + 200
    for row, order in enumerate([[0, 1], [1, 0]]):
        curve = [height / start for height in heights([columns[:2].sum(), columns[2:].sum()], order, start)]
        assert found.curve[row].tolist() == pytest.approx(curve)
        assert float(found.value[row]) == pytest.approx(1 - mean_height(curve))


def test_nothing_lost_is_zero_and_all_lost_at_once_is_near_one():
    point = torch.ones(1, 10, dtype=torch.float64)
    asked = judgement(point, torch.ones(1, 10))
    untouched = row_model([0.0] * 10, link=lambda total: total + 3)
    assert float(Irof()(untouched, asked).value) == pytest.approx(0)
    lost = row_model([1.0] * 10, link=lambda total: (total > 9.5).double())
    assert float(Irof()(lost, asked).value) == pytest.approx(1 - 1 / 20)


@pytest.mark.parametrize("of", ["score", "logit", "log-probability", "probability"])
def test_scores_of_a_class_are_read_as_its_probability(of):
    subject, point = classifier(), torch.rand(1, 4, dtype=torch.float64)
    found = Irof()(subject, judgement(point, torch.tensor([[4.0, 3.0, 2.0, 1.0]]), target=2, of=of))
    shown = torch.tril(torch.ones(5, 4, dtype=torch.float64), -1).flip(0).flip(1) * point  # the last features remain
    expected = subject.scores(shown).softmax(1)[:, 2]
    assert found.curve[0].tolist() == pytest.approx((expected / expected[0]).tolist())


def test_a_quantity_that_is_not_positive_is_refused_with_the_way_out():
    point = torch.ones(1, 3, dtype=torch.float64)
    with pytest.raises(NotAnswerable, match="probability"):
        Irof()(row_model([-1.0, -1.0, -1.0]), judgement(point, point))


@pytest.mark.parametrize("of", ["score", "probability"])
def test_against_a_foil_only_two_classes_are_possible(of):
    subject, point = classifier(), torch.rand(1, 4, dtype=torch.float64)
    scores = torch.tensor([[4.0, 3.0, 2.0, 1.0]])
    found = Irof()(subject, judgement(point, scores, target=0, foil=2, of=of))
    shown = torch.tril(torch.ones(5, 4, dtype=torch.float64), -1).flip(0).flip(1) * point
    expected = subject.scores(shown)[:, [0, 2]].softmax(1)[:, 0]
    assert found.curve[0].tolist() == pytest.approx((expected / expected[0]).tolist())


def test_as_quantus_counts_a_constant_score_gives_one_whatever_the_superpixels():
    subject, _ = picture_model(16)
    subject.module.function = lambda point: point.flatten(1).sum(1, keepdim=True) * 0 + 3
    point = pictures(1, 16)
    found = Irof(compat="quantus")(subject, judgement(point, point))
    assert float(found.value) == pytest.approx(1)
    assert found.curve.shape[1] == superpixels(subject.prepare(point)).counts()[0] + 1
