"""Random masks: their mean and variance are those of all masks there are, and opposites hide what the others show."""

import itertools

import pytest
import torch
from torch import Generator

from pellucid.engine.random_masks import LinearControl, ShownFeatures, UpsampledCells, chunks


def every_row(masks, cells, places):
    bits = torch.tensor(list(itertools.product([0, 1], repeat=cells)))
    starts = torch.tensor(list(itertools.product(*(range(place) for place in places)))).view(-1, len(places))
    pairs = list(itertools.product(bits, starts))
    shown = torch.stack([row.sum() for row, _ in pairs])
    chances = masks.probability**shown * (1 - masks.probability) ** (cells - shown) / len(starts)
    return torch.stack([torch.cat(pair) for pair in pairs]).short(), chances.double()


@pytest.mark.parametrize("probability", [0.5, 0.3])
@pytest.mark.parametrize(("size", "places"), [((4, 4), (2, 2)), ((5, 7), (3, 4)), ((2, 1), (1, 1))])
def test_mean_and_variance_of_upsampled_masks_are_those_of_all_of_them(size, places, probability):
    masks = UpsampledCells(size, 2, probability)
    cells = min(size[0], 2) * min(size[1], 2)
    rows, chances = every_row(masks, cells, places)
    drawn = masks.masks(rows)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    mean = chances @ drawn
    torch.testing.assert_close(mean, torch.full_like(mean, probability))
    torch.testing.assert_close(chances @ (drawn - mean).square(), masks.variance)
    weights = torch.randn(cells, dtype=torch.float64, generator=Generator().manual_seed(0))
    covariance = (chances * (masks.switches(rows) @ weights)) @ (drawn - mean)
    torch.testing.assert_close(covariance / masks.variance, masks.slopes(weights))


def test_upsampled_masks_are_the_bilinear_picture_of_their_cells():
    masks = UpsampledCells((6, 9), 3, 0.5)
    rows = masks.draw(20, Generator().manual_seed(0))
    for row, mask in zip(rows, masks.masks(rows), strict=True):
        cells, (down, across) = row[:-2].view(1, 1, 3, 3).double(), row[-2:].tolist()
        large = torch.nn.functional.interpolate(cells, (8, 12), mode="bilinear", align_corners=False)[0, 0]
        torch.testing.assert_close(mask.view(6, 9), large[down : down + 6, across : across + 9])
    assert rows[:, -2].max() == 1
    assert rows[:, -1].max() == 2


@pytest.mark.parametrize("masks", [ShownFeatures(7, 0.5), UpsampledCells((8, 6), 3, 0.5)], ids=["features", "cells"])
def test_opposite_masks_show_what_the_others_hide(masks):
    rows = masks.draw(50, Generator().manual_seed(1))
    torch.testing.assert_close(
        masks.masks(rows) + masks.masks(masks.opposite(rows)), torch.ones(50, len(masks.variance)).double()
    )


def test_features_are_shown_as_often_as_asked_for():
    drawn = ShownFeatures(5, 0.2).masks(ShownFeatures(5, 0.2).draw(20_000, Generator().manual_seed(0)))
    torch.testing.assert_close(drawn.mean(0), torch.full((5,), 0.2).double(), rtol=0, atol=4 * (0.16 / 20_000) ** 0.5)


def test_a_control_learns_a_sum_of_parts_exactly():
    masks, source = ShownFeatures(4, 0.3), Generator().manual_seed(0)
    worth = torch.tensor([2.0, -1.0, 0.5, 3.0], dtype=torch.float64)
    control = LinearControl(masks)
    few = masks.draw(10, source)
    control.add(few, 7 + few.double() @ worth)
    assert not control.weights.any()
    many = masks.draw(60, source)
    control.add(many, 7 + many.double() @ worth)
    torch.testing.assert_close(control.weights, worth)
    later = masks.draw(9, source)
    torch.testing.assert_close(control.told(later), 7 + later.double() @ worth)


def test_parts_cover_all_masks_and_hold_little():
    parts = chunks(1000, 50_176)
    assert [number for part in parts for number in range(part.start, part.stop)] == list(range(1000))
    assert max(part.stop - part.start for part in parts) * 50_176 * 8 <= 2**24
    assert chunks(5, 10**9) == [slice(number, number + 1) for number in range(5)]
