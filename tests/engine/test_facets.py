"""Facets: as many as were planted, one where the codes are one cloud, the same by seed, and few data said to be few."""

import pytest
import torch

from pellucid.core.errors import UsageError
from pellucid.engine.facets import facets_of, principal_components


def cloud(seed, rows=60, width=12):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def planted(seed, kinds, apart=8.0, rows=60):
    codes = cloud(seed, rows)
    kind = torch.arange(rows) % kinds
    codes[torch.arange(rows), kind] += apart
    return codes, kind


@pytest.mark.parametrize(("seed", "kinds"), [(0, 2), (1, 2), (2, 3)])
def test_planted_kinds_are_found_exactly(seed, kinds):
    codes, kind = planted(seed, kinds)
    found = facets_of(codes)
    assert len(found) == kinds
    assert max(found.silhouettes, key=found.silhouettes.get) == kinds
    for facet in range(kinds):
        assert len(kind[found.member == facet].unique()) == 1


@pytest.mark.parametrize(
    "codes",
    [
        cloud(0),
        cloud(1) * torch.linspace(4, 0.1, 12),
        cloud(2).clamp(min=0),
        cloud(3).exp(),
        cloud(4) / cloud(5).square().sum(1, keepdim=True).sqrt(),
    ],
    ids=["normal", "stretched", "rectified", "skewed", "heavy tails"],
)
def test_one_cloud_is_one_facet_whatever_its_shape(codes):
    found = facets_of(codes)
    assert len(found) == 1
    assert set(found.apart.values()) == {1}
    assert found.examples(0).sort().values.tolist() == list(range(60))


def test_a_small_kind_beside_a_large_one_is_found_and_numbered_last():
    codes = cloud(3)
    codes[:14, 0] += 9
    found = facets_of(codes)
    assert len(found) == 2
    assert found.member[:14].unique().tolist() == [1]
    assert found.member[14:].unique().tolist() == [0]


def test_facets_follow_the_seed_and_nothing_else():
    codes, _ = planted(4, 2)
    before = torch.get_rng_state()
    first, again = facets_of(codes, seed=3), facets_of(codes, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.places, again.places)
    assert torch.equal(first.member, again.member)


def test_a_number_that_is_asked_for_is_kept_even_where_nothing_is_apart():
    found = facets_of(cloud(1), 3)
    assert len(found) == 3
    assert found.apart == {3: 1}
    assert torch.bincount(found.member).diff().max() <= 0


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 13])
def test_few_examples_are_one_facet_or_as_many_as_asked_for(rows):
    codes = cloud(0, rows)
    assert len(facets_of(codes)) == 1
    assert len(facets_of(codes, min(rows, 2))) == min(rows, 2)
    with pytest.raises(UsageError, match=f"{rows} different codes cannot be put into {rows + 1} facets"):
        facets_of(codes, rows + 1)


def test_equal_codes_are_one_facet():
    codes = torch.ones(40, 3)
    assert len(facets_of(codes)) == 1
    with pytest.raises(UsageError, match="1 different codes"):
        facets_of(codes, 2)


def test_components_keep_all_distances_and_have_no_free_sign():
    codes = cloud(0, 20, 6).double()
    parts = principal_components(codes)
    assert torch.allclose(torch.cdist(parts, parts), torch.cdist(codes, codes))
    assert torch.allclose(principal_components(codes[:, torch.randperm(6)]).abs(), parts.abs())
    assert parts.var(0).diff().max() < 0
