"""Activations of layers over a data set, kept on disk: which rows, and how many bytes."""

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from pellucid.core.errors import UsageError, nearest
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.dataset import DataSet
from pellucid.engine.strongest import places_of
from pellucid.engine.units import UnitLayer, layers_at
from pellucid.engine.walking import Seen, as_it_is, layer_names, walk
from pellucid.store.activations import Activations, ActivationStore, Key, Precision

Keep = Literal["all", "max", "mean", "sample"]
# A shard is closed after about this many bytes, examples or seconds, so that a kill loses little and files are few.
_BYTES, _EXAMPLES, _SECONDS = 32 * 1024 * 1024, 256, 10.0
_ADVICE = (
    "keep only the max, the mean or a sample of each layer, name fewer layers or examples, keep float16, or raise the "
    "budget"
)


def record(
    subject: Subject,
    data: Any,
    layers: Sequence[str],
    store: ActivationStore,
    *,
    keep: Keep = "all",
    sample: int = 16,
    precision: Precision = "float32",
    seed: int = 0,
) -> dict[str, Activations]:
    """Keep the activations of layers (names or patterns) over a data set, and read them.

    Of a layer with many places ``all`` of them are kept, a row each, only each channel's strongest (``max``) or
    ``mean``, a row per example, or a ``sample`` of so many places per example. What is in the store already is not
    computed again; what is begun is carried on.
    """
    subject = as_it_is(subject)
    data = data if isinstance(data, DataSet) else DataSet(subject, data)
    kept = _Kept(keep, sample, precision, seed)
    one = data.inputs([0])
    names = layer_names(subject, one, layers)
    keys = {name: Key(subject.fingerprint, name, data.digest, kept.key()) for name in names}
    store.keep_names(data.digest, data.names)
    missing = layers_at(subject, one, [name for name in names if not store.whole(keys[name])])
    if missing:
        sizes = {keys[layer.name]: _size(layer, data, one, kept) for layer in missing}
        present = {key: store.activations(key).size for key in keys.values() if key not in sizes}
        store.make_room(sizes | present, _ADVICE)
        sinks = []
        for layer in missing:
            key = keys[layer.name]
            store.begin(key, {"name": subject.name, "examples": len(data), **dataclasses.asdict(layer)})
            each = max(1, min(_EXAMPLES, _BYTES * len(data) // sizes[key]))
            sinks.append(_Rows(layer, kept, store, key, len(data), each))
        walk(subject, data, sinks, "activations")
    return {name: store.activations(key) for name, key in keys.items()}


@dataclass(frozen=True)
class _Kept:
    """Which rows are kept of a layer, and in which precision."""

    keep: Keep
    sample: int
    precision: Precision
    seed: int

    def __post_init__(self) -> None:
        for name, value, known in (("keep", self.keep, Keep), ("precision", self.precision, Precision)):
            if value not in get_args(known):
                raise UsageError(f"{name}={value!r}: {nearest(str(value), get_args(known))}")
        if self.sample < 1:
            raise UsageError(f"sample={self.sample}: at least one place per example")

    def key(self) -> tuple[Any, ...]:
        """All of it that decides what the rows are."""
        return (self.keep, self.precision, *((self.sample, self.seed) if self.keep == "sample" else ()))

    def rows(self, seen: Seen) -> dict[str, Tensor]:
        """The rows of some examples."""
        numbers = torch.arange(seen.first, seen.first + len(seen.places))
        if self.keep == "max":
            values, codes = seen.peaks()
            return {"values": values, "examples": numbers, "places": places_of(codes).int()}
        if self.keep == "mean":
            return {"values": seen.means(), "examples": numbers}
        drawn = list(seen.drawn(self.sample if self.keep == "sample" else None, self.seed))
        return {
            "values": torch.cat([seen.places[row][:, places].T for row, places in drawn]),
            "examples": torch.cat([numbers[row].expand(len(places)) for row, places in drawn]),
            "places": torch.cat([places for _, places in drawn]).int(),
        }


class _Rows:
    """Rows of one layer on their way to the disk, a shard of about ``each`` examples at a time."""

    def __init__(self, layer: UnitLayer, kept: _Kept, store: ActivationStore, key: Key, total: int, each: int) -> None:
        self.layer, self._kept, self._store, self._key = layer, kept, store, key
        self._total, self._each = total, each
        self._parts: list[dict[str, Tensor]] = []
        self._saved = self.done = store.done(key)
        self._since = time.monotonic()

    def take(self, seen: Seen) -> None:
        rows = self._kept.rows(seen)
        values = rows["values"].to(getattr(torch, self._kept.precision))
        if not bool(values.isfinite().all()):
            raise UsageError(f"layer {self.layer.name!r} has values too large for float16; keep it in float32")
        self._parts.append({**rows, "values": values})
        self.done += len(seen.places)
        late = time.monotonic() - self._since >= _SECONDS
        if late or self.done - self._saved >= self._each or self.done == self._total:
            body = {name: torch.cat([part[name] for part in self._parts]) for name in rows}
            self._store.append(self._key, self._saved, self.done, body)
            self._saved, self._parts, self._since = self.done, [], time.monotonic()


def _size(layer: UnitLayer, data: DataSet, one: Inputs, kept: "_Kept") -> int:
    """The bytes that rows of a layer will take."""
    rows = len(data)
    if kept.keep in ("all", "sample"):
        places = math.prod(layer.extent)
        padded = one.mask is not None and places == one.mask.shape[1]
        counts = data.lengths if padded else [places] * len(data)
        rows = sum(min(kept.sample, count) for count in counts) if kept.keep == "sample" else sum(counts)
    width = 4 if kept.precision == "float32" else 2
    return rows * (layer.channels * (width + (4 if kept.keep == "max" else 0)) + 12)
