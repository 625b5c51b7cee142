"""Top-k intersection: the share of the k highest scores inside, absolutely and relative to chance."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from metrics.plain_rows import letters, made, pictures_of, rows
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.methods import InputXGradient
from pellucid.metrics import TopKIntersection

SIDE = 10


def scene(number=1):
    subject = pictures_of(lambda point: point.flatten(1).sum(1, keepdim=True), SIDE)
    return subject, pl.Decision(rows(number, SIDE**2, 7).view(number, 1, SIDE, SIDE))


def square():
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[2:5, 3:7] = True
    return mask


def shares(scores, **fields):
    subject, decision = scene(len(scores))
    return TopKIntersection(**fields)(subject, pl.Judgement([made(decision, scores)], square()))


@pytest.mark.parametrize("k", [1, 7, 12, 50, 100])
def test_it_is_the_share_of_the_first_k_in_order(k):
    scores = rows(4, 100, 3).view(4, 1, SIDE, SIDE)
    inside = square().double()[None, None]
    first = scores.flatten(1).argsort(descending=True)[:, :k]
    expected = square().flatten()[first].double().mean(1)
    found = shares(torch.cat([scores, inside]), k=k)
    assert torch.allclose(found.per_example[0, :4], expected)
    assert float(found.per_example[0, 4]) == pytest.approx(min(k, 12) / k)
    assert found.control["constant"].tolist() == pytest.approx([0.12] * 3)
    assert found.higher_is_better


def test_by_default_two_in_a_hundred_are_looked_at():
    scores = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.float64)
    scores[:, 0, 3, 3], scores[0, 0, 0, 0], scores[1, 0, 4, 6] = 2, 1, 1
    assert shares(scores).per_example[0].tolist() == [0.5, 1]


def test_relative_to_chance_random_maps_score_one():
    subject, decision = scene(60)
    answer = made(decision, rows(60, 100, 4).view(60, 1, SIDE, SIDE))
    metric = TopKIntersection(k=20, relative=True, random_maps=5)
    found = metric(subject, pl.Judgement([answer], square()))
    value, low, high = found.control["random"].tolist()
    assert low < 1 < high
    assert value == pytest.approx(1, abs=0.1)
    assert found.control["constant"].tolist() == pytest.approx([1, 1, 1])
    plain = TopKIntersection(k=20, random_maps=5)(subject, pl.Judgement([answer], square()))
    assert torch.allclose(found.per_example * 0.12, plain.per_example)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_only_the_order_of_scores_matters(seed, factor):
    scores = rows(1, 100, seed).view(1, 1, SIDE, SIDE)
    found = shares(torch.cat([scores, factor * scores, scores.exp()]), k=15).per_example[0]
    assert len(set(found.tolist())) == 1


def test_letters_of_texts_are_marked():
    subject = letters(torch.tensor([1.0, 2, 3]))
    answer = InputXGradient()(subject, pl.Decision(["abc", "ca"]))
    reference = [torch.tensor([False, False, True]), torch.tensor([False, True])]
    found = TopKIntersection(k=2)(subject, pl.Judgement([answer], reference))
    assert found.per_example[0].tolist() == [0.5, 0.5]


def test_what_cannot_be_counted_is_refused():
    scores = torch.ones(1, 1, SIDE, SIDE, dtype=torch.float64)
    with pytest.raises(BadInput, match="100 positions, fewer than k=101"):
        shares(scores, k=101)
    with pytest.raises(UsageError, match="k=…"):
        TopKIntersection(k=0)
    subject, decision = scene()
    with pytest.raises(NotAnswerable, match="reference=masks"):
        TopKIntersection()(subject, pl.Judgement([made(decision, scores)]))
