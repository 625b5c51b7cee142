"""What a layer's units do over data: which are silent, saturated, unused or the same as another one."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.meter import count, report
from pellucid.core.subject import Inputs, Replacement, Subject
from pellucid.engine.batching import fits_budget
from pellucid.engine.dataset import DataSet
from pellucid.engine.moments import Moments
from pellucid.engine.units import UnitLayer
from pellucid.engine.walking import Seen

# The ends of what some activations can return; None where there is none.
_ENDS: dict[str, tuple[float | None, float | None]] = {
    "Sigmoid": (0.0, 1.0),
    "Hardsigmoid": (0.0, 1.0),
    "Tanh": (-1.0, 1.0),
    "Hardtanh": (-1.0, 1.0),
    "Softsign": (-1.0, 1.0),
    "ReLU6": (None, 6.0),
}
_NEAR_END = 0.01


class UnitWatch:
    """A sink: extremes and saturation of each channel over all places, and how channels vary together over ``places`` of each
    example, drawn at random. ``rows`` keeps these places themselves, where they are asked for."""

    def __init__(self, layer: UnitLayer, places: int, keep: bool = False) -> None:
        self.layer, self._places = layer, places
        self.done, self._count = 0, 0
        self.lowest = torch.full((layer.channels,), torch.inf)
        self.highest = torch.full((layer.channels,), -torch.inf)
        self._at_end = torch.zeros(layer.channels, dtype=torch.float64)
        self.moments = Moments(layer.channels, covariance=True)
        self._kept: list[Tensor] | None = [] if keep else None

    def take(self, seen: Seen) -> None:
        """Take in the next examples."""
        everything = seen.valid_places()
        self.lowest = torch.minimum(self.lowest, everything.amin(0))
        self.highest = torch.maximum(self.highest, everything.amax(0))
        self._at_end += self._ends(everything).double().sum(0)
        self._count += len(everything)
        drawn = torch.cat([seen.places[row][:, places].T for row, places in seen.drawn(self._places, 0)])
        self.moments.add(drawn)
        if self._kept is not None:
            self._kept.append(drawn)
        self.done += len(seen.places)

    def rows(self) -> Tensor:
        """The places that were drawn, ``[rows, channels]``."""
        return torch.cat(self._kept or [])

    def silent(self) -> Tensor:
        """Channels that are the same at every place of every example, up to rounding: ``[channels]``, bool."""
        return self.highest - self.lowest <= 1e-7 * torch.maximum(self.highest.abs(), self.lowest.abs())

    def saturated(self) -> Tensor:
        """The share of places where a channel is within 1 % of an end of what its activation returns, ``[channels]``."""
        return self._at_end / max(self._count, 1)

    def duplicates(self, above: float) -> tuple[Tensor, Tensor, Tensor]:
        """Pairs ``[pairs, 2]`` of a channel and an earlier one that it repeats up to scale and offset and that repeats none,
        with their correlations and ``[pairs, 2]`` the slope and offset that make the first of the second."""
        correlation = self.moments.correlation().nan_to_num(0.0)
        correlation[self.silent()] = 0
        likely = (correlation.abs() > above).tril(-1)
        covariance, mean = self.moments.covariance(), self.moments.mean
        pairs, removed = [], set[int]()
        for later in likely.any(1).nonzero().flatten().tolist():
            kept = [earlier for earlier in likely[later].nonzero().flatten().tolist() if earlier not in removed]
            if kept:
                pairs.append((later, max(kept, key=lambda earlier: float(correlation[later, earlier].abs()))))
                removed.add(later)
        found = torch.tensor(pairs, dtype=torch.long).view(-1, 2)
        one, other = found.unbind(1)
        slope = covariance[one, other] / covariance[other, other]
        return found, correlation[one, other], torch.stack([slope, mean[one] - slope * mean[other]], 1)

    def _ends(self, values: Tensor) -> Tensor:
        low, high = _ENDS.get(self.layer.kind, (None, None))
        reach = _NEAR_END * ((high or 0.0) - (low or 0.0))
        found = torch.zeros_like(values, dtype=torch.bool)
        if low is not None:
            found |= values <= low + reach
        if high is not None:
            found |= values >= high - reach
        return found


@dataclass(frozen=True)
class Removal:
    """What takes the place of removed channels: a constant ``value`` of each where ``constant`` is True, both ``[channels]``,
    or a multiple of another channel and an offset. A network whose next weights take these up needs them no more."""

    layer: UnitLayer
    constant: Tensor
    value: Tensor
    pairs: Tensor
    fit: Tensor

    def __call__(self, output: Tensor) -> Tensor:
        """A layer's output with the removed channels replaced."""
        changed = output.clone()
        channels = changed.movedim(self.layer.axis + 1, 1)
        shape = [1, -1, *[1] * (channels.ndim - 2)]
        slope, offset = (part.to(output).view(shape) for part in self.fit.unbind(1))
        removed, kept = self.pairs.unbind(1)
        channels[:, removed] = slope * channels[:, kept] + offset
        channels[:, self.constant] = self.value[self.constant].to(output).view(shape)
        return changed


