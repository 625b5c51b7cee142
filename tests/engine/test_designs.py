"""Designs of masks: each mask as likely as it should be, features balanced and apart, complements side by side."""

import itertools

import pytest
import torch

from pellucid.engine.designs import EveryMask, order_for, orthogonal_pairs, sized


def source(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("features", [1, 2, 12, 38, 63, 64])
def test_a_block_shows_each_feature_half_of_the_time_and_no_two_together(features):
    rows = 2 * order_for(features)
    masks = orthogonal_pairs(features)(rows, source())
    assert masks.shape == (rows, features)
    signs = 2.0 * masks.double() - 1
    assert torch.equal(signs.T @ signs, rows * torch.eye(features).double())
    assert bool((signs.sum(0) == 0).all())


@pytest.mark.parametrize("rows", [2, 6, 128, 200])
def test_each_mask_is_followed_by_its_complement(rows):
    masks = orthogonal_pairs(38)(rows, source(3))
    assert torch.equal(masks[::2], ~masks[1::2])
    assert len(masks) == rows


def test_products_of_three_features_are_as_good_as_chance_over_many_blocks():
    signs = 2.0 * orthogonal_pairs(5)(2 * 8 * 3000, source()).double() - 1
    for triple in itertools.combinations(range(5), 3):
        assert abs(float(signs[:, list(triple)].prod(1).mean())) < 0.05


def test_every_single_mask_of_an_array_is_as_likely_as_any_other():
    seen = torch.zeros(8)
    for seed in range(4000):
        first = orthogonal_pairs(3)(2, source(seed))[0]
        seen[int((first.long() << torch.arange(3)).sum())] += 1
    assert seen.tolist() == pytest.approx([500] * 8, abs=100)


def test_sizes_come_as_often_as_asked_and_all_features_alike():
    chances = torch.tensor([0.0, 1, 3, 0, 4, 0], dtype=torch.float64)
    masks = sized(5, chances)(8000, source())
    assert torch.bincount(masks.sum(1), minlength=6).tolist() == pytest.approx([0, 1000, 3000, 0, 4000, 0], abs=1)
    assert masks.double().mean(0).tolist() == pytest.approx([(1 + 6 + 16) / 8 / 5] * 5, abs=0.02)


def test_every_mask_is_there_once_in_any_block():
    draws = EveryMask(11)
    masks = torch.cat([rows for _, rows in draws.blocks()])
    assert len(masks) == len(draws) == 2048
    assert len(masks.unique(dim=0)) == 2048
    assert torch.equal(draws.rows(slice(1000, 1100)), masks[1000:1100])
    assert bool(masks[-1].all())
