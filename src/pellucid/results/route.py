"""A route: the channels that carry a decision through a network, layer by layer, and what happens without them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result
from pellucid.results.attribution import named

NETWORKS = ("whole network", "route only", "without the route", "nothing")
_STRONGEST = 3


@record
@dataclass(frozen=True, eq=False)
class RouteLayer:
    """The part of a route in one layer, whose output has the ``shape`` (without the batch axis).

    ``kept`` ``[batch, channels]`` are the channels of the route; ``relevance``, of the same shape, is what flows through
    them within it, 0 elsewhere; ``share`` ``[batch]`` is the part they had of the layer's relevance in the whole network.
    ``links`` ``[n, 3]`` are triples of example, channel of this layer and channel of the layer before; ``flow`` ``[n]``
    is how much of the first one's relevance comes from the second. ``crossed``: every path through the network goes
    through this layer, so that nothing passes by it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    crossed: bool
    kept: Tensor
    relevance: Tensor
    share: Tensor
    links: Tensor
    flow: Tensor

    @property
    def channels(self) -> int:
        """How many channels the layer has."""
        return self.kept.shape[1]

    def strongest(self, example: int, count: int) -> list[int]:
        """The kept channels with the most relevance, strongest first."""
        order = self.relevance[example].abs().argsort(descending=True, stable=True).tolist()
        return [channel for channel in order if self.kept[example, channel]][:count]

    def parts(self, example: int) -> Tensor:
        """Each channel's relevance as a part of all that flows through the layer within the route: ``[channels]``."""
        relevance = self.relevance[example]
        return relevance / relevance.abs().sum().clamp(min=1e-30)


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Route(Result):
    """A small set of channels per layer that keeps a decision, all others being switched off.

    Four networks are compared: the whole one, the route only, the whole one without the route, and one in which every
    channel is switched off. ``value``, ``slack`` and ``answer`` are ``[batch, 4]``, in this order: the explained
    quantity; what is left until the decision is no longer kept, 1 for the whole network and positive as long as it is;
    and the class that comes first, −1 where outputs are not classes. ``decided`` ``[batch]`` is True where a decision
    had to stay, with at least ``share`` ``[batch]`` of its lead; elsewhere that share of the quantity had to.

    How far to trust it: ``minimal`` ``[batch]`` tells whether it was tried that no single channel of the route can be
    switched off as well; ``control`` ``[batch, 3]`` is the share of random routes of the same size in every layer that
    keep the decision, with its 95 % interval, ``control_value`` their mean quantity and ``draws`` their number.
    """

    layers: tuple[RouteLayer, ...]
    value: Tensor
    slack: Tensor
    answer: Tensor
    decided: Tensor
    share: Tensor
    minimal: Tensor
    control: Tensor
    control_value: Tensor
    draws: int
    target: Tensor | None = None
    foil: Tensor | None = None
    labels: tuple[str, ...] = ()
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        batch = len(self.value)
        if not self.layers:
            raise ValueError("a route has at least one layer")
        for name in ("value", "slack", "answer"):
            if tuple(getattr(self, name).shape) != (batch, len(NETWORKS)):
                raise ValueError(f"{name} is not [batch, {len(NETWORKS)}]")
        for name in ("decided", "share", "minimal", "control", "control_value", "target", "foil"):
            tensor = getattr(self, name)
            if tensor is not None and len(tensor) != batch:
                raise ValueError(f"{name} has {len(tensor)} examples, value has {batch}")
        for layer in self.layers:
            if len(layer.kept) != batch or layer.kept.shape != layer.relevance.shape or len(layer.share) != batch:
                raise ValueError(f"layer {layer.name!r} does not have {batch} examples")
            if tuple(layer.links.shape) != (len(layer.flow), 3):
                raise ValueError(f"layer {layer.name!r} does not have one flow per link")

    def __len__(self) -> int:
        return len(self.value)

    @property
    def kept(self) -> Tensor:
        """How many channels the route has in all layers together: ``[batch]``."""
        return sum((layer.kept.sum(1) for layer in self.layers[1:]), self.layers[0].kept.sum(1))

    @property
    def channels(self) -> int:
        """How many channels all layers together have."""
        return sum(layer.channels for layer in self.layers)

    @property
    def sufficient(self) -> Tensor:
        """Whether the route alone keeps the decision: ``[batch]``."""
        return self.slack[:, 1] > 0

    @property
    def lead(self) -> Tensor:
        """The part of the winner's lead that the route alone has, where there was a decision: ``[batch]``."""
        return self.share + self.slack[:, 1] * (1 - self.share)

    @property
    def necessary(self) -> Tensor:
        """Whether the decision is lost without the route: ``[batch]``."""
        return self.slack[:, 2] <= 0

    def question(self, example: int = 0) -> str:
        """What was asked of one example, in words."""
        target, foil = (named(index, example, self.labels) for index in (self.target, self.foil))
        return f"{target} rather than {foil}" if foil else target or "this unit"

    def answered(self, example: int, network: int) -> str:
        """The class that comes first in one of the networks; "" where outputs are not classes."""
        return named(self.answer[:, network], example, self.labels) if self.answer[example, network] >= 0 else ""

    def summary(self) -> str:
        return "\n".join([*(" ".join(self.statements(example)) for example in range(len(self))), *self.notes])

    def statements(self, example: int) -> list[str]:
        """What the route of one example is and how far to trust it, as sentences."""
        whole, alone, without, _ = (f"{value:.4g}" for value in self.value[example].tolist())
        kept, what = int(self.kept[example]), "decision" if self.decided[example] else "score"
        if not kept:
            return [
                f"{self.question(example)}: the {what} needs no channel of these layers, it is the same with all of them "
                "switched off."
            ]
        layers = f"{len(self.layers)} layer{'s' if len(self.layers) > 1 else ''}"
        lead = float(self.lead[example])
        some = f"{lead:.0%}" if lead >= 0.005 else "less than 1%"
        ahead = f", with {some} of its lead" if self.decided[example] else ""
        said = [
            f"{self.question(example)}: {kept} of {self.channels} channels in {layers} keep the {what} on their own{ahead} "
            f"(value {alone}, of {whole} in the whole network).",
            "No single one of them can be left out."
            if self.minimal[example]
            else "The budget ended before it was tried whether each of them is needed.",
        ]
        answer = self.answered(example, 2)
        lost = f"Without them the {what} is lost" if self.necessary[example] else f"The {what} also stands without them"
        said.append(f"{lost} (value {without}{f', {answer} comes first' if answer else ''}).")
        if self.draws:
            share, low, high = self.control[example].tolist()
            said.append(
                f"Of {self.draws} random routes of the same size {share:.0%} keep it (95 % interval {low:.0%} to {high:.0%})."
            )
        return said

    def table(self) -> list[dict[str, Any]]:
        rows = []
        for example in range(len(self)):
            kept = int(self.kept[example])
            counts = (self.channels, kept, self.channels - kept, 0)
            for network, (name, count) in enumerate(zip(NETWORKS, counts, strict=True)):
                stays, answer = bool(self.slack[example, network] > 0), self.answered(example, network)
                told = ", ".join(part for part in (answer, "kept" if stays else "lost") if part)
                rows.append(self._row(example, name, count, self.channels, float(self.value[example, network]), told))
            if self.draws:
                told = f"{self.control[example, 0]:.0%} of {self.draws} kept"
                value = float(self.control_value[example])
                rows.append(self._row(example, "random routes", kept, self.channels, value, told))
            for layer in self.layers:
                parts = layer.parts(example)
                told = ", ".join(f"{number} ({parts[number]:+.0%})" for number in layer.strongest(example, _STRONGEST))
                row = self._row(example, layer.name, int(layer.kept[example].sum()), layer.channels, None, told)
                rows.append(row | {"share of relevance": float(layer.share[example])})
        return rows

    @staticmethod
    def _row(example: int, part: str, kept: int, channels: int, value: float | None, told: str) -> dict[str, Any]:
        return {
            "example": example,
            "part": part,
            "kept": kept,
            "channels": channels,
            "value": value,
            "share of relevance": None,
            "detail": told,
        }
