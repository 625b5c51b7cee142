"""The kinds of input that one unit responds to, told apart by their codes (nguyen2016multifaceted)."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.meter import report
from pellucid.core.seeds import generator

# Of these, from 2 on, one is chosen where the number of facets is not named.
MOST = 10
_COMPONENTS, _PERPLEXITY = 50, 30.0
# How surely there must be a valley between two facets.
_LEVEL = 0.01
# Fewer examples than this around either of two middles do not show that they are apart.
_FEWEST = 7


@dataclass(frozen=True)
class Facets:
    """Groups of examples: ``member`` ``[examples]`` is the facet of each, the largest facet first, and ``places``
    ``[examples, 2]`` where they lie in the map.

    ``silhouettes`` is the mean silhouette in the map of every number of groups that was tried (rousseeuw1987silhouettes), and
    ``apart`` how many of these are left when those that are not apart are put together.
    """

    member: Tensor
    places: Tensor
    silhouettes: Mapping[int, float] = field(default_factory=dict)
    apart: Mapping[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.member.max()) + 1

    def examples(self, facet: int) -> Tensor:
        """The examples of a facet, those nearest to its middle in the map first."""
        rows = (self.member == facet).nonzero().flatten()
        places = self.places[rows]
        return rows[(places - places.mean(0)).norm(dim=1).argsort(stable=True)]


def facets_of(codes: Tensor, number: int | None = None, seed: int = 0) -> Facets:
    """Group examples by their codes ``[examples, …code]``: up to 50 principal components, mapped to the plane by t-SNE,
    grouped there by k-means.

    Without a ``number``, 2 to 10 groups are tried. Of each grouping those that are not apart are put together, and what is
    left with the largest silhouette is taken: one facet where nothing is apart. Two groups are apart where the density of the
    codes along the line between their middles, found with one half of the examples, has a valley for the other half:
    significantly fewer examples (binomial test, level 0.01) lie between the middles than around either. A cloud with one mode
    has no valley along any line, whatever its shape, so that what t-SNE tears apart is put together again.
    Raises ``UsageError`` where there are more facets than different codes.
    """
    parts = principal_components(codes)
    different = len(codes.double().flatten(1).unique(dim=0))
    if number is not None and number > different:
        raise UsageError(f"{different} different codes cannot be put into {number} facets; take fewer, or more data")
    places = _mapped(parts, seed) if different > 4 else torch.nn.functional.pad(parts, (0, 2))[:, :2]
    most = min(MOST, different - 1, len(codes) // _FEWEST)
    tried = range(2, most + 1) if number is None else range(max(2, number), min(number, different - 1) + 1)
    groups = {count: _grouped(places, count, seed) for count in tried}
    merged = {count: _merged(parts, member, seed) for count, member in groups.items()}
    silhouettes = {count: _silhouette(places, member) for count, member in groups.items()}
    apart = {count: _count(member) for count, member in merged.items()}
    if number is not None:
        return Facets(_grouped(places, number, seed), places, silhouettes, apart)
    clear = [member for count, member in merged.items() if apart[count] > 1]
    member = max(clear, key=lambda member: _silhouette(places, member), default=_grouped(places, 1, seed))
    return Facets(member, places, silhouettes, apart)


def principal_components(codes: Tensor, most: int = _COMPONENTS) -> Tensor:
    """Codes as at most ``most`` components around their mean, largest variance first: ``[examples, components]``, float64."""
    rows = codes.double().flatten(1)
    centred = rows - rows.mean(0)
    left, sizes, right = torch.linalg.svd(centred, full_matrices=False)
    # The sign of a component is free: its largest weight is positive here, whatever the routine finds.
    signs = right.gather(1, right.abs().argmax(1, keepdim=True)).sign().flatten()
    kept = sizes > sizes.max().clamp(min=1e-300) * 1e-10
    return (left * sizes * signs)[:, kept][:, :most]


def _mapped(parts: Tensor, seed: int) -> Tensor:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    report(0, 1, "map of the codes")
    perplexity = max(1.0, min(_PERPLEXITY, (len(parts) - 1) / 3))
    start = parts[:, :2] if parts.shape[1] > 1 else torch.nn.functional.pad(parts, (0, 1))
    start = 1e-4 * start / start[:, 0].std()
    with threadpool_limits(1):  # Sums over threads would depend on how many there are.
        given = start.float().numpy()
        tsne = TSNE(2, perplexity=perplexity, init=given, random_state=_number(seed), max_iter=500)
        found = torch.from_numpy(tsne.fit_transform(parts.numpy())).double()
    report(1, 1, "map of the codes")
    return found


def _grouped(places: Tensor, number: int, seed: int) -> Tensor:
    """The group of each place, the largest group first."""
    from sklearn.cluster import KMeans

    if number == 1:
        return torch.zeros(len(places), dtype=torch.long)
    return _by_size(torch.from_numpy(KMeans(number, n_init=4, random_state=_number(seed)).fit(places.numpy()).labels_))


def _merged(parts: Tensor, member: Tensor, seed: int) -> Tensor:
    """Groups of which each two are apart: the two that are so least are put together until all are."""
    half = torch.randperm(len(parts), generator=generator(seed, "halves", parts)) % 2
    levels: dict[tuple[int, int], float] = {}
    while True:
        groups = member.unique().tolist()
        for pair in itertools.combinations(groups, 2):
            if pair not in levels:
                rows = (member == pair[0]) | (member == pair[1])
                levels[pair] = _valley(parts[rows], member[rows] == pair[1], half[rows])
        least = max(itertools.combinations(groups, 2), key=lambda pair: levels[pair], default=None)
        if least is None or levels[least] < _LEVEL:
            return _by_size(member)
        member = torch.where(member == least[1], least[0], member)
        levels = {pair: level for pair, level in levels.items() if not set(pair) & set(least)}


def _by_size(member: Tensor) -> Tensor:
    """Groups numbered from the largest on."""
    _, member, sizes = member.unique(return_inverse=True, return_counts=True)
    return sizes.argsort(descending=True, stable=True).argsort()[member]


def _count(member: Tensor) -> int:
    return int(member.max()) + 1


def _silhouette(places: Tensor, member: Tensor) -> float:
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(places.numpy(), member.numpy()))


def _valley(parts: Tensor, second: Tensor, half: Tensor) -> float:
    """How likely so few rows would lie between the middles of two groups if there were one mode.

    Each row is placed on the line from one middle (0) to the other (1) of the half that it is not in. Of a density with one
    mode the middle third holds at least as much as one of the thirds around the ends.
    """
    from scipy.stats import binom

    along = torch.full((len(parts),), torch.nan, dtype=torch.float64)
    for side in (0, 1):
        others = half != side
        if not bool((others & second).any()) or not bool((others & ~second).any()):
            return 1.0
        start = parts[others & ~second].mean(0)
        line = parts[others & second].mean(0) - start
        along[half == side] = (parts[half == side] - start) @ line / line.square().sum()
    left, between, right = (int(((along - centre).abs() < 1 / 6).sum()) for centre in (0.0, 0.5, 1.0))
    return max(float(binom.cdf(between, between + end, 0.5)) for end in (left, right))


def _number(seed: int) -> int:
    return seed % 2**32
