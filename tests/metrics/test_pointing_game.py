"""Pointing game: hits, near hits, ties, chance, and references that cannot be used."""

import numpy as np
import pytest
import torch

import pellucid as pl
from metrics.plain_rows import letters, linear, made, pictures_of, rows
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.methods import InputXGradient
from pellucid.metrics import PointingGame

SIDE = 10


def scene(number=1, channels=1):
    """A subject of pictures and a decision about some of them."""
    subject = pictures_of(lambda point: point.flatten(1).sum(1, keepdim=True), SIDE, channels)
    return subject, pl.Decision(rows(number, channels * SIDE**2, 7).view(number, channels, SIDE, SIDE))


def one_pixel(row, column, number=1, channels=1):
    scores = torch.zeros(number, channels, SIDE, SIDE, dtype=torch.float64)
    scores[..., row, column] = 1
    return scores


def square(number=1):
    """Rows 2 … 4 and columns 3 … 5."""
    mask = torch.zeros(number, SIDE, SIDE, dtype=torch.bool)
    mask[:, 2:5, 3:6] = True
    return mask


@pytest.mark.parametrize(
    ("place", "radius", "hit"),
    [
        ((3, 4), 0, 1),
        ((4, 5), 0, 1),
        ((5, 5), 0, 0),
        ((5, 5), 1, 1),
        ((6, 7), 2.8, 0),
        ((6, 7), 2.9, 1),
        ((9, 9), 15, 1),
    ],
)
def test_the_maximum_hits_within_the_radius_of_the_mask(place, radius, hit):
    subject, decision = scene()
    found = PointingGame(radius=radius)(subject, pl.Judgement([made(decision, one_pixel(*place))], square()))
    assert float(found.value) == hit
    assert found.higher_is_better


def test_the_value_is_the_share_of_examples_that_are_hit():
    subject, decision = scene(4)
    scores = torch.cat([one_pixel(3, 3), one_pixel(0, 0), one_pixel(2, 5), one_pixel(4, 4)])
    found = PointingGame()(subject, pl.Judgement([made(decision, scores)], square(4)))
    assert found.per_example[0].tolist() == [1, 0, 1, 1]
    assert float(found.value) == 0.75


def test_of_equal_maxima_each_counts_as_its_share_and_with_quantus_any_will_do():
    subject, decision = scene()
    scores = one_pixel(3, 4) + one_pixel(0, 0) + one_pixel(9, 9) + one_pixel(2, 3)
    reference = square()
    judgement = pl.Judgement([made(decision, scores)], reference)
    ours, theirs = (PointingGame(compat=compat)(subject, judgement) for compat in (None, "quantus"))
    assert float(ours.value) == 0.5
    assert float(theirs.value) == 1
    assert ours.control["constant"].tolist() == pytest.approx([0.09] * 3)
    assert theirs.control["constant"].tolist() == [1, 1, 1]


def test_random_maps_hit_the_share_that_the_mask_covers():
    subject, decision = scene(60)
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[:, :4] = True
    found = PointingGame(random_maps=10)(subject, pl.Judgement([made(decision, one_pixel(0, 0, 60))], mask))
    value, low, high = found.control["random"].tolist()
    assert low < 0.4 < high
    assert value == pytest.approx(0.4, abs=0.08)


@pytest.mark.parametrize(
    ("pooling", "place"),
    [("sum", 0), ("absolute sum", 1), ("l1", 2), ("l2", 3), ("squared l2", 3), ("max", 3)],
)
def test_channels_are_pooled_as_named(pooling, place):
    subject, decision = scene(channels=3)
    scores = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64)
    for row, channels in enumerate([(2, 2, 2), (-3, -3, -1), (4, -4, 0.5), (7, 0, -1.2)]):
        scores[0, :, row, 0] = torch.tensor(channels, dtype=torch.float64)
    for row in range(4):
        mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        mask[row, 0] = True
        found = PointingGame(pooling=pooling)(subject, pl.Judgement([made(decision, scores)], mask))
        assert float(found.value) == (row == place)


