"""Diverse counterfactuals: several ways to another decision that differ from each other (mothilal2020explaining).

Each search after the first may not use some feature that an earlier way depends on, so that ways are found that people
for whom the first is closed can go. Of all that were found, those are chosen that are near and far apart: the set with the
largest ``diversity · det K − proximity · mean distance``, K being 1 / (1 + distance) between two of them.
"""

import torch
from torch import Tensor

from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.counterfactual_search import Search
from pellucid.engine.goals import Goal
from pellucid.engine.judge import Best, Judge
from pellucid.engine.outcomes import Limits, Outcome
from pellucid.engine.search_space import SearchSpace

_POOL = 3
_JITTER = 1e-4


def diverse(
    subject: Subject,
    one: Inputs,
    goal: Goal,
    space: SearchSpace,
    features: Features,
    limits: Limits,
    number: int,
    proximity: float,
    diversity: float,
) -> Outcome:
    """``number`` points that reach the goal, nearest first; where fewer are found, the closest attempt stands for others."""
    pool, closest, ended = _pool(subject, one, goal, space, limits, number)
    chosen = pool[_chosen(space, pool, number, proximity, diversity)] if len(pool) else pool
    chosen = chosen[space.cost(chosen).argsort(stable=True)]
    missing = number - len(chosen)
    offsets = torch.cat([chosen, closest.expand(missing, -1)])
    points = space.points(offsets)
    exact = space.offsets(points)
    fine = torch.arange(number) < len(chosen)
    found = f"{len(chosen)} of {number} different ones were found" if missing else ""
    return Outcome(
        goal=goal,
        features=features,
        given=one.value[0],
        points=points,
        distance=space.cost(exact),
        kept=space.kept(exact, limits.most) & fine,
        reason="; ".join(part for part in (found, ended) if part),
        finished=not ended,
    )


def _pool(
    subject: Subject, one: Inputs, goal: Goal, space: SearchSpace, limits: Limits, number: int
) -> tuple[Tensor, Tensor, str]:
    """Ways with different features closed, ``[n, elements]``; the closest attempt; and which limit ended the search."""
    count = int(space.features.max()) + 1
    waiting = [torch.zeros(count, dtype=torch.bool)]
    known: set[tuple[int, ...]] = {()}
    found: list[Tensor] = []
    closest, ended, passes = torch.zeros_like(space.origin), "", limits.budget
    share = max(2, limits.budget // (_POOL * number))
    while waiting and len(found) < _POOL * number and passes > 1:
        closed = waiting.pop(0)
        best = Best(space, limits.most)
        judge = Judge(subject, one, goal, best, min(share, passes), limits.seconds)
        search = Search(judge, space.only(~closed), limits.most, getattr(subject.task, "reference", None))
        search.run()
        passes -= judge.passes
        ended = search.reason if best.offsets is None and search.reason else ended
        if best.offsets is None:
            closest = closest if best.closest is None or found else best.closest
            continue
        found.append(best.offsets)
        for feature in _depended_on(space, best.offsets):
            following = closed.clone()
            following[feature] = True
            key = tuple(following.nonzero()[:, 0].tolist())
            if key not in known:
                known.add(key)
                waiting.append(following)
    if not found:
        return torch.empty(0, len(space.origin), dtype=torch.float64), closest, ended
    return torch.stack(found).unique(dim=0), found[0], ended


def _depended_on(space: SearchSpace, offsets: Tensor) -> list[int | Tensor]:
    """What may be closed next: the changed features one by one, the costliest first; all at once where they are many."""
    spent = torch.zeros(int(space.features.max()) + 1, dtype=torch.float64)
    spent.index_add_(0, space.features, offsets.abs())
    changed = spent.nonzero()[:, 0]
    if len(changed) > _POOL * 4:
        return [changed]
    return changed[spent[changed].argsort(descending=True, stable=True)].tolist()


def _chosen(space: SearchSpace, pool: Tensor, number: int, proximity: float, diversity: float) -> list[int]:
    """Rows of the pool, added one by one, then exchanged as long as that is better."""
    size = int(space.features.max()) + 1
    near = space.cost(pool) / size
    kernel = 1 / (1 + torch.stack([space.cost(pool - row) for row in pool]) / size)
    kernel += _JITTER * torch.eye(len(pool), dtype=torch.float64)

    def worth(rows: list[int]) -> float:
        return diversity * float(torch.linalg.det(kernel[rows][:, rows])) - proximity * float(near[rows].mean())

    chosen: list[int] = []
    while len(chosen) < min(number, len(pool)):
        rest = [row for row in range(len(pool)) if row not in chosen]
        chosen.append(max(rest, key=lambda row: worth([*chosen, row])))
    better = True
    while better:
        rest = [row for row in range(len(pool)) if row not in chosen]
        others = [[*chosen[:n], row, *chosen[n + 1 :]] for n in range(len(chosen)) for row in rest]
        best = max(others, key=worth, default=chosen)
        better = worth(best) > worth(chosen) + 1e-12
        chosen = best if better else chosen
    return chosen
