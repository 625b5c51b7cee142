"""What a layer's channels do over a data set, from one pass: the strongest places, moments, correlations,
distributions."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.subject import Subject
from pellucid.engine.dataset import DataSet
from pellucid.engine.distribution import Distribution
from pellucid.engine.moments import Moments
from pellucid.engine.strongest import Strongest
from pellucid.engine.units import UnitLayer, layers_at
from pellucid.engine.walking import Seen, as_it_is, layer_names, walk
from pellucid.store.activations import ActivationStore, Key

# Correlations of more channels than this take more than 128 MB per layer, and are left out.
_CORRELATED = 4096
_SAVED_EVERY = 10.0


class LayerSummary:
    """Everything a page about a layer's channels needs to know of a data set, without its activations.

    ``strongest`` holds the ``k`` examples in which each channel is strongest, with the place where; ``peaks`` how the
    strongest value of each example is distributed. ``moments`` are over all places of all examples, ``drawn`` and
    ``values`` (correlations and the distribution) over ``places`` of each example drawn at random, all where it has no
    more. ``lowest`` is the smallest value of each channel anywhere. ``drawn`` is None where a layer has more than 4096
    channels.
    """

    def __init__(self, layer: UnitLayer, k: int = 9, places: int = 16, seed: int = 0) -> None:
        self.layer, self._places, self._seed = layer, places, seed
        self.done = 0
        self.strongest = Strongest(layer.channels, k)
        self.moments = Moments(layer.channels)
        self.drawn = Moments(layer.channels, covariance=True) if layer.channels <= _CORRELATED else None
        self.peaks, self.values = Distribution(layer.channels), Distribution(layer.channels)
        self.lowest = torch.full((layer.channels,), torch.inf)

    @property
    def highest(self) -> Tensor:
        """The largest value of each channel, ``[channels]``."""
        return self.strongest.values[:, 0]

    @property
    def constant(self) -> Tensor:
        """True for each channel that is the same everywhere, ``[channels]``."""
        return self.lowest == self.highest

    def correlation(self) -> Tensor | None:
        """The correlation of each pair of channels over the places drawn, NaN where one is constant."""
        return None if self.drawn is None else self.drawn.correlation()

    def similar(self, channel: int, number: int = 9) -> list[tuple[int, float]]:
        """The other channels that correlate most with one, and how much: none where it is constant, or nothing is
        known."""
        correlation = self.correlation()
        if correlation is None:
            return []
        row = correlation[channel].clone()
        row[channel] = torch.nan
        order = row.nan_to_num(-torch.inf).argsort(descending=True, stable=True)[:number].tolist()
        return [(other, float(row[other])) for other in order if not row[other].isnan()]

    def take(self, seen: Seen) -> None:
        """Take in the next examples."""
        values, codes = seen.peaks()
        self.strongest.add(values, codes)
        self.peaks.add(values.T)
        self.moments.add(seen.valid_places())
        self.lowest = torch.minimum(self.lowest, seen.lowest())
        drawn = torch.cat([seen.places[row][:, places].T for row, places in seen.drawn(self._places, self._seed)])
        self.values.add(drawn.T)
        if self.drawn is not None:
            self.drawn.add(drawn)
        self.done += len(values)

    def state(self) -> dict[str, Tensor]:
        """Everything that is known, to go on from."""
        parts = {f"{name}.{key}": tensor for name, part in self._parts() for key, tensor in part.state().items()}
        return {**parts, "lowest": self.lowest, "done": torch.tensor(self.done)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        for name, part in self._parts():
            part.restore({key.partition(".")[2]: value for key, value in state.items() if key.startswith(f"{name}.")})
        self.lowest, self.done = state["lowest"], int(state["done"])

    def _parts(self) -> list[tuple[str, Any]]:
        names = ("strongest", "moments", "drawn", "peaks", "values")
        return [(name, getattr(self, name)) for name in names if getattr(self, name) is not None]


def summarise(
    subject: Subject,
    data: Any,
    layers: Sequence[str],
    store: ActivationStore | None = None,
    *,
    k: int = 9,
    places: int = 16,
    seed: int = 0,
    every: float = _SAVED_EVERY,
) -> dict[str, LayerSummary]:
    """What the channels of layers (names or patterns) do over a data set, in one pass.

    With a store what is known is kept after so many seconds (``every``) and at the end, so a pass that was killed goes
    on, and what was summed up before takes no pass.
    """
    if k < 1 or places < 1:
        raise UsageError(f"k={k}, places={places}: at least one of each")
    subject = as_it_is(subject)
    data = data if isinstance(data, DataSet) else DataSet(subject, data)
    one = data.inputs([0])
    names = layer_names(subject, one, layers)
    keys = {name: Key(subject.fingerprint, name, data.digest, ("summary", k, places, seed)) for name in names}
    known = {} if store is None else {name: layer for name, key in keys.items() if (layer := _layer(store, key))}
    known |= {layer.name: layer for layer in layers_at(subject, one, [name for name in names if name not in known])}
    made = {}
    for name, key in keys.items():
        told = {"name": subject.name, "examples": len(data), **dataclasses.asdict(known[name])}
        made[name] = _Kept(LayerSummary(known[name], k, places, seed), store, key, told, every)
    walk(subject, data, list(made.values()), "activations")
    return {name: kept.summary for name, kept in made.items()}


def _layer(store: ActivationStore, key: Key) -> UnitLayer | None:
    """A layer as it was when its summary was begun, so that no pass has to tell."""
    told = store.facts(key)
    return UnitLayer(key.layer, told["kind"], tuple(told["shape"]), told["axis"]) if told else None


@dataclass
class _Kept:
    """A summary that goes on from what the store has, and is kept there now and then."""

    summary: LayerSummary
    store: ActivationStore | None
    key: Key
    told: dict[str, Any]
    every: float

    def __post_init__(self) -> None:
        self.layer, self._saved = self.summary.layer, time.monotonic()
        state = None if self.store is None else self.store.state(self.key)
        if state is not None:
            self.summary.restore(state)

    @property
    def done(self) -> int:
        return self.summary.done

    def take(self, seen: Seen) -> None:
        self.summary.take(seen)
        if self.store is None:
            return
        if self.done == self.told["examples"] or time.monotonic() - self._saved >= self.every:
            self.store.begin(self.key, self.told)
            self.store.keep_state(self.key, self.summary.state())
            self._saved = time.monotonic()
