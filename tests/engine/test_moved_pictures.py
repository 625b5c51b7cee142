"""Pictures shifted, enlarged and turned: exactly where that is possible, and the right way round."""

import pytest
import torch

from pellucid.engine.moved_pictures import NEUTRAL, moved

PICTURES = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("kind", NEUTRAL)
def test_the_neutral_amount_changes_nothing(kind):
    assert torch.equal(moved(PICTURES, kind, NEUTRAL[kind], "border"), PICTURES)


def test_a_shift_by_whole_pixels_moves_them_exactly_and_down_is_down():
    down = moved(PICTURES, "shift down", 0.25, "border")
    assert torch.equal(down[:, :, 2:], PICTURES[:, :, :-2])
    assert torch.equal(down[:, :, :2], PICTURES[:, :, :1].expand(-1, -1, 2, -1))
    left = moved(PICTURES, "shift right", -0.25, "mean")
    assert torch.equal(left[..., :-3], PICTURES[..., 3:])
    torch.testing.assert_close(left[..., -3:], PICTURES.mean((2, 3), keepdim=True).expand(-1, -1, 8, 3))


@pytest.mark.parametrize("kind", ["shift down", "shift right"])
def test_a_sampled_shift_agrees_with_the_exact_one(kind):
    nearly = moved(PICTURES, kind, 0.25 + 1e-9, "border")
    torch.testing.assert_close(nearly, moved(PICTURES, kind, 0.25, "border"), rtol=0, atol=1e-6)


def test_a_quarter_turn_is_counter_clockwise_and_half_a_turn_is_exact():
    square = PICTURES[..., :8]
    torch.testing.assert_close(moved(square, "rotation", 90.0, "border"), square.rot90(1, (2, 3)), rtol=0, atol=1e-9)
    torch.testing.assert_close(moved(PICTURES, "rotation", 180.0, "border"), PICTURES.flip((2, 3)), rtol=0, atol=1e-9)


def test_a_quarter_turn_of_a_wide_picture_keeps_its_proportions():
    dot = torch.zeros(1, 1, 9, 13, dtype=torch.float64)
    dot[0, 0, 4, 9] = 1  # three to the right of the centre, which comes three above it
    turned = moved(dot, "rotation", 90.0, "border")[0, 0]
    assert float(turned[1, 6]) == pytest.approx(1)


def test_enlarging_by_two_shows_the_middle_half():
    ramp = torch.arange(12.0, dtype=torch.float64).expand(1, 1, 8, 12)
    found = moved(ramp, "scale", 2.0, "border")[0, 0, 4]
    torch.testing.assert_close(found, 5.5 + (torch.arange(12.0).double() - 5.5) / 2)
    smaller = moved(torch.ones_like(ramp), "scale", 0.5, "mean")
    torch.testing.assert_close(smaller, torch.ones_like(ramp))
