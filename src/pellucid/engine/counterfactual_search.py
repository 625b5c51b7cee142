"""The search for the cheapest change that reaches a goal: wide first, then exact along the boundary of the decision.

What is searched is one example's space; everything that is tried goes through a judge, which keeps the limits. Starts
come from three sides: along the slopes from the example itself, from rows of reference on the other side, and from single
changes that are put together; where these find nothing, from shells around the example. Each start is pulled to the
boundary and moved along it: the goal is taken for linear where it stands, and the cheapest point that reaches the linear
goal is known in closed form.
"""

import torch
from torch import Tensor

from pellucid.core.seeds import generator
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.boundary import reached, retreated, walked
from pellucid.engine.goals import Goal
from pellucid.engine.judge import Best, Judge, SpentError
from pellucid.engine.outcomes import Limits, Outcome, outcome
from pellucid.engine.proximal import Cost, descend
from pellucid.engine.search_space import SearchSpace

_REFERENCES = 512
_CANDIDATES = 8
_ROUNDS = 60
_STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
_DESCENT = 40
_LISTED = 256
_WIDTH = 4
_DEPTH = 8
_FRACTIONS = (0.1, 0.25, 0.5, 0.75, 1.0)
_RADII = 16
_SHELL = 64
_APART = 0.4
_FEW = 64


