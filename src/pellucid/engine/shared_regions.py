"""Regions that explanations of different granularity have in common: words of tokens, superpixels of pixels, squares."""

import itertools
from collections.abc import Sequence

import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from pellucid.core.subject import Features

FEWEST, MOST_IN_PICTURES, SIDE = 3, 1024, 14


def shared_regions(
    features: Sequence[Features], point: tuple[int, ...], picture: bool, side: int | None = None
) -> list[Features]:
    """For each explanation of points ``[batch, …point]`` the same regions, as features of its own elements.

    A region is the smallest part of the point that no explanation's features cut: pixels and superpixels share the
    superpixels. Elements that belong to no feature of an explanation belong to none of its regions. A ``picture`` whose
    regions are more than 1,024 or fewer than three is cut into squares instead, ``side`` along each side, or 14.
    """
    if not picture:
        return _joined(features, point)
    if side is None:
        found = _joined(features, point)
        if min(found[0].counts()) >= FEWEST and max(found[0].counts()) <= MOST_IN_PICTURES:
            return found
    return _squares(features, point, SIDE if side is None else side)


def _joined(features: Sequence[Features], point: tuple[int, ...]) -> list[Features]:
    first = features[0]
    if all(torch.equal(first.segments, other.segments) for other in features[1:]):
        return list(features)
    rows = []
    for example in range(len(first.segments)):
        segments = torch.stack([own.segments[example].expand(point) for own in features])
        rows.append(_join(segments.flatten(1)).view(segments.shape))
    kind = min(features, key=lambda own: max(own.counts())).kind
    return [Features(kind, part) for part in torch.stack(rows, 1)]


def _join(segments: Tensor) -> Tensor:
    """The regions that several ways ``[ways, elements]`` to cut one example have in common, numbered in the first's order."""
    sizes = segments.max(1).values + 1
    start = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    nodes = torch.where(segments >= 0, segments + start[:-1, None], -1)
    edges = [
        pair[:, (pair >= 0).all(0)].unique(dim=1)
        for pair in (nodes[[one, other]] for one, other in itertools.pairwise(range(len(nodes))))
    ]
    one, other = torch.cat(edges, 1).numpy()
    total = int(start[-1])
    graph = coo_array((torch.ones(len(one)).numpy(), (one, other)), shape=(total, total))
    part = torch.from_numpy(connected_components(graph, directed=False)[1]).long()
    # A region that an explanation says nothing about is none that they share.
    everywhere = torch.stack(
        [torch.bincount(part[low:high], minlength=total) > 0 for low, high in itertools.pairwise(start.tolist())]
    ).all(0)
    order = list(dict.fromkeys(part[: int(sizes[0])].tolist()))
    number = torch.full((total,), -1)
    number[torch.tensor([region for region in order if everywhere[region]], dtype=torch.long)] = torch.arange(
        int(everywhere.sum())
    )
    regions = number[part]
    return torch.where(nodes >= 0, regions[nodes.clamp(min=0)], -1)


def _squares(features: Sequence[Features], point: tuple[int, ...], side: int) -> list[Features]:
    height, width = point[-2:]
    down, across = (min(side, length) for length in (height, width))
    rows, columns = torch.arange(height) * down // height, torch.arange(width) * across // width
    squares = rows[:, None] * across + columns
    cut = []
    for own in features:
        segments = own.segments.expand(len(own.segments), *point)
        cut.append(Features(f"square of a grid of {down} × {across}", torch.where(segments >= 0, squares, -1)))
    return cut
