"""Selectivity: patches that cover all of a picture, in closed form, and as quantus counts them."""

import pytest
import torch

from metrics.additive_models import heights, judgement, mean_height, picture_model, pictures
from pellucid.engine.quantus import patches
from pellucid.metrics.selectivity import Selectivity


def patch_sums(values, point, side):
    return patches(point, side).sums(values)[0]


@pytest.mark.parametrize("patch", [1, 3, 5, 12])
def test_black_patches_take_what_they_gave(patch):
    subject, weights = picture_model(12)
    point = pictures(1, 12)
    inputs = subject.prepare(point)
    found = Selectivity(patch=patch)(subject, judgement(point, point * weights))
    order = patch_sums(point * weights, inputs, patch).argsort(descending=True).tolist()
    losses = patch_sums((point + 2) * weights, inputs, patch)
    curve = heights(losses, order, float((point * weights).sum()))
    assert found.curve[0].tolist() == pytest.approx(curve)
    assert curve[-1] == pytest.approx(float(-2 * weights.sum()))  # all of the picture is black
    assert float(found.value) == pytest.approx(mean_height(curve))


@pytest.mark.parametrize(("side", "number"), [(28, 49), (14, 49), (8, 64)])
def test_a_patch_is_a_seventh_of_the_shorter_side(side, number):
    subject, weights = picture_model(side)
    found = Selectivity()(subject, judgement(pictures(1, side), weights[None]))
    assert found.curve.shape[1] == number + 1


def test_patches_at_the_border_stick_out_evenly():
    subject, _ = picture_model(10)
    rows = patches(subject.prepare(pictures(1, 10)), 8).segments[0, 0]
    assert torch.equal(rows.unique(), torch.arange(4))
    assert torch.bincount(rows.flatten()).tolist() == [25, 25, 25, 25]
    rows = patches(subject.prepare(pictures(1, 10)), 7).segments[0, 0]
    assert torch.bincount(rows.flatten()).tolist() == [25, 25, 25, 25]
    rows = patches(subject.prepare(pictures(1, 10)), 3).segments[0, 0]
    assert torch.bincount(rows[0]).tolist() == [2, 3, 3, 2]


def test_as_quantus_counts_black_is_the_smallest_value_and_the_start_is_left_out():
    subject, weights = picture_model(12)
    point = pictures(1, 12)
    inputs = subject.prepare(point)
    found = Selectivity(compat="quantus")(subject, judgement(point, point * weights))
    order = patch_sums(point * weights, inputs, 8).argsort(descending=True).tolist()
    losses = patch_sums((point - point.min()) * weights, inputs, 8)
    curve = heights(losses, order, float((point * weights).sum()))[1:]
    assert float(found.value) == pytest.approx(sum(curve) - (curve[0] + curve[-1]) / 2)
