"""Neighbourhoods: draws that can be made again in any order, with the distributions that LIME asks for."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.engine import sampling


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def masks(samples, features, draw=sampling.coin_flips, seed=0):
    return sampling.Draws(samples, torch.ones(features, dtype=torch.bool), draw(features), source(seed))


def alike(rows):
    return torch.ones(len(rows), dtype=torch.float64)


def everything(draws):
    return torch.cat([rows for _, rows in draws.blocks()])


@settings(deadline=None, max_examples=25)
@given(samples=st.integers(1, 3000), cuts=st.lists(st.integers(0, 3000), max_size=5))
def test_rows_do_not_depend_on_how_they_are_asked_for(samples, cuts):
    draws = masks(samples, 3)
    borders = [0, *sorted(min(cut, samples) for cut in cuts), samples]
    parts = [slice(a, b) for a, b in itertools.pairwise(borders) if b > a]
    asked = {part.start: draws.rows(part) for part in reversed(parts)}
    joined = torch.cat([asked[part.start] for part in parts])
    assert torch.equal(joined, everything(masks(samples, 3)))
    assert bool(joined[0].all())


def test_places_of_blocks_cover_all_rows_in_order():
    draws = masks(2500, 2)
    places = [part for part, _ in draws.blocks()]
    assert [place for part in places for place in range(part.start, part.stop)] == list(range(2500))


def test_seeds_give_different_rows():
    assert not torch.equal(everything(masks(100, 8)), everything(masks(100, 8, seed=1)))


def test_coin_flips_show_every_feature_half_of_the_time_independently():
    rows = everything(masks(20000, 4)).double()
    assert rows.mean(0).tolist() == pytest.approx([0.5] * 4, abs=0.015)
    assert torch.allclose(torch.corrcoef(rows.T), torch.eye(4).double(), atol=0.03)


def test_removals_take_every_number_of_features_equally_often():
    rows = everything(masks(20000, 5, sampling.removals))[1:]
    counts = torch.bincount((~rows).sum(1), minlength=6).double() / len(rows)
    assert counts[0] == 0
    assert counts[1:].tolist() == pytest.approx([0.2] * 5, abs=0.015)
    assert rows.double().mean(0).tolist() == pytest.approx([0.4] * 5, abs=0.015)


def test_distinct_masks_put_back_in_place_are_the_rows():
    draws = masks(3000, 6)
    known, which = sampling.distinct(draws)
    assert len(known) == len(known.unique(dim=0)) <= 64
    assert torch.equal(known[which], everything(draws))


def test_masks_are_not_searched_for_repeats_where_repeats_are_rare():
    assert sampling.distinct(masks(60, 6)) is None
    assert sampling.distinct(masks(3000, 40)) is None


def test_feature_means_are_per_channel_and_per_feature():
    point = torch.arange(18, dtype=torch.float64).view(2, 3, 3)
    segments = torch.tensor([[[0, 0, 1], [0, 0, 1], [-1, 1, 1]]])
    means = sampling.feature_means(point, segments)
    for channel in range(2):
        for feature in (0, 1):
            inside = segments[0] == feature
            assert means[channel][inside].tolist() == [point[channel][inside].mean()] * int(inside.sum())


def test_features_that_look_the_same_hidden_are_counted():
    point = torch.tensor([[1.0, 2.0, 0.0, 0.0]])
    segments = torch.tensor([[0, 0, 1, 2]])
    assert sampling.unchanged(point, torch.tensor([[1.0, 0.0, 0.0, 5.0]]), segments) == 1
    assert sampling.unchanged(point, point, segments) == 3


def test_quartiles_are_drawn_by_their_share_and_stay_within_their_borders():
    skewed = torch.rand(1001, 2, generator=source(), dtype=torch.float64) ** 3
    skewed[:, 1] = (skewed[:, 1] * 3).floor()  # whole numbers: half of them are 0, so quartiles coincide
    quartiles = sampling.Quartiles(skewed)
    drawn = quartiles.draw(20000, source(1))
    for column in range(2):
        of_reference = torch.bincount(quartiles.part(skewed)[:, column], minlength=4) / 1001
        of_draws = torch.bincount(quartiles.part(drawn)[:, column], minlength=4) / 20000
        assert of_draws.tolist() == pytest.approx(of_reference.tolist(), abs=0.015)
        for part in range(4):
            inside = drawn[quartiles.part(drawn)[:, column] == part, column]
            known = skewed[quartiles.part(skewed)[:, column] == part, column]
            if len(known):
                assert inside.min() >= quartiles.lowest[column, part]
                assert inside.max() <= known.max()
    assert drawn.mean(0).tolist() == pytest.approx(skewed.mean(0).tolist(), abs=0.03)


def test_a_column_of_one_value_is_drawn_as_that_value():
    quartiles = sampling.Quartiles(torch.full((50, 1), 7.0))
    assert quartiles.draw(100, source()).unique().tolist() == [7.0]


def test_a_feature_of_several_columns_stands_where_all_of_them_stay_in_their_quartile():
    reference = torch.randn(400, 4, generator=source(), dtype=torch.float64)
    point, segments = reference[7], torch.tensor([0, 1, 0, -1])
    around = sampling.same_quartiles(point, reference, segments, 500, source(2), alike)
    rows = everything(around.draws)
    quartiles = sampling.Quartiles(reference)
    same = quartiles.part(rows) == quartiles.part(point[None])
    assert (
        around.interpretable(rows).tolist() == torch.stack([same[:, 0] & same[:, 2], same[:, 1]], 1).double().tolist()
    )
    assert around.points(rows)[:, 3].unique().tolist() == [float(point[3])]
    assert around.instance.tolist() == [1.0, 1.0]


def test_standard_normal_rows_are_read_in_the_order_of_the_features():
    point = torch.tensor([5.0, 6.0, 7.0])
    around = sampling.standard_normal(point, torch.tensor([1, -1, 0]), 5000, source(), alike)
    rows = everything(around.draws)
    assert around.instance.tolist() == [7.0, 5.0]
    assert torch.equal(around.interpretable(rows), rows[:, [2, 0]])
    assert around.points(rows)[:, 1].unique().tolist() == [6.0]
    assert rows[1:].mean(0).abs().max() < 0.05
    assert (rows[1:].std(0) - 1).abs().max() < 0.05
