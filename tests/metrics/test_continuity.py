"""Continuity: closed forms on linear models, and the path along which inputs lie."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import pellucid as pl
from metrics.reasked import Constant, CopiedEdges, judge, linear, network, rows, watched
from pellucid.core.errors import NotAnswerable
from pellucid.methods import Gradient, InputXGradient
from pellucid.metrics import Continuity


def picture_model(weights):
    """A linear model of grey pictures in double precision."""
    module = nn.Sequential(nn.Flatten(1), nn.Linear(weights.numel(), 1)).double()
    with torch.no_grad():
        module[1].weight.copy_(weights.flatten()[None])
        module[1].bias.zero_()
    return pl.wrap(module, pl.tasks.Image(weights.shape[-1], (0.5,), (0.25,), output="value"), name="picture")


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moved(picture, right):
    """The picture moved to the right, its border repeated, column by column."""
    width = picture.shape[-1]
    return torch.stack([picture[..., min(max(column - right, 0), width - 1)] for column in range(width)], -1)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_neighbours_on_a_translation_are_compared(steps):
    weights, picture = drawn(6, 6), drawn(1, 1, 6, 6, seed=1)
    found = judge(Continuity(steps=steps), picture_model(weights), pl.Decision(picture), InputXGradient(), Constant())
    path = [moved(picture[0, 0], shift - steps // 2) for shift in range(steps + 1)]
    quotients = [
        float((weights * (there - here)).abs().sum() / (there - here).norm())
        for here, there in zip(path, path[1:], strict=False)
    ]
    assert found.value.tolist() == pytest.approx([max(quotients), 0])
    assert found.control["constant"].tolist() == [0, 0, 0]


def test_edges_move_with_the_picture():
    found = judge(Continuity(), picture_model(drawn(8, 8)), pl.Decision(drawn(1, 1, 8, 8)), Gradient(), CopiedEdges())
    assert float(found.value[0]) == 0
    assert float(found.value[1]) == float(found.control["edge"][0]) > 1


def test_a_picture_without_columns_that_differ_does_not_move():
    picture = drawn(1, 1, 6, 1).expand(1, 1, 6, 6)
    found = judge(Continuity(), picture_model(drawn(6, 6)), pl.Decision(picture), InputXGradient())
    assert float(found.value) == 0


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 50), st.integers(1, 5), st.integers(0, 5))
def test_equal_weights_give_the_ratio_of_the_two_norms(size, steps, seed):
    point = rows(1, 5, seed)
    subject = linear(torch.full((1, 5), size, dtype=torch.float64))
    answer = InputXGradient()(subject, pl.Decision(point))
    seen = watched(subject)
    found = Continuity(steps=steps)(subject, pl.Judgement([answer]))
    path = torch.cat([point, max(seen, key=len) if steps > 1 else seen[-1]])
    direction = path[-1] - path[0]
    assert torch.allclose(path, path[0] + torch.linspace(0, 1, steps + 1, dtype=torch.float64)[:, None] * direction)
    assert float(found.value) == pytest.approx(size * float(direction.abs().sum() / direction.norm()), rel=1e-6)


def test_the_input_itself_is_not_asked_about_again():
    found = judge(Continuity(steps=4), picture_model(drawn(6, 6)), pl.Decision(drawn(1, 1, 6, 6)), Gradient())
    assert found.evaluations["B"] == 4


def test_an_example_is_judged_the_same_alone_and_beside_others():
    subject, points = network(), rows(3)
    together = judge(Continuity(), subject, pl.Decision(points), Gradient(), InputXGradient())
    alone = judge(Continuity(), subject, pl.Decision(points[1:2]), InputXGradient())
    assert float(together.per_example[1, 1]) == pytest.approx(float(alone.value), rel=1e-6)


def test_the_whole_width_is_compared_with_the_input_in_the_convention_of_quantus():
    weights, picture = drawn(4, 4), drawn(1, 1, 4, 4, seed=1)
    found = judge(Continuity(compat="quantus", steps=9), picture_model(weights), pl.Decision(picture), InputXGradient())
    quotients = []
    for shift in range(-3, 6):
        there = torch.full((4, 4), float(picture.min()), dtype=torch.float64)
        for column in range(4):
            if 0 <= column - shift < 4:
                there[:, column] = picture[0, 0, :, column - shift]
        shares = [(weights * map).abs() / (weights * map).abs().max() for map in (picture[0, 0], there)]
        change = float((there - picture[0, 0]).norm())
        quotients.append(float((shares[1] - shares[0]).abs().sum()) / change if change else 0)
    assert float(found.value) == pytest.approx(max(quotients))


@pytest.mark.parametrize("metric", [Continuity(path="translation"), Continuity(compat="quantus")])
def test_only_pictures_can_be_translated(metric):
    with pytest.raises(NotAnswerable, match="noise"):
        judge(metric, network(), pl.Decision(rows(1)), Gradient())
