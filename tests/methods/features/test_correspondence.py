"""Correspondence: a double sum by hand, a part that all pictures share, and what is refused."""

import pytest
import torch
from torch import nn

import pellucid as pl
from engine.networks import seeded
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.methods import Correspondence


def layers():
    first, second = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 8, 3)
    return nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 2))


def network():
    return seeded(layers)


def subject():
    return pl.wrap(network(), pl.tasks.Image(16, (0.0,), (1.0,)), name="small")


def pictures(number=6):
    """Noise, and in each the same bright cross somewhere; with the boxes of the crosses."""
    source = torch.Generator().manual_seed(2)
    drawn, boxes = 0.5 * torch.rand(number, 1, 16, 16, generator=source, dtype=torch.float64), []
    cross = torch.zeros(4, 4, dtype=torch.float64)
    cross[1:3], cross[:, 1:3] = 1, 1
    for picture in drawn:
        top, left = (2 * torch.randint(0, 7, (2,), generator=source)).tolist()
        picture[0, top : top + 4, left : left + 4] = cross
        boxes.append([top, left, top + 4, left + 4])
    return drawn, torch.tensor(boxes)


def test_the_share_is_the_double_sum_of_hamming_distances():
    data, boxes = pictures(4)
    found = Correspondence(parts={"cross": boxes}, draws=2)(subject(), pl.Representation(("0", "3"), data))
    hidden = data.clone()
    for picture, (top, left, bottom, right) in zip(hidden, boxes.tolist(), strict=True):
        picture[:, top:bottom, left:right] = picture.mean()
    for place, depth in enumerate((1, 4)):
        before, after = (network()[:depth](points).detach().flatten(1) for points in (data, hidden))
        change = before - after
        signs = change.sign().masked_fill(change.abs() <= 1e-5 * before.abs().amax(1, keepdim=True), 0)
        pairs = [(signs[i], signs[j]) for i in range(4) for j in range(4) if i != j]
        total = sum(int((one != other).sum()) for one, other in pairs)
        shares = [float((one != other).sum() / ((one != 0) | (other != 0)).sum()) for one, other in pairs]
        assert float(found.panels[1].lines[0].mean[place]) == pytest.approx(sum(shares) / 12, rel=1e-6)
        line = found.panels[0].lines[0]
        assert float(line.mean[place]) == pytest.approx(total / (12 * signs.shape[1]), rel=1e-9)
        assert float(line.low[place]) <= float(line.mean[place]) <= float(line.high[place])


def test_a_part_that_is_treated_alike_lies_below_random_parts():
    data, boxes = pictures(8)
    centred = torch.stack(
        [
            torch.roll(picture, (6 - int(box[0]), 6 - int(box[1])), (1, 2))
            for picture, box in zip(data, boxes, strict=True)
        ]
    )
    found = Correspondence(parts={"cross": (6, 6, 10, 10)}, draws=20)(subject(), pl.Representation(("3",), centred))
    cross, random, placed = found.panels[1].lines
    assert random.control
    assert placed.control
    assert float(cross.high[0]) < float(placed.mean[0]) < float(random.mean[0])
    assert found.summary().endswith(
        "clearly below random parts: cross; of these below the mean of those at one place: cross."
    )


def test_parts_that_correspond_by_their_place_alone_are_not_below_random_parts_at_one_place():
    noise = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    found = Correspondence(parts={"corner": (2, 2, 6, 6)}, draws=20)(subject(), pl.Representation(("3",), noise))
    corner, random, placed = found.panels[1].lines
    assert float(corner.high[0]) < float(random.low[0])
    assert float(placed.mean[0]) < float(corner.high[0])
    assert found.summary().endswith(
        "clearly below random parts: corner; of these below the mean of those at one place: none."
    )


def test_random_parts_do_not_depend_on_neighbours_and_depend_on_the_seed():
    data, boxes = pictures(4)
    query = pl.Representation(("3",), data)
    once, again, other = (
        Correspondence(parts={"cross": boxes}, draws=4, seed=seed)(subject(), query).panels[0].lines[1].mean
        for seed in (0, 0, 1)
    )
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    order = torch.tensor([2, 0, 3, 1])
    moved = Correspondence(parts={"cross": boxes[order]}, draws=4)(subject(), pl.Representation(("3",), data[order]))
    torch.testing.assert_close(moved.panels[0].lines[1].mean, once)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({}, "parts= is empty"),
        ({"eye": torch.zeros(3, 4)}, r"boxes \(3, 4\); give .* for 4 pictures"),
        ({"eye": (3, 3, 3, 9)}, "empty box or one that is outside"),
        ({"eye": (0, 0, 4, 17)}, "empty box or one that is outside the pictures of 16 × 16"),
    ],
)
def test_boxes_that_are_none_are_refused(parts, said):
    with pytest.raises(UsageError, match=said):
        Correspondence(parts=parts)(subject(), pl.Representation(("3",), pictures(4)[0]))


def test_two_pictures_are_too_few():
    with pytest.raises(NotAnswerable, match="at least 3, not 2"):
        Correspondence(parts={"eye": (0, 0, 4, 4)})(subject(), pl.Representation(("3",), pictures(2)[0]))