def test_every_form_of_a_reference_says_the_same():
    subject, decision = scene(2, channels=3)
    scores = torch.cat([one_pixel(3, 3, channels=3), one_pixel(0, 0, channels=3)])
    answer = made(decision, scores)
    one_channel = torch.zeros(2, 3, SIDE, SIDE, dtype=torch.bool)
    one_channel[:, 1] = square(2)
    forms = [
        square()[0],
        square(2),
        square(2).numpy(),
        square(2).long(),
        list(square(2)),
        [square()[0].numpy().astype(np.uint8), square()[0]],
        square(2)[:, None].expand(2, 3, SIDE, SIDE),
        one_channel,
    ]
    for form in forms:
        assert PointingGame()(subject, pl.Judgement([answer], form)).per_example[0].tolist() == [1, 0]


@pytest.mark.parametrize(("crop", "left", "right"), [(False, 36, 63), (True, 39, 57), (True, 3, 21)])
def test_masks_of_raw_pictures_are_cut_and_scaled_as_the_pictures_are(crop, left, right):
    """A bright square on black: the picture itself says where the network sees it."""
    raw = np.zeros((60, 90, 3), np.uint8)
    raw[18:36, left:right] = 255
    task = pl.tasks.Image(SIDE, (0.0,) * 3, (1.0,) * 3, output="value", crop=crop, margin=0)
    subject = pl.wrap(lambda point: point.flatten(1).sum(1, keepdim=True), task)
    decision = pl.Decision([raw])
    seen = subject.prepare([raw]).value[0, 0] > 0.5
    answer = made(decision, torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64))
    expected = PointingGame()(subject, pl.Judgement([answer], seen)).control["constant"][0]
    found = PointingGame()(subject, pl.Judgement([answer], [raw[..., 0] == 255])).control["constant"][0]
    assert 0 < float(found) == float(expected) < 1


def test_masks_of_texts_have_the_length_of_their_own_text():
    subject = letters(torch.arange(6.0))
    decision = pl.Decision(["abcf", "fb"])
    answer = InputXGradient()(subject, decision)
    last, first = torch.tensor([False, False, False, True]), torch.tensor([True, False])
    found = PointingGame()(subject, pl.Judgement([answer], [last, first]))
    assert found.per_example[0].tolist() == [1, 1]
    padded = torch.tensor([[True, True, True, False], [False, True, True, True]])
    found = PointingGame()(subject, pl.Judgement([answer], padded))
    assert found.per_example[0].tolist() == [0, 0]
    assert found.control_per_example[0].tolist() == pytest.approx([0.75, 0.5])


def test_columns_of_rows_are_marked_once_for_all_or_for_each():
    subject, weights = linear(5)
    inputs = torch.ones(2, 5, dtype=torch.float64)
    answer = made(pl.Decision(inputs), inputs * weights)
    best = torch.arange(5) == weights.argmax()
    for reference in (best, best.expand(2, 5)):
        assert float(PointingGame()(subject, pl.Judgement([answer], reference)).value) == 1


def test_references_that_cannot_be_used_are_refused_by_name():
    subject, decision = scene(2)
    answer = made(decision, one_pixel(0, 0, 2))
    empty = square(2)
    empty[1] = False
    for reference, error, words in (
        (None, NotAnswerable, r"\[examples, 10, 10\].*reference=masks"),
        ("cat", BadInput, "a str"),
        (square(3), BadInput, "3 masks for 2 examples"),
        ([square()[0]], BadInput, "1 masks for 2 examples"),
        (square(2)[:, :5], BadInput, r"example 0 .*has shape \(5, 10\)"),
        (square(2) * 3, BadInput, "other values than 0 and 1"),
        (empty, BadInput, "example 1 .*marks nothing"),
    ):
        with pytest.raises(error, match=words):
            PointingGame()(subject, pl.Judgement([answer], reference))
    with pytest.raises(UsageError, match="radius"):
        PointingGame(radius=-1.0)