def sensitivities(
    subject: Subject, data: DataSet, layers: Sequence[UnitLayer], means: Sequence[Tensor], source: torch.Generator
) -> tuple[list[Tensor], list[Tensor]]:
    """By layer and channel: the largest absolute gradient of a random mixture of all scores anywhere, and how much the
    channel moves that mixture by what it departs from its mean, to first order, on average over the examples."""
    largest = [torch.zeros(layer.channels) for layer in layers]
    moved = [torch.zeros(layer.channels, dtype=torch.float64) for layer in layers]
    weights: Tensor | None = None
    for first, inputs in data.batches(max(1, subject.batch_size(data.inputs([0])) // 2)):
        point = inputs.value.detach().clone().requires_grad_()
        with torch.enable_grad():
            names = tuple(layer.name for layer in layers)
            run = subject.run(inputs.at(point), capture=names, differentiable=True)
            if weights is None:
                weights = torch.randn(run.scores.shape[-1], generator=source).to(run.scores)
            mixture = (run.scores * weights).sum()
        held = [run.activations[layer.name] for layer in layers]
        found = torch.autograd.grad(mixture, held, allow_unused=True)
        count(backward=len(inputs))
        for number, (layer, gradient) in enumerate(zip(layers, found, strict=True)):
            if gradient is None:
                continue
            slope, value = (layer.places(part.detach()).cpu() for part in (gradient, held[number]))
            largest[number] = torch.maximum(largest[number], slope.abs().amax((0, 2)).float())
            departure = value.double() - means[number][:, None]
            moved[number] += (slope * departure).sum(2).abs().sum(0)
        report(first + len(inputs), len(data), "gradients of units")
    return largest, [total / len(data) for total in moved]


class Effect:
    """How scores over a data set change where layers are replaced."""

    def __init__(self, subject: Subject, data: DataSet) -> None:
        self._subject, self._data = subject, data
        first = data.inputs([0])
        self._batch = subject.batch_size(first)
        # Asked many times: prepared once, where that fits.
        fits = fits_budget(4 * len(data) * first.value.numel() * first.value.element_size())
        self._held = list(data.batches(self._batch)) if fits else None
        self._scores = self._asked({})
        self._size = float(self._scores.abs().max()) or 1.0

    def __call__(self, replace: dict[str, Replacement]) -> tuple[float, Tensor]:
        """The largest change of any score relative to the largest score, and which examples get another decision; where the
        model answers with a value, which change by more than 1 % of the range of values."""
        changed = self._asked(replace)
        apart = (changed - self._scores).abs()
        if self._subject.task.output == "value" or changed.shape[-1] == 1:
            spread = self._scores.amax(0) - self._scores.amin(0)
            other = (apart > 0.01 * spread.clamp(min=1e-12)).flatten(1).any(1)
            if self._subject.task.output != "value":
                middle = 0.5 if self._subject.task.output == "probabilities" else 0.0
                other = ((changed > middle) != (self._scores > middle)).flatten(1).any(1)
        else:
            other = (changed.argmax(-1) != self._scores.argmax(-1)).view(len(changed), -1).any(1)
        return float(apart.max()) / self._size, other

    def _asked(self, replace: dict[str, Replacement]) -> Tensor:
        parts: list[Tensor] = []
        for first, inputs in self._held or self._data.batches(self._batch):
            scores = self._subject.run(inputs, replace=replace, original=True).scores.double()
            parts.append(_real(scores, inputs))
            report(first + len(inputs), len(self._data), "scores without units")
        longest = max(part.shape[1] for part in parts)
        pad = [
            torch.nn.functional.pad(part, (0, 0, 0, longest - part.shape[1])) if part.ndim == 3 else part
            for part in parts
        ]
        return torch.cat(pad)


def _real(scores: Tensor, inputs: Inputs) -> Tensor:
    """Scores of positions that are padding are no answer: 0."""
    mask = inputs.mask
    if mask is None or scores.ndim != 3 or mask.shape[1] != scores.shape[1]:
        return scores
    return scores.masked_fill(~mask[:, :, None], 0.0)
