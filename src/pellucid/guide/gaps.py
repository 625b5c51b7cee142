"""The gap matrix: where dimension, kind of input, kind of network and asker meet and no method serves, and why."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pellucid.core.spec import Access, Asker, Dimension, Modality, Structure

Record = Mapping[str, Any]


class Network(StrEnum):
    """The kinds of model that a method may be confined to; a black box gives its outputs and nothing else."""

    CONVOLUTIONAL = "convolutional"
    ATTENTION = "attention"
    RECURRENT = "recurrent"
    BLACK_BOX = "black box"


_OPEN = frozenset(Access) | {Structure.CLASS_SCORES, Structure.RELU}
_GIVES: Mapping[Network, frozenset[str]] = {
    Network.CONVOLUTIONAL: _OPEN | {Structure.CONVOLUTION},
    Network.ATTENTION: _OPEN | {Structure.ATTENTION},
    Network.RECURRENT: _OPEN | {Structure.RECURRENCE},
    Network.BLACK_BOX: frozenset({Access.OUTPUTS, Structure.CLASS_SCORES}),
}


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix: the methods that serve it, or the reason why there is none."""

    dimension: Dimension
    modality: Modality
    network: Network
    asker: Asker
    methods: tuple[str, ...]
    reason: str | None


def matrix(records: Sequence[Record]) -> tuple[Cell, ...]:
    """Every cell: dimension × modality × network × asker."""
    places = itertools.product(Dimension, Modality, Network, Asker)
    return tuple(_cell(records, *place) for place in places)


def _cell(records: Sequence[Record], dimension: Dimension, modality: Modality, network: Network, asker: Asker) -> Cell:
    """Narrow the methods down one axis after another; the axis on which the last ones drop out is the reason."""
    left = [record for record in records if dimension in record["dimensions"]]
    if not left:
        return Cell(dimension, modality, network, asker, (), f"no method speaks to the dimension {dimension}")
    for fits, reason in (
        (lambda record: modality in record["modalities"], f"not for inputs of kind {modality}"),
        (lambda record: _GIVES[network].issuperset(record["needs"]), _network_reason(network)),
        (lambda record: asker in record["askers"], f"not made for the {asker}"),
    ):
        remaining = [record for record in left if fits(record)]
        if not remaining:
            names = ", ".join(record["id"] for record in left)
            return Cell(dimension, modality, network, asker, (), f"{reason}: {names}")
        left = remaining
    return Cell(dimension, modality, network, asker, tuple(record["id"] for record in left), None)


def _network_reason(network: Network) -> str:
    if network is Network.BLACK_BOX:
        return "not for a black box, which gives outputs only"
    return f"not for {network} networks, which lack parts they need"


@dataclass(frozen=True)
class Gap:
    """Empty cells that lie together: the same dimension and reason, whatever the values on the other axes."""

    dimension: Dimension
    reason: str
    modalities: tuple[Modality, ...]
    networks: tuple[Network, ...]
    askers: tuple[Asker, ...]


def gaps(cells: Sequence[Cell]) -> tuple[Gap, ...]:
    """The empty cells, put together by dimension and reason."""
    empty: dict[tuple[Dimension, str], list[Cell]] = {}
    for cell in cells:
        if cell.reason is not None:
            empty.setdefault((cell.dimension, cell.reason), []).append(cell)
    return tuple(
        Gap(
            dimension,
            reason,
            tuple(kind for kind in Modality if any(cell.modality is kind for cell in together)),
            tuple(kind for kind in Network if any(cell.network is kind for cell in together)),
            tuple(kind for kind in Asker if any(cell.asker is kind for cell in together)),
        )
        for (dimension, reason), together in empty.items()
    )
