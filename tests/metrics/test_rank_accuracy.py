"""Rank accuracy: as many of the highest scores as the mask has positions, with a fair choice among equals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from metrics.plain_rows import letters, made, pictures_of, rows
from pellucid.core.errors import NotAnswerable
from pellucid.methods import InputXGradient
from pellucid.metrics import RankAccuracy

SIDE = 10


def scene(number=1):
    subject = pictures_of(lambda point: point.flatten(1).sum(1, keepdim=True), SIDE)
    return subject, pl.Decision(rows(number, SIDE**2, 7).view(number, 1, SIDE, SIDE))


def square():
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[2:5, 3:7] = True
    return mask


def accuracies(scores):
    subject, decision = scene(len(scores))
    return RankAccuracy()(subject, pl.Judgement([made(decision, scores)], square()))


def test_perfect_wrong_constant_and_one_pixel_maps():
    inside = square().double()[None, None]
    pixel, stray = torch.zeros_like(inside), torch.zeros_like(inside)
    pixel[..., 3, 4] = stray[..., 0, 0] = 1
    found = accuracies(torch.cat([inside, -inside, torch.ones_like(inside), pixel, stray]))
    # After the one pixel, 11 places are left for 11 of 99 (or 12 of 99) inside.
    assert found.per_example[0].tolist() == pytest.approx([1, 0, 0.12, (1 + 11 * 11 / 99) / 12, 11 * 12 / 99 / 12])
    assert found.control["constant"].tolist() == pytest.approx([0.12] * 3)
    assert found.higher_is_better


def test_without_equal_scores_it_is_the_share_of_the_first_in_order():
    scores = rows(5, 100, 3).view(5, 1, SIDE, SIDE)
    first = scores.flatten(1).argsort(descending=True)[:, :12]
    expected = square().flatten()[first].double().mean(1)
    assert torch.allclose(accuracies(scores).per_example[0], expected)


def test_equal_scores_give_the_mean_over_ways_to_order_them():
    scores = rows(1, 100, 3).view(1, 1, SIDE, SIDE).round()
    source = torch.Generator().manual_seed(0)
    shaken = scores + 1e-6 * torch.rand(4000, 1, SIDE, SIDE, generator=source, dtype=torch.float64)
    first = shaken.flatten(1).topk(12).indices
    expected = float(square().flatten()[first].double().mean())
    assert float(accuracies(scores).value) == pytest.approx(expected, abs=0.01)


def test_random_maps_have_the_share_that_the_mask_covers():
    subject, decision = scene(40)
    answer = made(decision, rows(40, 100, 4).view(40, 1, SIDE, SIDE))
    found = RankAccuracy(random_maps=5)(subject, pl.Judgement([answer], square()))
    value, low, high = found.control["random"].tolist()
    assert low < 0.12 < high
    assert value == pytest.approx(0.12, abs=0.015)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_only_the_order_of_scores_matters(seed, factor):
    scores = rows(1, 100, seed).view(1, 1, SIDE, SIDE)
    found = accuracies(torch.cat([scores, factor * scores, scores.exp()])).per_example[0]
    assert len(set(found.tolist())) == 1


def test_letters_of_texts_are_marked():
    subject = letters(torch.tensor([1.0, 2, 3]))
    answer = InputXGradient()(subject, pl.Decision(["abc", "ca"]))
    reference = [torch.tensor([True, False, True]), torch.tensor([True, False])]
    assert RankAccuracy()(subject, pl.Judgement([answer], reference)).per_example[0].tolist() == [0.5, 1]


def test_without_masks_there_is_nothing_to_compare_with():
    subject, decision = scene()
    with pytest.raises(NotAnswerable, match="reference=masks"):
        RankAccuracy()(subject, pl.Judgement([made(decision, torch.ones(1, 1, SIDE, SIDE, dtype=torch.float64))]))
