"""Mass accuracy: the share of positive relevance inside, and chance, which is the share that the mask covers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from metrics.plain_rows import letters, made, pictures_of, rows
from pellucid.core.errors import NotAnswerable
from pellucid.methods import InputXGradient
from pellucid.metrics import MassAccuracy

SIDE = 10


def scene(number=1, channels=1):
    subject = pictures_of(lambda point: point.flatten(1).sum(1, keepdim=True), SIDE, channels)
    return subject, pl.Decision(rows(number, channels * SIDE**2, 7).view(number, channels, SIDE, SIDE))


def square():
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[2:5, 3:7] = True
    return mask


def accuracies(scores, **fields):
    subject, decision = scene(len(scores), scores.shape[1])
    return MassAccuracy(**fields)(subject, pl.Judgement([made(decision, scores)], square()))


def test_a_perfect_map_has_one_a_wrong_one_none_and_a_constant_one_the_share_covered():
    inside = square().double()[None, None]
    found = accuracies(torch.cat([inside, 1 - inside, torch.ones_like(inside), inside + 1, -inside]))
    assert found.per_example[0].tolist() == pytest.approx([1, 0, 0.12, 24 / 112, 0], abs=1e-12)
    assert found.control["constant"].tolist() == pytest.approx([0.12] * 3)
    assert found.higher_is_better


def test_only_positive_relevance_counts_and_with_quantus_signs_cancel():
    scores = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    scores[..., 3, 3], scores[..., 3, 4], scores[..., 0, 0], scores[..., 0, 1] = 3, -1, 1, -2
    assert float(accuracies(scores).value) == pytest.approx(3 / 4)
    assert float(accuracies(scores, compat="quantus").value) == pytest.approx(2 / 1)
    scores[..., 0, 1] = -3
    assert float(accuracies(scores, compat="quantus").value) == 0


def test_channels_are_pooled_before_signs_are_looked_at():
    scores = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64)
    scores[0, :2, 3, 3], scores[0, :2, 0, 0] = torch.tensor([3.0, -2]).double(), torch.tensor([1.0, 2]).double()
    for pooling, expected in (("sum", 1 / 4), ("l1", 5 / 8), ("squared l2", 13 / 18), ("max", 3 / 5)):
        assert float(accuracies(scores, pooling=pooling).value) == pytest.approx(expected)


def test_random_maps_have_the_share_that_the_mask_covers():
    subject, decision = scene(40)
    answer = made(decision, rows(40, 100, 4).view(40, 1, SIDE, SIDE))
    found = MassAccuracy(random_maps=5)(subject, pl.Judgement([answer], square()))
    value, low, high = found.control["random"].tolist()
    assert low < 0.12 < high
    assert value == pytest.approx(0.12, abs=0.01)
    assert not found.beats("answer", "random")


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(1e-6, 1e6))
def test_the_scale_of_a_map_does_not_matter(seed, factor):
    scores = rows(1, 100, seed).view(1, 1, SIDE, SIDE)
    found = accuracies(torch.cat([scores, factor * scores])).per_example[0]
    assert float(found[0]) == pytest.approx(float(found[1]), rel=1e-9)
    assert 0 <= float(found[0]) <= 1


def test_words_of_texts_are_marked():
    subject = letters(torch.tensor([1.0, 2, 3]))
    answer = InputXGradient()(subject, pl.Decision(["abc", "ca"]))
    reference = [torch.tensor([False, True, True]), torch.tensor([False, True])]
    found = MassAccuracy()(subject, pl.Judgement([answer], reference))
    assert found.per_example[0].tolist() == pytest.approx([5 / 6, 1 / 4])


def test_without_masks_there_is_nothing_to_compare_with():
    subject, decision = scene()
    with pytest.raises(NotAnswerable, match="reference=masks"):
        MassAccuracy()(subject, pl.Judgement([made(decision, torch.ones(1, 1, SIDE, SIDE, dtype=torch.float64))]))
