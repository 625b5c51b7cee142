"""The neighbourhood of an example by kind of input: which rows around it LIME draws, and what each of them weighs."""

import math
from typing import Literal

import torch
from scipy import special
from torch import Generator, Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.spec import Modality
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine import sampling
from pellucid.engine.designs import EveryMask, order_for, orthogonal_pairs, sized
from pellucid.engine.sampling import Draws, Neighbourhood, Weights

Preset = Literal["balanced", "lime", "captum"]

_WORTH_PAIRING = 0.5


def around(
    subject: Subject,
    inputs: Inputs,
    features: Features,
    hidden: Tensor | None,
    row: int,
    samples: int,
    source: Generator,
    preset: Preset,
    width: float | None,
) -> Neighbourhood:
    """At most ``samples`` rows around one example, itself included; ``hidden`` is None where a table is drawn anew."""
    point, segments = inputs.value[row], features.segments[row]
    number = int(segments.max()) + 1
    if hidden is not None:
        removes = subject.task.modality in (Modality.TEXT, Modality.SEQUENCE)
        weights = _by_share_shown(removes, width)
        if preset == "captum":
            return _captum(point, hidden[row], segments, samples, source, width)
        if preset == "balanced":
            return _balanced(point, hidden[row], segments, samples, source, weights, removes)
        draw = sampling.removals(number) if removes else sampling.coin_flips(number)
        draws = Draws(samples, torch.ones(number, dtype=torch.bool), draw, source)
        return sampling.shown_and_hidden(point, hidden[row], segments, draws, weights)
    reference = getattr(subject.task, "reference", None)
    width = 0.75 * math.sqrt(number) if width is None else width
    if reference is not None:
        nearby = _by_distance(torch.ones(number, dtype=torch.float64), width)
        return sampling.same_quartiles(point, reference, segments, samples, source, nearby)
    if int((segments >= 0).sum()) != number:
        raise NotAnswerable(
            "without reference rows every column is a feature of its own; give the task reference rows or name a baseline"
        )
    order = segments[segments >= 0].argsort(stable=True)
    nearby = _by_distance(point[segments >= 0][order].double(), width)
    return sampling.standard_normal(point, segments, samples, source, nearby)


def _balanced(
    point: Tensor, hidden: Tensor, segments: Tensor, samples: int, source: Generator, weights: Weights, removes: bool
) -> Neighbourhood:
    """The least work for the same long run: all masks where they are few; masks and their complements where most of them
    weigh much; else masks of as many features as their weight asks for, which then all weigh the same."""
    number = int(segments.max()) + 1
    everything = torch.ones(number, dtype=torch.bool)
    shown = torch.arange(number + 1, dtype=torch.float64)
    ways = _log_binomial(number, shown)
    chances = (shown < number).double() / number if removes else (ways - number * math.log(2)).exp()
    by_size = weights((torch.arange(number)[None] < shown[:, None]).double())
    if 2**number <= samples:
        of_one = chances * by_size / ways.exp()
        every = EveryMask(number)
        return sampling.shown_and_hidden(
            point, hidden, segments, every, lambda rows: of_one[rows.sum(1).long()] * 2**number, exact=True
        )
    share = (chances @ by_size).square() / (chances @ by_size.square())
    rows = max(2, samples - 1)
    if not removes and share > _WORTH_PAIRING:
        draws = Draws(rows // 2 * 2, everything, orthogonal_pairs(number), source, opens=False)
        step = 2 * order_for(number)
        return sampling.shown_and_hidden(point, hidden, segments, draws, weights, together=2, step=step)
    draws = Draws(rows, everything, sized(number, chances * by_size), source, opens=False)
    return sampling.shown_and_hidden(point, hidden, segments, draws, lambda rows: torch.ones(len(rows)).double())


def _captum(
    point: Tensor, hidden: Tensor, segments: Tensor, samples: int, source: Generator, width: float | None
) -> Neighbourhood:
    """Coin flips without the example itself, weighed by the cosine distance between the points that they stand for."""
    number = int(segments.max()) + 1
    draws = Draws(samples, torch.ones(number, dtype=torch.bool), sampling.coin_flips(number), source, opens=False)
    groups = torch.where(segments < 0, number, segments).expand_as(point).reshape(-1)
    shown, empty = point.double().reshape(-1), hidden.double().reshape(-1)

    def by_feature(values: Tensor) -> Tensor:
        return torch.zeros(number + 1, dtype=torch.float64).index_add_(0, groups, values)

    square, across, square_hidden = by_feature(shown * shown), by_feature(shown * empty), by_feature(empty * empty)

    def weights(rows: Tensor) -> Tensor:
        rows = torch.cat([rows, torch.ones(len(rows), 1, dtype=torch.float64)], 1)
        product = rows @ square + (1 - rows) @ across
        lengths = (rows @ square + (1 - rows) @ square_hidden).sqrt() * square.sum().sqrt()
        return _kernel(1 - torch.where(lengths > 0, product / lengths, 0.0), 1.0 if width is None else width)

    return sampling.shown_and_hidden(point, hidden, segments, draws, weights)


def _by_share_shown(hundredfold: bool, width: float | None) -> Weights:
    """The kernel on the cosine distance between a mask and the mask that shows everything."""
    scale, usual = (100.0, 25.0) if hundredfold else (1.0, 0.25)
    width = usual if width is None else width
    return lambda rows: _kernel(scale * (1 - rows.mean(1).sqrt()), width)


def _by_distance(instance: Tensor, width: float) -> Weights:
    return lambda rows: _kernel((rows - instance).square().sum(1).sqrt(), width)


def _kernel(distance: Tensor, width: float) -> Tensor:
    return (-((distance / width) ** 2)).exp().sqrt()


def _log_binomial(number: int, chosen: Tensor) -> Tensor:
    return torch.from_numpy(
        special.gammaln(number + 1) - special.gammaln(chosen.numpy() + 1) - special.gammaln(number - chosen.numpy() + 1)
    )