class Search:
    """A search in one space: what it finds is in the judge's ``best``, and ``reason`` says why it ended early."""

    def __init__(self, judge: Judge, space: SearchSpace, most: int | None, reference: Tensor | None) -> None:
        self.judge, self.space, self.reason = judge, space, ""
        self._most, self._reference = most, reference

    def run(self) -> None:
        """Search until nothing gets cheaper or a limit is reached."""
        try:
            self._run()
        except SpentError as spent:
            self.reason = str(spent)

    def _run(self) -> None:
        nothing = torch.zeros(1, len(self.space.origin), dtype=torch.float64)
        start = self._gaps(nothing)
        if bool(self.judge.goal.met(start)[0]) or not bool(self.space.movable.any()):
            return
        pools = [self._from_reference(), self._put_together(), self._along_slopes(float(start[0]))]
        if int(self.space.movable.sum()) <= _FEW or not any(map(len, pools)):
            pools.append(self._from_shells())
        met = torch.cat([nothing[:0], *pools])
        if len(met):
            self._refine(met)
        if self._most is not None and self.judge.best.offsets is None and self.judge.best.closest is not None:
            self._with_few_features(met)

    def _gaps(self, offsets: Tensor) -> Tensor:
        return self.judge.gaps(self.space, offsets)

    def _met(self, offsets: Tensor, gaps: Tensor, most: int = _CANDIDATES) -> Tensor:
        """Of the rows that reach the goal the cheapest ones that lie apart."""
        return self._apart(offsets[self.judge.goal.met(gaps)], most)

    def _apart(self, offsets: Tensor, most: int = _CANDIDATES) -> Tensor:
        """The cheapest rows, without those that lie close to a cheaper one."""
        costs = self.space.cost(offsets)
        chosen: list[int] = []
        for row in costs.argsort(stable=True).tolist():
            near = self.space.cost(offsets[chosen] - offsets[row]) < _APART * costs[row]
            if len(chosen) < most and not bool(near.any()):
                chosen.append(row)
        return offsets[chosen]

    def _from_reference(self) -> Tensor:
        if self._reference is None:
            return torch.empty(0, len(self.space.origin), dtype=torch.float64)
        offsets = self.space.snapped(self.space.offsets(self._reference))
        offsets = offsets[self.space.cost(offsets).argsort(stable=True)[: min(_REFERENCES, self.judge.left // 4)]]
        return self._met(offsets, self._gaps(offsets)) if len(offsets) else offsets

    def _put_together(self) -> Tensor:
        """Single changes, put together as long as none reaches the goal: what gains most per cost first."""
        moves = self._moves()
        states = torch.zeros(1, len(self.space.origin), dtype=torch.float64)
        gaps = self._gaps(states)
        found = [states[:0]]
        for _ in range(_DEPTH if self._most is None else min(self._most, _DEPTH)):
            if not len(moves) or len(states) * len(moves) > self.judge.left // 4:
                break
            tried = torch.cat([self._with_moves(state, moves) for state in states])
            before = torch.cat(
                [torch.stack([gap, cost]).expand(len(moves), 2) for gap, cost in self._told(states, gaps)]
            )
            now = self._gaps(tried)
            found.append(self._met(tried, now))
            if len(found[-1]):
                break
            dearer = (self.space.cost(tried) - before[:, 1]).clamp(min=1e-6)
            rate = torch.where(now > before[:, 0], (now - before[:, 0]) / dearer, -torch.inf)
            # Half of those that go on gained most per cost, half came closest.
            order = [*rate.argsort(descending=True, stable=True)[:_WIDTH].tolist()]
            order += now.argsort(descending=True, stable=True)[:_WIDTH].tolist()
            chosen = list(dict.fromkeys(number for number in order if rate[number] > -torch.inf))
            states, gaps = tried[chosen], now[chosen]
            if not chosen:
                break
        return torch.cat(found)

    def _told(self, states: Tensor, gaps: Tensor) -> list[tuple[Tensor, Tensor]]:
        return list(zip(gaps, self.space.cost(states), strict=True))

    def _moves(self) -> list[tuple[Tensor, Tensor]]:
        """Elements and the offsets that they can take instead: every other choice, and steps of what is a number."""
        if len(self.space.origin) > _LISTED or not bool((self.space.high - self.space.low).isfinite().all()):
            return []
        moves = [(group, option) for group in self.space.choices for option in self.space.options(group)]
        chosen = {int(element) for group in self.space.choices for element in group}
        for element in self.space.movable.nonzero()[:, 0].tolist():
            if element in chosen:
                continue
            ends = [
                bound * part for bound in (self.space.low[element], self.space.high[element]) for part in _FRACTIONS
            ]
            rows = torch.zeros(len(ends), len(self.space.origin), dtype=torch.float64)
            rows[:, element] = torch.stack(ends)
            values = self.space.snapped(rows, outwards=True)[:, element].unique()
            moves += [(torch.tensor([element]), value[None]) for value in values if value != 0]
        return moves

    @staticmethod
    def _with_moves(state: Tensor, moves: list[tuple[Tensor, Tensor]]) -> Tensor:
        rows = state.expand(len(moves), -1).clone()
        for row, (elements, values) in zip(rows, moves, strict=True):
            row[elements] = values
        return rows

    def _along_slopes(self, start: float) -> Tensor:
        """Ends of the walk along the slopes, and of Wachter's descent from the example with growing weight of the goal."""
        nothing = torch.zeros(1, len(self.space.origin), dtype=torch.float64)
        if self.judge.cost_of_slopes(self.space) * 4 > self.judge.left:
            return nothing[:0]
        ends = [walked(self.judge, self.space, nothing)]
        if self.judge.differentiable:
            ends.append(self._descended(nothing, start))
        offsets = torch.cat(ends)
        offsets, gaps = reached(self.judge, self.space, offsets)
        return self._met(offsets, gaps)

    def _descended(self, nothing: Tensor, start: float) -> Tensor:
        """Minima of λ (gap − t)² + cost for a row of λ, t being a little beyond the goal."""
        _, slopes = self.judge.slopes(self.space, nothing)
        steepest = float(slopes.abs().max() if self.space.norm == "l1" else slopes.norm())
        if steepest == 0:
            return nothing[:0]
        goal = 0.05 * abs(start) + 2 * self.judge.goal.slack
        first = 1 / (steepest * abs(start)) if self.space.norm == "l1" else 1 / steepest**2
        strengths = first * torch.tensor(_STRENGTHS, dtype=torch.float64)
        iterations = min(_DESCENT, self.judge.left // (8 * len(strengths)))
        starts = nothing.expand(len(strengths), -1).clone()
        return wachter(self.judge, self.space, starts, strengths, goal, iterations, 1e-3)[0]

    def _from_shells(self) -> Tensor:
        """Of points in all directions, at growing distance, those of the two nearest shells that reach the goal."""
        draws = generator(0, "counterfactual", self.space.origin)
        reach = torch.where(
            self.space.movable, torch.maximum(self.space.high, -self.space.low), torch.zeros(()).double()
        )
        farthest = reach[reach.isfinite()].max() if bool(reach.isfinite().any()) else torch.tensor(64.0).double()
        number = max(1, min(_SHELL, self.judge.left // (4 * _RADII)))
        found: list[Tensor] = []
        for power in range(_RADII):
            radius = farthest * 2.0 ** (power + 1 - _RADII)
            drawn = torch.randn(number, len(reach), generator=draws, dtype=torch.float64)
            away = torch.where(self.space.movable, drawn, torch.zeros_like(drawn))
            offsets = self.space.snapped(away / away.abs().amax(1, keepdim=True) * radius)
            found += [good for good in (self._met(offsets, self._gaps(offsets)),) if len(good)]
            if len(found) == 2:
                break
        return torch.cat([offsets[:0], *found])

    def _refine(self, met: Tensor) -> None:
        """Move starts along the boundary, then settle what is not continuous, then take back what is not needed."""
        starts = self._apart(met)
        ends = retreated(self.judge, self.space, starts, _ROUNDS)
        if not bool(self.space.discrete.any()):
            self._take_back(ends[self.space.cost(ends).argsort(stable=True)[:2]])
            return
        self._settle(torch.cat([ends, starts]))
        if self.judge.best.offsets is not None:
            self._take_back(self.judge.best.offsets[None])
            self._settle(self.judge.best.offsets[None])

    def _settle(self, ends: Tensor) -> None:
        """Snap what takes some values only, and search the rest around it anew."""
        snapped = torch.cat([self.space.snapped(ends), self.space.snapped(ends, outwards=True)]).unique(dim=0)
        gaps = self._gaps(snapped)
        if bool(self.space.discrete[self.space.movable].all()):
            return
        order = torch.where(self.judge.goal.met(gaps), self.space.cost(snapped), torch.inf).argsort(stable=True)
        for row in order[:_CANDIDATES].tolist():
            beside = self.space.beside(snapped[row])
            start = beside.offsets(self.space.points(snapped[row : row + 1]))
            start = torch.where(beside.movable, start, torch.zeros_like(start))
            ends = walked(self.judge, beside, torch.cat([start, torch.zeros_like(start)]))
            ends, met = reached(self.judge, beside, ends)
            good = ends[self.judge.goal.met(met)]
            if len(good):
                retreated(self.judge, beside, good, _ROUNDS // 4)

    def _take_back(self, offsets: Tensor) -> None:
        """Undo changes of single features, wholly or in part, as long as the goal stays reached."""
        for row in offsets:
            now = row[None].clone()
            while True:
                tried = self._undone(now[0])
                if not len(tried) or len(tried) > self.judge.left // 4:
                    break
                gaps = self._gaps(tried)
                good = self._met(tried, gaps, 1)
                if not len(good) or float(self.space.cost(good)) > float(self.space.cost(now)) * (1 - 1e-4):
                    break
                now = good

    def _undone(self, offsets: Tensor) -> Tensor:
        changed = self.space.changed(offsets[None])[0].nonzero()[:, 0]
        if len(changed) > _LISTED:
            return offsets[None][:0]
        rows = []
        for feature in changed.tolist():
            own = self.space.features == feature
            rows += [torch.where(own, offsets * part, offsets) for part in (0.0, 0.25, 0.5, 0.75, 0.9)]
        tried = self.space.snapped(torch.stack(rows)) if rows else offsets[None][:0]
        return tried[(tried != offsets).any(1)] if len(tried) else tried

    def _with_few_features(self, met: Tensor) -> None:
        """Search again where only the features may change that cost most in what was found with more of them."""
        assert self._most is not None
        for row in met[: _CANDIDATES // 2]:
            spent = torch.zeros(int(self.space.features.max()) + 1, dtype=torch.float64)
            spent.index_add_(0, self.space.features, row.abs())
            open_ = torch.zeros(len(spent), dtype=torch.bool)
            open_[spent.argsort(descending=True, stable=True)[: self._most]] = True
            Search(self.judge, self.space.only(open_), None, self._reference)._run()


def wachter(
    judge: Judge, space: SearchSpace, starts: Tensor, strengths: Tensor, goal: float, iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Minima of ``strength · (gap − goal)² + cost`` from each start, and whether each came to rest.

    The cost of the L1 norm is the norm, that of the L2 norm its square (wachter2017counterfactual).
    """

    def loss(offsets: Tensor, rows: Tensor) -> Tensor:
        return strengths[rows] * (judge.gaps(space, offsets) - goal).square()

    def loss_and_slopes(offsets: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        gaps, slopes = judge.slopes(space, offsets)
        missing = gaps - goal
        return strengths[rows] * missing.square(), (2 * strengths[rows] * missing)[:, None] * slopes

    linear = float(space.norm == "l1")
    return descend(
        loss, loss_and_slopes, Cost(linear, 1 - linear, space.low, space.high), starts, iterations, tolerance
    )


def nearest(
    subject: Subject, one: Inputs, goal: Goal, space: SearchSpace, features: Features, limits: Limits
) -> Outcome:
    """The cheapest point in the space of one example that reaches the goal, or the closest attempt."""
    best = Best(space, limits.most)
    judge = Judge(subject, one, goal, best, limits.budget, limits.seconds)
    search = Search(judge, space, limits.most, getattr(subject.task, "reference", None))
    search.run()
    return outcome(space, features, goal, one, best, search.reason)


def weighed(
    subject: Subject, one: Inputs, goal: Goal, space: SearchSpace, features: Features, limits: Limits, strength: float
) -> Outcome:
    """The minimum of ``strength · gap² + cost`` itself, whether or not it reaches the goal."""
    best = Best(space, limits.most)
    judge, ended = Judge(subject, one, goal, best, limits.budget, limits.seconds), ""
    start = torch.zeros(1, len(space.origin), dtype=torch.float64)
    try:
        iterations = limits.budget // (4 * judge.cost_of_slopes(space))
        offsets, rests = wachter(judge, space, start, torch.tensor([strength]).double(), 0.0, iterations, 1e-10)
        ended = "" if bool(rests.all()) else "the descent had not come to rest"
    except SpentError as spent:
        offsets, ended = start, str(spent)
    return outcome(space, features, goal, one, Best(space, limits.most, space.snapped(offsets)[0]), ended)
