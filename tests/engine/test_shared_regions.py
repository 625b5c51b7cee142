"""Regions that explanations of different granularity share: what is summed, what is left out, and when squares take over."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.subject import Features
from pellucid.engine.shared_regions import shared_regions


def features(segments, kind="part"):
    return Features(kind, torch.as_tensor(segments))


def test_features_that_are_the_same_stay_as_they_are():
    own = features([[0, 1, 2], [2, 1, 0]])
    assert shared_regions([own, features(own.segments.clone())], (3,), False)[0] is own


def test_pixels_and_superpixels_share_the_superpixels():
    pixels = features(torch.arange(16).view(1, 1, 4, 4), "pixel")
    superpixels = features(
        torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]])[None, None], "superpixel"
    )
    scores = torch.randn(1, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    one, other = shared_regions([pixels, superpixels], (3, 4, 4), True)
    assert one.kind == other.kind == "superpixel"
    torch.testing.assert_close(one.sums(scores)[0], superpixels.sums(scores)[0])
    torch.testing.assert_close(other.sums(scores)[0], superpixels.sums(scores)[0])


def test_words_of_several_tokens_are_the_regions_and_padding_is_none():
    tokens = features([[0, 1, 2, 3, 4, -1]], "token")
    words = features([[0, 0, 1, 2, 2, -1]], "word")
    found = shared_regions([tokens, words], (6,), False)
    assert [own.segments.tolist() for own in found] == [[[0, 0, 1, 2, 2, -1]]] * 2


def test_what_one_explanation_says_nothing_about_is_left_out():
    whole, part = features([[0, 1, 2, 3]]), features([[0, 1, -1, -1]])
    found = shared_regions([whole, part], (4,), False)
    assert [own.segments.tolist() for own in found] == [[[0, 1, -1, -1]]] * 2


def test_scores_that_count_once_for_all_channels_meet_those_that_count_in_each():
    every = features(torch.arange(9).view(1, 1, 3, 3).expand(1, 2, 3, 3), "pixel")
    once = features(torch.stack([torch.arange(9).view(3, 3), torch.full((3, 3), -1)])[None], "pixel")
    scores = torch.ones(1, 2, 3, 3)
    found = shared_regions([every, once], (2, 3, 3), True)
    assert found[0].kind == "pixel"
    one, other = (own.sums(scores)[0].tolist() for own in found)
    assert one == [2.0] * 9
    assert other == [1.0] * 9


def test_parts_that_cross_each_other_are_one_region():
    found = shared_regions([features([[0, 0, 1, 1, 2]]), features([[0, 1, 1, 2, 3]])], (5,), False)
    assert found[0].segments.tolist() == [[0, 0, 0, 0, 1]]


def test_a_picture_without_common_parts_is_cut_into_squares():
    rows = features(torch.arange(4).view(1, 1, 4, 1).expand(1, 1, 4, 4), "stripe")
    columns = features(torch.arange(4).view(1, 1, 1, 4).expand(1, 1, 4, 4), "stripe")
    one, other = shared_regions([rows, columns], (3, 4, 4), True)
    assert one.counts() == other.counts() == (16,)
    assert "square" in one.kind


def test_a_picture_of_many_pixels_is_cut_into_squares_of_the_wanted_number():
    pixels = features(torch.arange(64 * 64).view(1, 1, 64, 64), "pixel")
    assert shared_regions([pixels, pixels], (3, 64, 64), True)[0].counts() == (14 * 14,)
    squares = shared_regions([pixels, pixels], (3, 64, 64), True, 2)[0]
    assert squares.sums(torch.ones(1, 3, 64, 64))[0].tolist() == [3 * 32 * 32.0] * 4


@given(st.lists(st.integers(0, 4), min_size=8, max_size=8), st.lists(st.integers(0, 4), min_size=8, max_size=8))
def test_regions_are_the_smallest_that_cut_no_feature_and_sums_are_kept(one, other):
    def compact(parts):
        return torch.tensor([parts]).unique(return_inverse=True)[1]

    mine, yours = features(compact(one)), features(compact(other))
    found = shared_regions([mine, yours], (8,), False)
    scores = torch.arange(1.0, 9.0, dtype=torch.float64)[None]
    for own, regions in zip((mine, yours), found, strict=True):
        for part in range(own.counts()[0]):
            assert len(regions.segments[own.segments == part].unique()) == 1
        assert float(regions.sums(scores)[0].sum()) == float(scores.sum())
    assert torch.equal(found[0].segments, found[1].segments)
    assert found[0].segments[0].tolist() == merged(compact(one)[0].tolist(), compact(other)[0].tolist())


def merged(one, other):
    """Elements that share a feature, or a chain of them, have the same number; numbers begin at the first's features."""
    label = list(range(len(one)))
    for _ in label:
        for first in range(len(label)):
            for second in range(len(label)):
                if one[first] == one[second] or other[first] == other[second]:
                    label[first] = label[second] = min(label[first], label[second])
    order = list(dict.fromkeys(label[one.index(feature)] for feature in sorted(set(one))))
    return [order.index(own) for own in label]
