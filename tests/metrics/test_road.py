"""ROAD: a planted patch, both directions, noise that is every row's, and what is no class."""

import pytest
import torch
from torch import nn

import pellucid as pl
from metrics.additive_models import judgement, picture_model, pictures
from pellucid.core.errors import NotAnswerable
from pellucid.engine.imputation import imputed
from pellucid.metrics.road import Road


class BrightPatch(nn.Module):
    """Two classes: whether the pixels of a square are brighter than 0.5 on average."""

    def __init__(self):
        super().__init__()
        self.precision = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, point):
        light = point[:, 0, 2:5, 2:5].mean((1, 2)) - 0.5
        return torch.stack([-light, light], 1)


def planted():
    subject = pl.wrap(BrightPatch().eval(), pl.tasks.Image(10, (0.0,), (1.0,), labels=("dark", "bright")))
    point = torch.zeros(1, 1, 10, 10, dtype=torch.float64)
    point[:, :, 2:5, 2:5] = 1
    return subject, point


def test_the_map_of_the_planted_patch_is_recognised_never_and_last():
    subject, point = planted()
    asked = judgement(point, point, target=1)
    assert Road(noise=0.0)(subject, asked).value.tolist() == [0]
    assert float(Road(noise=0.0, order="least")(subject, asked).value) == 1
    assert float(Road(noise=0.0, order="between")(subject, asked).value) == 1
    assert Road(noise=0.0)(subject, asked).curve[0].tolist() == [1] + [0] * 9


@pytest.mark.parametrize(("order", "better"), [("most", False), ("least", True), ("between", True)])
def test_which_way_is_good_follows_from_the_order(order, better):
    subject, point = planted()
    assert Road(order=order)(subject, judgement(point, point, target=1)).higher_is_better is better


def test_the_score_of_an_additive_model_is_that_of_the_imputed_picture():
    subject, weights = picture_model(6)
    point = pictures(1, 6)
    scores = torch.rand(point.shape, generator=torch.Generator().manual_seed(3))
    found = Road(noise=0.0, percentages=(25, 50), measure="score")(subject, judgement(point, scores))
    ranks = scores.flatten().argsort(descending=True).argsort()
    shown = imputed(point[0], torch.stack([ranks < 9, ranks < 18]), torch.zeros(()))
    expected = [float((picture * weights).sum()) for picture in (point[0], *shown)]
    assert found.curve[0].tolist() == pytest.approx(expected)
    assert float(found.value) == pytest.approx(sum(expected[1:]) / 2)


def test_the_noise_is_the_same_for_all_rows_and_neighbours_and_has_its_size():
    subject, _ = picture_model(10)
    subject.module.function = lambda point: point.flatten(1).std(1, keepdim=True)
    point = torch.zeros(2, 1, 10, 10, dtype=torch.float64)
    point[1] += torch.rand(1, 10, 10, generator=torch.Generator().manual_seed(0))
    metric = Road(percentages=(90,), measure="score", noise=0.1)
    found = metric(subject, judgement(point, point, point))
    assert torch.equal(found.per_example[0], found.per_example[1])
    assert float(found.per_example[0, 0]) == pytest.approx(0.1 * 0.9**0.5, rel=0.2)
    alone = metric(subject, judgement(point[1:], point[1:]))
    assert float(alone.value) == pytest.approx(float(found.per_example[0, 1]), abs=1e-12)
    other = Road(percentages=(90,), measure="score", noise=0.1, seed=1)(subject, judgement(point, point))
    assert float(other.value) != float(found.value[0])


def test_equal_pictures_are_asked_once():
    subject, point = planted()
    once = Road()(subject, judgement(point, point, target=1))
    twice = Road()(subject, judgement(point, point, point, target=1))
    assert once.evaluations == twice.evaluations


def test_a_single_output_is_recognised_above_even_odds():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(100, 1)).double().eval()
    nn.init.ones_(linear[1].weight)
    nn.init.zeros_(linear[1].bias)
    subject = pl.wrap(linear, pl.tasks.Image(10, (0.0,), (1.0,)))
    point = torch.full((2, 1, 10, 10), 0.5, dtype=torch.float64)
    point[1] *= -1
    assert Road(noise=0.0)(subject, judgement(point, point)).per_example.tolist() == [[1, 0]]


def test_a_number_is_no_class():
    subject, weights = picture_model(6)
    with pytest.raises(NotAnswerable, match="measure='score'"):
        Road()(subject, judgement(pictures(1, 6), weights[None]))
