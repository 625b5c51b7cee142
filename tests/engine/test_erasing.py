"""Walks: which features are gone at each stage, in whatever parts they are asked; what is shared, and areas."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metrics.additive_models import judgement, picture_model, pictures, row_model
from pellucid.engine import erasing
from pellucid.engine.coalitions import Game
from pellucid.engine.erasing import (
    Walk,
    area_under,
    curves,
    erasable,
    game_of,
    orders,
    ranked,
    relevances,
    stages,
    walked,
)
from pellucid.engine.judged import judged


def cases(number=1):
    subject = row_model([1.0, 2.0, 3.0, 4.0])
    rows = torch.rand(number, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores = torch.rand(number, 4, generator=torch.Generator().manual_seed(1))
    return list(judged(subject, judgement(rows, scores)).cases())


def walk(case, **fields):
    features = erasable(case, None)
    return Walk(game_of(case, features, "zero"), orders(case, features), torch.arange(5), **fields)


@given(number=st.integers(1, 400), steps=st.integers(1, 500), most=st.floats(0.01, 1))
def test_stages_begin_with_nothing_end_with_the_share_and_never_stand_still(number, steps, most):
    gone = stages(number, steps, most)
    assert gone[0] == 0
    assert gone[-1] == max(1, round(most * number))
    assert len(gone) <= steps + 1
    assert bool((gone.diff() > 0).all())
    assert int(gone.diff().max() - gone.diff().min()) <= 1


def test_what_is_shown_when_restoring_is_what_is_gone_when_erasing():
    (case,) = cases()
    out, back = walk(case).masks(), walk(case, restoring=True).masks()
    assert torch.equal(back, ~out)
    assert out.sum(1).tolist() == [4, 3, 2, 1, 0] * len(case.maps)


@pytest.mark.parametrize("size", [1, 20, 10**6])
def test_walks_are_the_same_in_parts_alone_and_together(monkeypatch, size):
    expected = [curves(one.game, one.order, one.gone) for one in (walk(case) for case in cases(5))]
    monkeypatch.setattr(erasing, "_MASK_BYTES", size)
    found = [line for _, line in walked(walk(case) for case in cases(5))]
    assert len(found) == len(expected) == 5
    assert all(torch.allclose(one, other, atol=1e-12) for one, other in zip(found, expected, strict=True))


def test_short_walks_of_many_examples_make_few_batches():
    seen = []
    subject = row_model([1.0, 2.0, 3.0, 4.0], seen=seen)
    rows = torch.rand(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    asked = judged(subject, judgement(rows, rows))
    list(walked(walk(case) for case in asked.cases()))
    seen.clear()
    list(walked(walk(case) for case in asked.cases()))
    assert sum(map(len, seen)) > 400
    assert len(seen) <= 3


@given(
    values=st.lists(st.lists(st.integers(-3, 3), min_size=40, max_size=40), min_size=1, max_size=4), up=st.booleans()
)
def test_ties_go_to_the_first(values, up):
    values = torch.tensor(values, dtype=torch.float64)
    assert torch.equal(ranked(values, ascending=up), values.argsort(dim=1, descending=not up, stable=True))
    apart = values + torch.rand(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 2
    assert torch.equal(ranked(apart, ascending=up), apart.argsort(dim=1, descending=not up, stable=True))


def test_no_walk_is_no_curve():
    assert list(walked([])) == []


def test_relevances_are_sums_over_features_and_channels():
    subject, _ = picture_model(6)
    point, scores = pictures(2, 6), torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    for case in judged(subject, judgement(point, scores, -scores)).cases():
        features = erasable(case, "grid", 4)
        expected = torch.stack([features.sums(maps[None])[0] for maps in case.maps])
        assert torch.allclose(relevances(case, features), expected, atol=1e-12)
        assert torch.allclose(relevances(case, features)[0].sum(), scores[case.row].double().sum())


def test_the_area_is_a_mean_height_whatever_the_stages():
    line = torch.tensor([[4.0, 3.0, 0.0]], dtype=torch.float64)
    assert area_under(line, torch.tensor([0.0, 0.25, 1.0])).tolist() == pytest.approx([0.875 + 1.125])
    assert area_under(line, torch.tensor([0.0, 1.0, 4.0])).tolist() == pytest.approx([2.0])


def test_a_game_is_shared_only_inside_and_only_about_the_same():
    (case,) = cases()
    features = erasable(case, None)
    assert game_of(case, features, "zero") is not game_of(case, features, "zero")
    with erasing.shared_calls():
        one = game_of(case, features, "zero")
        assert isinstance(one, Game)
        assert game_of(case, features, 0.0) is one
        assert game_of(case, features, "mean") is not one
