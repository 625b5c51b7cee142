"""Entropy: of shares and of the histogram, closed forms of both, and where they disagree."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from metrics.plain_rows import letters, linear, made, pictures_of, rows
from pellucid.core.errors import UsageError
from pellucid.methods import InputXGradient
from pellucid.metrics import Entropy


def entropies(scores, **fields):
    """The entropy of each of these rows of scores, by the product."""
    width = scores.shape[1]
    subject, _ = linear(width)
    decision = pl.Decision(rows(len(scores), width))
    return Entropy(**fields)(subject, pl.Judgement([made(decision, scores)])).per_example[0]


@pytest.mark.parametrize(
    ("scores", "shares", "histogram"),
    [
        ([1, 1, 1, 1], math.log(4), 0),
        ([0, 0, 0, 1], 0, math.log(4) - 0.75 * math.log(3)),
        ([1, -1, 1, -1], math.log(4), math.log(2)),
        ([0, 0, 0, 0], math.log(4), 0),
        ([1, 2, 3, 4], math.log(10) - (2 * math.log(2) + 3 * math.log(3) + 4 * math.log(4)) / 10, math.log(4)),
        ([7], 0, 0),
    ],
)
def test_closed_forms(scores, shares, histogram):
    scores = torch.tensor([scores], dtype=torch.float64)
    assert float(entropies(scores)) == pytest.approx(shares, abs=1e-12)
    assert float(entropies(scores, of="histogram")) == pytest.approx(histogram, abs=1e-12)


@pytest.mark.parametrize("bins", [2, 7, 256])
def test_the_histogram_is_numpys_between_plus_and_minus_the_largest(bins):
    scores = rows(3, 200, seed=2)
    for found, row in zip(entropies(scores, of="histogram", bins=bins), scores.numpy(), strict=True):
        counts, _ = np.histogram(row, bins, (-np.abs(row).max(), np.abs(row).max()))
        shares = counts[counts > 0] / 200
        assert float(found) == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 30), st.sampled_from([0.25, 8.0, 1024.0]))
def test_neither_scale_nor_order_matters(seed, width, factor):
    scores = rows(1, width, seed)
    order = torch.randperm(width, generator=torch.Generator().manual_seed(seed))
    same = torch.cat([scores, scores * factor, scores[:, order]])
    for fields, most in (({}, math.log(width)), ({"of": "histogram", "bins": 16}, math.log(16))):
        found = entropies(same, **fields)
        assert torch.allclose(found, found[:1].expand(3), atol=1e-12)
        assert -1e-12 <= float(found[0]) <= most + 1e-12


def test_random_maps_score_what_normal_numbers_do_and_constant_maps_the_ends():
    """E[−|z| log|z|]/E|z| + log(n E|z|), by quadrature over the normal density."""
    grid = torch.linspace(1e-9, 12, 200001, dtype=torch.float64)
    density = (-grid.square() / 2).exp() * math.sqrt(2 / math.pi)
    mean = torch.trapezoid(grid * density, grid)
    expected = float(torch.trapezoid(-grid * grid.log() * density, grid) / mean + (2000 * mean).log())
    subject, _ = linear(2000)
    answer = made(pl.Decision(rows(1, 2000)), rows(1, 2000, 3))
    found = Entropy(random_maps=40)(subject, pl.Judgement([answer]))
    value, low, high = found.control["random"].tolist()
    assert low < expected < high
    assert value == pytest.approx(expected, abs=0.005)
    assert found.control["constant"].tolist() == pytest.approx([math.log(2000)] * 3)
    assert not found.higher_is_better


def test_one_pixel_of_a_picture_is_simple_by_both():
    subject = pictures_of(lambda point: point.flatten(1).sum(1, keepdim=True), 6)
    scores = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    scores[0, 0, 2, 3] = -2
    answer = made(pl.Decision(torch.ones_like(scores)), scores)
    assert float(Entropy()(subject, pl.Judgement([answer])).value) == 0
    expected = (math.log(36) + 35 * math.log(36 / 35)) / 36
    assert float(Entropy(of="histogram")(subject, pl.Judgement([answer])).value) == pytest.approx(expected, abs=1e-12)


def test_texts_are_measured_over_their_own_letters():
    subject = letters(torch.tensor([1.0, 1, 3]))
    found = Entropy()(subject, pl.Judgement([InputXGradient()(subject, pl.Decision(["abab", "c"]))]))
    assert found.per_example[0].tolist() == pytest.approx([math.log(4), 0], abs=1e-12)


def test_fewer_than_two_bins_are_refused():
    with pytest.raises(UsageError, match="bins"):
        Entropy(bins=1)
