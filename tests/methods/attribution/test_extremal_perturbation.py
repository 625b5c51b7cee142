"""Extremal perturbation: what is planted is found, areas are met, and what is kept is told."""

import math

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.methods import ExtremalPerturbation


class Function(nn.Module):
    """A module that computes what it is given, in the precision of its one parameter."""

    def __init__(self, function, dtype=torch.float64):
        super().__init__()
        self.function = function
        self.precision = nn.Parameter(torch.zeros((), dtype=dtype))

    def forward(self, point):
        return self.function(point)


def valued(function):
    return pl.wrap(Function(lambda rows: function(rows)[:, None]), pl.tasks.TensorTask(output="value"))


SIDE = 20
PATTERN = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
PLANT = torch.zeros(SIDE, SIDE)
PLANT[4:10, 11:17] = 1


def planted():
    """A network that looks for a pattern of 6 × 6 pixels in one place, and answers less and less to more of it."""

    def function(pixels):
        found = (pixels * PATTERN * PLANT).sum((1, 2, 3)) / (PATTERN.square() * PLANT).sum()
        return torch.stack([(2 * found).tanh(), -found], 1)

    task = pl.tasks.Image(SIDE, mean=(0.0,) * 3, deviation=(1.0,) * 3)
    return pl.wrap(Function(function, torch.float32), task)


@pytest.mark.parametrize("goal", ["preserve", "delete", "both"])
def test_a_planted_patch_is_found(goal):
    asked = ExtremalPerturbation(areas=(0.1, 0.15), goal=goal, steps=100)
    answer = asked(planted(), pl.Decision(PATTERN, target=0))
    scores = answer.scores[0, 0]
    assert PLANT.mean() == pytest.approx(0.09)
    assert float(scores[PLANT > 0].mean()) > 0.8
    assert float(scores[PLANT == 0].mean()) < 0.08
    assert torch.equal(answer.scores[0, 0], answer.scores[0, 2])
    assert bool((answer.quality["kept"] > 0.9).all())
    assert bool((answer.quality["left"] < 0.3).all())
    assert bool(answer.converged)


def test_areas_are_met_and_what_is_kept_is_what_the_model_says():
    subject, areas = pl.load("digits-cnn"), (0.1, 0.3, 0.5)
    picture = subject.task.prepare(torch.linspace(0, 1, 64).sin().view(1, 1, 8, 8)).value
    asked = ExtremalPerturbation(areas=areas, steps=80, baseline="zero")
    answer = asked(subject, pl.Decision(picture, target=3))
    assert answer.quality["wanted"][0].tolist() == pytest.approx(areas)
    assert answer.quality["area"][0].tolist() == pytest.approx(areas, abs=0.05)
    assert 0 <= float(answer.scores.min()) <= float(answer.scores.max()) <= 1
    assert float(answer.quality["hidden"]) == pytest.approx(
        float(subject.scores(torch.zeros(1, 1, 8, 8))[0, 3]), rel=1e-4
    )
    one = ExtremalPerturbation(areas=(0.3,), steps=80, baseline="zero")(subject, pl.Decision(picture, target=3))
    value, nothing = float(one.value), float(one.quality["hidden"])
    for name, mask in (("kept", one.scores), ("left", 1 - one.scores)):
        share = (float(subject.scores(picture * mask)[0, 3]) - nothing) / (value - nothing)
        assert float(one.quality[name]) == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize("goal", ["preserve", "delete"])
def test_of_terms_that_add_up_the_largest_are_shown(goal):
    terms = torch.tensor([[3.0, -1.0, 0.5, 2.0, -4.0, 1.0, 0.1, 0.2, 5.0, 0.3]], dtype=torch.float64)
    asked = ExtremalPerturbation(areas=(0.1, 0.3), goal=goal, steps=200)
    answer = asked(valued(lambda rows: rows.sum(1)), pl.Decision(terms))
    assert answer.scores[0].tolist() == pytest.approx([0.5, 0, 0, 0.5, 0, 0, 0, 0, 1, 0], abs=0.1)
    assert answer.quality["kept"][0].tolist() == pytest.approx([5 / 7.1, 10 / 7.1], abs=0.1)
    assert float(answer.quality["smallest"]) == pytest.approx(0.3)
    none = ExtremalPerturbation(areas=(0.1,), steps=50)(valued(lambda rows: rows.sum(1)), pl.Decision(terms))
    assert math.isnan(float(none.quality["smallest"]))
    assert bool(none.converged)


def test_no_area_is_smaller_than_one_feature():
    answer = ExtremalPerturbation(areas=(0.01,), steps=60)(
        valued(lambda rows: rows[:, 1]), pl.Decision(torch.ones(1, 4).double())
    )
    assert answer.quality["wanted"].tolist() == [[0.25]]
    assert answer.scores[0].tolist() == pytest.approx([0, 1, 0, 0], abs=0.05)


def test_a_foil_asks_what_speaks_for_one_rather_than_the_other():
    def scores(rows):
        return torch.stack([rows[:, 0] + 2 * rows[:, 1], rows[:, 1] * 3 + rows[:, 2]], 1)

    subject = pl.wrap(Function(scores), pl.tasks.TensorTask())
    asked = ExtremalPerturbation(areas=(1 / 3,), steps=60)
    point = torch.ones(1, 3, dtype=torch.float64)
    assert asked(subject, pl.Decision(point, target=0)).scores.argmax() == 1
    assert asked(subject, pl.Decision(point, target=0, foil=1)).scores.argmax() == 0


def test_masks_are_bit_equal_in_any_batch():
    subject, asked = planted(), ExtremalPerturbation(areas=(0.1, 0.2), steps=20)
    batch = torch.cat([PATTERN, PATTERN.flip(2), PATTERN / 2])
    together = asked(subject, pl.Decision(batch, target=0))
    backwards = asked(subject, pl.Decision(batch.flip(0), target=0))
    with pl.byte_budget(1):
        alone = asked(subject, pl.Decision(batch[1:2], target=0))
    assert torch.equal(together.scores, backwards.scores.flip(0))
    assert torch.equal(together.scores[1], alone.scores[0])


@pytest.mark.parametrize("areas", [(), (0.0,), (1.0,), (0.5, -0.1)])
def test_areas_that_cannot_be_are_refused(areas):
    with pytest.raises(pl.UsageError, match="shares between 0 and 1"):
        ExtremalPerturbation(areas=areas)


def test_what_has_no_gradients_is_refused_with_the_way_out():
    subject = pl.wrap(lambda rows: rows[:, :2], pl.tasks.TensorTask(), name="function")
    with pytest.raises(pl.NotAnswerable, match="Ask: rise, occlusion"):
        ExtremalPerturbation()(subject, pl.Decision(torch.ones(1, 3)))
