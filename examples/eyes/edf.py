"""Recordings in the European Data Format (EDF, EDF+): electrodes over time, read without a dependency."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

_FIELDS = (
    16,
    80,
    8,
    8,
    8,
    8,
    8,
    80,
    8,
    32,
)  # bytes per signal: name, transducer, unit, four limits, filter, samples, –
_ANNOTATIONS = "EDF Annotations"


@dataclass(frozen=True)
class Recording:
    """``signals`` [channels, samples] in ``unit`` at ``rate`` Hz; ``events`` are (onset, duration, text) in seconds."""

    signals: np.ndarray
    names: tuple[str, ...]
    rate: float
    unit: str
    events: tuple[tuple[float, float, str], ...]


def read_edf(path: Path) -> Recording:
    """The recording in a file whose signals share one rate; a file of another size than its header says is refused."""
    content = path.read_bytes()
    head = content[:256].decode("latin-1")
    if len(head) < 256 or len(content) < 256 * (int(head[252:256]) + 1):
        raise ValueError(f"{path.name} has {len(content)} bytes, and ends within its header: it is cut or damaged")
    records, seconds, count = int(head[236:244]), float(head[244:252]), int(head[252:256])
    names, _, units, *limits, _, samples, _ = _per_signal(content[256:], count)
    lengths = [int(text) for text in samples]
    start, wanted = int(head[184:192]), 256 * (count + 1) + 2 * records * sum(lengths)
    if start != 256 * (count + 1) or len(content) != wanted:
        raise ValueError(f"{path.name} has {len(content)} bytes, its header says {wanted}: it is cut or damaged")
    values = np.frombuffer(content, "<i2", offset=start).reshape(records, -1)
    parts = dict(enumerate(np.split(values, np.cumsum(lengths)[:-1], axis=1)))
    notes = [parts.pop(number) for number, name in enumerate(names) if name == _ANNOTATIONS]
    (rate,) = {lengths[number] / seconds for number in parts}
    (unit,) = {units[number] for number in parts}
    signals = np.stack([_physical(part.ravel(), [float(limit[n]) for limit in limits]) for n, part in parts.items()])
    events = tuple(event for part in notes for record in part for event in _events(record.tobytes()))
    return Recording(signals, tuple(names[number].strip(".") for number in parts), rate, unit, events)


def _per_signal(block: bytes, count: int) -> list[list[str]]:
    """The header's fields, each a list with one entry per signal."""
    fields, place = [], 0
    for width in _FIELDS:
        texts = [block[place + width * n : place + width * (n + 1)].decode("latin-1").strip() for n in range(count)]
        fields.append(texts)
        place += width * count
    return fields


def _physical(digital: np.ndarray, limits: list[float]) -> np.ndarray:
    low, high, digital_low, digital_high = limits
    return (digital - digital_low) * ((high - low) / (digital_high - digital_low)) + low


def _events(record: bytes) -> list[tuple[float, float, str]]:
    """Lists end with byte 0, fields with byte 20; a list without a text is the record's time stamp."""
    found = []
    for line in record.split(b"\x00"):
        when, *texts = line.decode("utf-8").split("\x14")
        onset, _, duration = when.partition("\x15")
        found += [(float(onset), float(duration or 0), text) for text in texts if text]
    return found
