"""What the networks say of the segments they have not seen, what relevance says of the networks, and what chance would."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from examples.eyes.network import BLOCKS, LENGTH, EyesNetwork, Split, splits, trained, untrained
from examples.eyes.relevance import (
    ALPHA,
    BACK,
    CLOSED,
    LRP,
    METHODS,
    OPEN,
    STRENGTH,
    by_frequency,
    by_time,
    chance_of_band,
    chance_of_electrodes,
    in_band,
    neighbours,
    numbers_of,
    positive,
    triples,
    without,
)
from scipy.stats import binomtest
from torch import Tensor

BANDS = ((0.5, 4.0), (4.0, 8.0), ALPHA, (12.0, 16.0), (16.0, 24.0), (24.0, 40.0))
UNTRAINED, RESAMPLED = 39, 2000


@dataclass(frozen=True)
class Looked:
    """The shares of all that speaks for closed eyes that lie at O1, Oz and O2, and in 8 to 12 Hz; and how often chance has as
    much: three other electrodes wherever they lie, three neighbours, another band as wide (p-values of exact tests)."""

    back: float
    alpha: float
    anywhere: float
    neighbours: float
    band: float


@dataclass(frozen=True)
class Evidence:
    """All segments that were held out, in the order of ``truth``; scores are for their own label rather than the other.

    ``margins`` are closed minus open. ``times`` [B, samples, electrodes] and ``frequencies`` [B, frequencies, electrodes] are
    by method. ``called_open`` tells by further recording how often its windows are. ``removed`` are the margins of closed
    segments when something is taken out of them, by what; ``removal`` is the chance of the one at O1, Oz and O2.
    """

    names: tuple[str, ...]
    windows: Tensor
    truth: Tensor
    margins: Tensor
    times: Mapping[str, Tensor]
    frequencies: Mapping[str, Tensor]
    looked: Mapping[str, Looked]
    untrained: tuple[Looked, ...]
    called_open: Mapping[str, float]
    removed: Mapping[str, Tensor]
    removal: float

    @property
    def right(self) -> Tensor:
        return (self.margins > 0).long() == self.truth

    def accuracy(self) -> tuple[float, float, float]:
        """The share of segments answered right, with the Wilson interval of as many independent ones."""
        hits, count = int(self.right.sum()), len(self.right)
        low, high = binomtest(hits, count).proportion_ci(method="wilson")
        return hits / count, low, high

    def interval(self, measured: Callable[[Tensor], float], scores: Tensor) -> tuple[float, float]:
        """95 % of what is measured on the closed segments, when their blocks of ten seconds are drawn again."""
        blocks = scores[self.truth == CLOSED].chunk(BLOCKS)
        draws = np.random.default_rng(0).integers(BLOCKS, size=(RESAMPLED, BLOCKS))
        low, high = np.percentile([measured(torch.cat([blocks[n] for n in draw])) for draw in draws], [2.5, 97.5])
        return float(low), float(high)


def gather(signals: Sequence[Tensor], names: tuple[str, ...], tasks: Mapping[str, Tensor]) -> Evidence:
    """Train a network for every split of the two recordings (open, closed), and ask all there is to ask."""
    parts = list(splits(signals))
    networks = [trained(part.known, part.known_labels) for part in parts]
    pairs = list(zip(networks, parts, strict=True))
    methods = (*METHODS, STRENGTH)
    times = {name: _own(pairs, lambda net, x, label, m=name: by_time(m, net, x, label, names)) for name in methods}
    frequencies = {name: _own(pairs, lambda net, x, label, m=name: by_frequency(m, net, x, label)) for name in methods}
    truth = torch.cat([part.unseen_labels for part in parts])
    closed = truth == CLOSED
    removed, removal = _removals(pairs, names)
    return Evidence(
        names=names,
        windows=torch.cat([part.unseen for part in parts]),
        truth=truth,
        margins=torch.cat([margin(network, part.unseen) for network, part in pairs]),
        times=times,
        frequencies=frequencies,
        looked={name: looked(times[name][closed], frequencies[name][closed], names) for name in methods},
        untrained=tuple(_untrained(parts, names, seed) for seed in range(1, UNTRAINED + 1)),
        called_open={run: _called_open(networks, signal) for run, signal in tasks.items()},
        removed=removed,
        removal=removal,
    )


def margin(network: EyesNetwork, windows: Tensor) -> Tensor:
    """Closed minus open, [B]."""
    logits = network(windows)
    return logits[:, CLOSED] - logits[:, OPEN]


def looked(times: Tensor, frequencies: Tensor, names: Sequence[str]) -> Looked:
    """Where these scores of segments with closed eyes lie."""
    by_electrode, by_hertz, back = positive(times, 1), positive(frequencies, 2), numbers_of(BACK, names)
    return Looked(
        back=float(by_electrode[sorted(back)].sum() / by_electrode.sum()),
        alpha=float(by_hertz[in_band(ALPHA)].sum() / by_hertz.sum()),
        anywhere=chance_of_electrodes(by_electrode, back, triples(names)),
        neighbours=chance_of_electrodes(by_electrode, back, neighbours(names)),
        band=chance_of_band(by_hertz),
    )


def _own(pairs: Sequence[tuple[EyesNetwork, Split]], scored: Callable[[EyesNetwork, Tensor, int], Tensor]) -> Tensor:
    """Scores of every held-out segment for its own label, in the order of the splits."""
    return torch.cat(
        [
            scored(network, part.unseen[part.unseen_labels == label], label)
            for network, part in pairs
            for label in (OPEN, CLOSED)
        ]
    )


def _untrained(parts: Sequence[Split], names: Sequence[str], seed: int) -> Looked:
    network = untrained(len(names), seed)
    closed = torch.cat([part.unseen[part.unseen_labels == CLOSED] for part in parts])
    return looked(by_time(LRP, network, closed, CLOSED, names), by_frequency(LRP, network, closed, CLOSED), names)


def _called_open(networks: Sequence[EyesNetwork], signal: Tensor) -> float:
    windows = torch.stack([window for window in signal.split(LENGTH) if len(window) == LENGTH])
    return float(torch.stack([margin(network, windows) < 0 for network in networks]).double().mean())


def _removals(pairs: Sequence[tuple[EyesNetwork, Split]], names: Sequence[str]) -> tuple[dict[str, Tensor], float]:
    """Margins of closed segments without a band everywhere, or without 8 to 12 Hz at O1, Oz and O2, and the share of all
    neighbouring triples whose removal lowers the mean margin at least as much as that of these three."""

    def mean(band: tuple[float, float], electrodes: frozenset[int] | None = None) -> Tensor:
        chosen = None if electrodes is None else sorted(electrodes)
        return torch.cat(
            [margin(net, without(part.unseen[part.unseen_labels == CLOSED], band, chosen)) for net, part in pairs]
        )

    back, groups = numbers_of(BACK, names), neighbours(names)
    removed = {"nothing": torch.cat([margin(net, part.unseen[part.unseen_labels == CLOSED]) for net, part in pairs])}
    removed |= {f"{low:g} to {high:g} Hz everywhere": mean((low, high)) for low, high in BANDS}
    removed["8 to 12 Hz at O1, Oz, O2"] = mean(ALPHA, back)
    each = [mean(ALPHA, group).mean() for group in groups]
    lowest = removed["8 to 12 Hz at O1, Oz, O2"].mean()
    return removed, float(np.mean([float(other) <= float(lowest) for other in each]))
