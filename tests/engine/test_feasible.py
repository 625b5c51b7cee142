"""Sets of inputs: what is nearest, what is drawn in them, and ascents that end on the optimum of each."""

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import UsageError
from pellucid.engine.canvases import Pixels
from pellucid.engine.feasible import Feasible, feasible
from pellucid.engine.optimize import ascend
from pellucid.engine.units import Units, layer_at


def linear(weights, bias=0.0):
    """A subject with one linear unit per row of weights, in float64."""
    weights = torch.as_tensor(weights, dtype=torch.float64)
    module = nn.Linear(weights.shape[1], weights.shape[0]).double()
    module.weight.data, module.bias.data = weights, torch.full((len(weights),), bias, dtype=torch.float64)
    return pl.wrap(nn.Sequential(module), pl.tasks.TensorTask(shape=(weights.shape[1],), output="value"))


def ascended(subject, allowed, start, steps=200, rate=0.1, penalties=()):
    inputs = subject.prepare(start)
    units = Units(layer_at(subject, inputs, "0"), (0,) * len(start))
    after = [lambda leaf, moment: allowed.nearest(leaf)]
    return ascend(
        subject, inputs, units, Pixels(start), steps=steps, rule=allowed.rule(rate), penalties=penalties, after=after
    )


def test_the_nearest_input_of_each_set():
    points = torch.tensor([[3.0, 4.0], [0.3, -0.4]])
    torch.testing.assert_close(Feasible("sphere", 1.0).nearest(points), torch.tensor([[0.6, 0.8], [0.6, -0.8]]))
    torch.testing.assert_close(Feasible("ball", 1.0).nearest(points), torch.tensor([[0.6, 0.8], [0.3, -0.4]]))
    torch.testing.assert_close(Feasible("box").nearest(points), torch.tensor([[1.0, 1.0], [0.3, 0.0]]))
    assert torch.equal(Feasible("none").nearest(points), points)


@pytest.mark.parametrize("constraint", ["sphere", "ball", "box"])
def test_what_is_drawn_lies_in_the_set(constraint):
    allowed = Feasible(constraint, 3.0, (torch.tensor(-1.0), torch.tensor(2.0)))
    drawn = torch.cat([allowed.at_random(torch.Size((2, 5)), torch.Generator().manual_seed(n)) for n in range(50)])
    torch.testing.assert_close(allowed.nearest(drawn), drawn)
    assert drawn.shape == (50, 2, 5)
    assert float(drawn.std()) > 0.5


def test_on_a_sphere_of_ten_the_unit_three_four_is_largest_at_six_eight():
    subject = linear([[3.0, 4.0]], bias=1.0)
    start = torch.tensor([[-7.0, 1.0], [10.0, 0.0]], dtype=torch.float64)
    for constraint in ("sphere", "ball"):
        course = ascended(subject, Feasible(constraint, 10.0), start)
        torch.testing.assert_close(
            course.images, torch.tensor([[6.0, 8.0]] * 2, dtype=torch.float64), atol=1e-6, rtol=0
        )
        torch.testing.assert_close(course.values, torch.tensor([51.0] * 2, dtype=torch.float64), atol=1e-9, rtol=0)


class Quadratic(nn.Module):
    """−Σ (x − centre)² · weights, with a maximum inside."""

    def __init__(self, centre, weights):
        super().__init__()
        self.centre, self.weights = (
            nn.Parameter(torch.tensor(value, dtype=torch.float64)) for value in (centre, weights)
        )
        self.value = nn.Identity()

    def forward(self, x):
        return self.value(-((x - self.centre) ** 2 * self.weights).sum(1, keepdim=True))


@pytest.mark.parametrize("constraint", ["ball", "box", "none"])
def test_an_optimum_inside_is_reached_though_steps_have_a_length_of_their_own(constraint):
    subject = pl.wrap(Quadratic([0.3, 0.6], [1.0, 9.0]), pl.tasks.TensorTask(shape=(2,), output="value"))
    start = torch.tensor([[1.0, 0.1], [0.2, 0.9]], dtype=torch.float64)
    inputs, allowed = subject.prepare(start), Feasible(constraint, 2.0)
    units = Units(layer_at(subject, inputs, "value"), (0, 0))
    course = ascend(
        subject,
        inputs,
        units,
        Pixels(start),
        steps=200,
        rule=allowed.rule(0.1),
        after=[lambda leaf, moment: allowed.nearest(leaf)],
    )
    torch.testing.assert_close(course.images, torch.tensor([[0.3, 0.6]] * 2, dtype=torch.float64), atol=1e-5, rtol=0)


def test_the_norm_is_the_mean_of_the_data_and_the_box_what_the_task_says():
    subject = linear([[1.0, 1.0]])
    inputs = subject.prepare(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    assert feasible(subject, inputs, "sphere", None).norm == 3.0
    assert feasible(subject, inputs, "sphere", 7.0).norm == 7.0
    box = feasible(subject, inputs, "box", None)
    assert [float(bound) for bound in box.bounds] == [0.0, 1.0]
    with pytest.raises(UsageError, match="give the norm, or data"):
        feasible(subject, subject.task.example(), "sphere", None)
    picture = pl.wrap(
        nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), pl.tasks.Image(8, mean=(0.5,) * 3, deviation=(0.25,) * 3)
    )
    box = feasible(picture, picture.prepare(torch.zeros(1, 3, 8, 8)), "box", None)
    torch.testing.assert_close(torch.broadcast_to(box.bounds[0], (1, 3, 8, 8)), torch.full((1, 3, 8, 8), -2.0))
    assert box.at_random(torch.Size((3, 8, 8)), torch.Generator()).shape == (1, 3, 8, 8)
