"""Region swap: cells of a layer's map are replaced by cells of another picture's, until the answer is another one.

Every step tries each free cell of the example with each free cell of the other pictures, all through the rest of the
network in one batch, and keeps the swap after which the gap is largest (goyal2019counterfactual).
"""

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.batching import evaluate_from
from pellucid.engine.goals import Goal
from pellucid.engine.judge import Limiter, SpentError
from pellucid.engine.outcomes import Limits, Outcome, Swapped


def map_layer(subject: Subject, one: Inputs, name: str | None) -> str:
    """The layer of that name, or the last one whose output is a map of several cells."""
    if name is not None:
        return name
    maps = [
        layer.name
        for layer in subject.layers(one)
        if layer.shape and len(layer.shape) == 3 and layer.shape[1:].count(1) < 2
    ]
    if not maps:
        raise NotAnswerable(f"{subject.name} has no layer with a map of cells, [channels, rows, columns]")
    return maps[-1]


def map_of(subject: Subject, inputs: Inputs, layer: str) -> Tensor:
    """The map ``[n, channels, rows, columns]`` of a layer."""
    found = torch.cat(
        [
            subject.run(inputs.rows(slice(n, n + 1)), capture=(layer,)).activations[layer].cpu()
            for n in range(len(inputs))
        ]
    )
    if found.ndim != 4:
        raise NotAnswerable(f"layer {layer!r} returns {tuple(found.shape[1:])}, not a map [channels, rows, columns]")
    return found


def swapped(subject: Subject, one: Inputs, goal: Goal, layer: str, others: Tensor, limits: Limits) -> Outcome:
    """The swaps of one example with ``others`` ``[pictures, channels, rows, columns]``, the best one at each step first."""
    given = map_of(subject, one, layer)[0]
    if others.shape[1:] != given.shape:
        raise UsageError(f"the maps differ in shape: {tuple(given.shape)} and {tuple(others.shape[1:])}")
    limiter = Limiter(limits.budget, limits.seconds)
    now, pool = given.flatten(1).clone(), others.flatten(2).movedim(1, 0).flatten(1)
    cells: list[tuple[int, int, int]] = []
    gaps, ended = [_gaps(subject, one, goal, layer, given[None], limiter)], ""
    free, left = torch.ones(now.shape[1], dtype=torch.bool), torch.ones(pool.shape[1], dtype=torch.bool)
    most = now.shape[1] if limits.most is None else min(limits.most, now.shape[1])
    try:
        while not bool(goal.met(gaps[-1]).all()) and len(cells) < most and bool(left.any()):
            pairs = torch.cartesian_prod(free.nonzero()[:, 0], left.nonzero()[:, 0]).view(-1, 2)
            found = _tried(subject, one, goal, layer, now.view(given.shape), pool, pairs, limiter)
            best = int(found.argmax())
            cell, other = pairs[best].tolist()
            now[:, cell] = pool[:, other]
            free[cell] = left[other] = False
            cells.append((cell, other // now.shape[1], other % now.shape[1]))
            gaps.append(found[best : best + 1])
    except SpentError as spent:
        ended = str(spent)
    flipped = bool(goal.met(gaps[-1]).all())
    failed = "" if flipped or ended else f"the answer stays after {len(cells)} of {now.shape[1]} regions were swapped"
    count = torch.tensor([len(cells)], dtype=torch.float64)
    segments = torch.arange(now.shape[1]).view(1, 1, *given.shape[1:])
    return Outcome(
        goal=goal,
        features=Features("region", segments),
        given=given,
        points=now.view(1, *given.shape),
        distance=count,
        kept=torch.ones(1, dtype=torch.bool),
        reason=failed or ended,
        finished=not ended,
        swapped=Swapped(torch.tensor(cells, dtype=torch.long).view(-1, 3), torch.cat(gaps)),
    )


def _gaps(subject: Subject, one: Inputs, goal: Goal, layer: str, maps: Tensor, limiter: Limiter) -> Tensor:
    limiter.spend(len(maps))
    return evaluate_from(layer, subject, one, goal, len(maps), lambda part: maps[part])


def _tried(
    subject: Subject, one: Inputs, goal: Goal, layer: str, now: Tensor, pool: Tensor, pairs: Tensor, limiter: Limiter
) -> Tensor:
    """The gap after each of the swaps."""
    limiter.spend(len(pairs))

    def maps(part: slice) -> Tensor:
        rows = now.flatten(1).expand(len(pairs[part]), -1, -1).clone()
        rows[torch.arange(len(rows)), :, pairs[part, 0]] = pool[:, pairs[part, 1]].T
        return rows.view(-1, *now.shape)

    return evaluate_from(layer, subject, one, goal, len(pairs), maps)
