"""Gini index: closed forms, invariance, and what random and constant maps score."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from metrics.plain_rows import letters, linear, made, pictures_of, rows
from pellucid.methods import InputXGradient
from pellucid.metrics import Gini


def indices(scores):
    """The Gini index of each of these rows of scores, by the product."""
    width = scores.shape[1]
    subject, _ = linear(width)
    decision = pl.Decision(rows(len(scores), width))
    return Gini()(subject, pl.Judgement([made(decision, scores)])).per_example[0]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([1, 1, 1, 1], 0),
        ([0, 0, 0, 1], 0.75),
        ([0, 0, 0, -1], 0.75),
        ([1, 2, 3, 4], 0.25),
        ([-4, 3, -2, 1], 0.25),
        ([0, 0, 0, 0], 0),
        ([5], 0),
    ],
)
def test_closed_forms(scores, expected):
    assert float(indices(torch.tensor([scores], dtype=torch.float64))) == pytest.approx(expected, abs=1e-12)


def test_it_is_half_the_mean_difference_over_the_mean():
    scores = rows(3, 17, seed=4)
    sizes = scores.abs()
    differences = (sizes[:, :, None] - sizes[:, None, :]).abs().mean((1, 2))
    assert torch.allclose(indices(scores), differences / (2 * sizes.mean(1)), atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 30), st.floats(1e-6, 1e6))
def test_neither_scale_nor_order_nor_sign_matters(seed, width, factor):
    scores = rows(1, width, seed)
    order = torch.randperm(width, generator=torch.Generator().manual_seed(seed))
    same = torch.cat([scores, -scores * factor, scores[:, order]])
    found = indices(same)
    assert torch.allclose(found, found[:1].expand(3), atol=1e-12)
    assert 0 <= float(found[0]) <= 1 - 1 / width + 1e-12


def test_random_maps_score_what_the_folded_normal_distribution_has():
    """|z| of a normal z has the mean √(2/π) and the mean difference 2(√2 − 1)√(2/π)."""
    subject, _ = linear(2000)
    found = Gini(random_maps=40)(subject, pl.Judgement([made(pl.Decision(rows(1, 2000)), rows(1, 2000, 3))]))
    value, low, high = found.control["random"].tolist()
    assert low < math.sqrt(2) - 1 < high
    assert value == pytest.approx(math.sqrt(2) - 1, abs=0.005)
    assert found.control["constant"].tolist() == [0, 0, 0]
    assert found.higher_is_better
    assert found.evaluations.get("F", 0) <= 2


def test_one_pixel_of_a_picture_is_as_sparse_as_can_be():
    subject = pictures_of(lambda point: point.flatten(1).sum(1, keepdim=True), 6)
    scores = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    scores[0, 0, 2, 3] = -2
    found = Gini()(subject, pl.Judgement([made(pl.Decision(torch.ones_like(scores)), scores)]))
    assert float(found.value) == pytest.approx(1 - 1 / 36, abs=1e-12)


def test_texts_are_measured_over_their_own_letters():
    subject = letters(torch.tensor([1.0, 1, 3]))
    found = Gini()(subject, pl.Judgement([InputXGradient()(subject, pl.Decision(["abab", "c", "ac"]))]))
    assert found.per_example[0].tolist() == pytest.approx([0, 0, 0.25])
