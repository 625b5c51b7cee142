"""Soft masks: smooth, whole where everything is shown, and with the slopes that their points really have."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from pellucid.engine.soft_masks import Degrees, SmoothCells, area_excess, blurring, fading


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_masks_are_whole_where_all_cells_are_and_nothing_where_none_is():
    for size in ((8, 8), (28, 20), (64, 96)):
        masks = SmoothCells(size, 0.09)
        for value in (0.0, 1.0):
            shown = masks.masks(torch.full((2, masks.parameters), value, dtype=torch.float64))
            torch.testing.assert_close(shown, torch.full((2, size[0] * size[1]), value, dtype=torch.float64))


def test_masks_have_no_detail_finer_than_their_smoothness():
    cells = (noise(1, 32 * 32) > 0.995).double()
    rough, smooth = (SmoothCells((64, 64), width).masks(cells).view(64, 64) for width in (0.02, 0.1))
    steepest = [float(max(mask.diff(dim=0).abs().max(), mask.diff(dim=1).abs().max())) for mask in (rough, smooth)]
    assert steepest[1] < 0.5 * steepest[0]
    assert float(smooth.sum()) > float(rough.sum())


def test_one_cell_lights_what_is_around_it_by_the_smooth_maximum_of_a_gaussian():
    masks = SmoothCells((9, 9), 1 / 9)  # a deviation of one cell, and a reach of three
    cells = torch.zeros(1, 9, 9, dtype=torch.float64)
    cells[0, 4, 4] = 1
    offsets = torch.arange(-3, 4, dtype=torch.float64)
    kernel = (-0.5 * (offsets[:, None].square() + offsets.square())).exp().flatten()

    def smooth_maximum(values):
        weights = (20 * values).exp()
        return float((values * weights).sum() / weights.sum())

    found = masks.masks(cells.flatten(1)).view(9, 9)
    whole = smooth_maximum(kernel)
    for across in (0, 1):  # further on, the reach of a place leaves the picture
        reached = torch.zeros(49, dtype=torch.float64)
        reached[24] = kernel[24 + across]
        assert float(found[4, 4 + across]) == pytest.approx(min(1.0, smooth_maximum(reached) / whole))
    assert found[4].argmax() == 4
    torch.testing.assert_close(found, found.T)


def test_masks_have_slopes_where_they_are_whole():
    masks = SmoothCells((12, 12), 0.1)
    for value in (0.0, 1.0):
        cells = torch.full((1, masks.parameters), value, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(masks.masks(cells).sum(), cells)
        assert float(slope.min()) > 0


def test_a_picture_is_as_sharp_as_its_mask_says():
    picture = noise(3, 40, 40)
    points = blurring(picture, 0.1)
    shown = points(torch.tensor([0.0, 1.0, 4 / 7]).double()[:, None].expand(-1, 1600))
    torch.testing.assert_close(shown[1], picture)
    for level, deviation in ((0, 4.0), (2, 4.0 * 3 / 7)):
        expected = np.stack([gaussian_filter(channel, deviation, mode="nearest", truncate=3.2) for channel in picture])
        assert shown[level].numpy() == pytest.approx(expected, abs=3e-3)


@pytest.mark.parametrize("value", [0.0, 1.0, 3 / 7, 0.3])
def test_slopes_of_a_picture_along_its_mask_are_those_of_its_levels(value):
    """Also where the mask is at a level, as it is wherever it is 0 or 1."""
    points = blurring(noise(1, 6, 6), 0.2)
    masks = torch.full((1, 36), value, dtype=torch.float64, requires_grad=True)
    weights = noise(1, 1, 6, 6, seed=1)
    (found,) = torch.autograd.grad((points(masks) * weights).sum(), masks)
    side = 1e-6 if value < 3 / 7 else -1e-6
    rise = (points(masks.detach() + side) - points(masks.detach())) / side
    torch.testing.assert_close(found.view(6, 6), (rise * weights)[0, 0].detach(), rtol=1e-5, atol=1e-6)


def test_features_fade_by_their_degrees():
    point, hidden = torch.tensor([4.0, 6.0, 8.0]), torch.tensor([0.0, 2.0, 0.0])
    points = fading(point, hidden, torch.tensor([0, 1, -1]))
    degrees = Degrees(2).masks(torch.tensor([[0.5, 1.0], [0.0, 0.25]]))
    assert points(degrees).tolist() == [[2, 6, 8], [0, 3, 8]]


def test_the_excess_over_an_area_is_the_slope_of_the_mean_square_in_order_of_size():
    masks, ones = noise(3, 20), torch.tensor([4.0, 10.0, 6.5])
    given = masks.clone().requires_grad_()
    wanted = (ones[:, None] - torch.arange(20)).clamp(0, 1)
    loss = (given.sort(1, descending=True).values - wanted).square().sum()
    (slope,) = torch.autograd.grad(loss, given)
    torch.testing.assert_close(2 * area_excess(masks, torch.zeros(1), ones), slope)


def test_among_equals_the_order_tells_which_are_too_much():
    excess = area_excess(torch.full((1, 4), 0.5), torch.tensor([[0.0, 0.3, -1.0, 0.1]]), torch.tensor([2.0]))
    assert excess.tolist() == [[0.5, -0.5, 0.5, -0.5]]
