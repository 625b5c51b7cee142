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
from pellucid.engine.single_changes import put_together, single_changes, taken_back

_REFERENCES = 512
_CANDIDATES = 8
_ROUNDS = 60
_STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
_DESCENT = 40
_REPEATS = 4
_RADII = 16
_SHELL = 64
_APART = 0.4
_FEW = 64


class Search:
    """A search in one space: what it finds is in the judge's ``best``, and ``reason`` says why it ended early."""

    def __init__(self, judge: Judge, space: SearchSpace, most: int | None, reference: Tensor | None) -> None:
        self.judge, self.space, self.reason = judge, space, ""
        self._most, self._reference = most, reference
        # What lies between two choices has a meaning to networks only: differences there say nothing of black boxes.
        self._sloped = judge.differentiable or not space.choices

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
        moves = single_changes(self.space, self._reference)
        pools = [
            self._from_reference(),
            put_together(self.judge, self.space, moves, self._most),
            self._along_slopes(float(start[0])),
        ]
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

    def _along_slopes(self, start: float) -> Tensor:
        """Ends of the walk along the slopes, and of Wachter's descent from the example with growing weight of the goal."""
        nothing = torch.zeros(1, len(self.space.origin), dtype=torch.float64)
        if not self._sloped or self.judge.cost_of_slopes(self.space) * 4 > self.judge.left:
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
        """Move starts along the boundary, settle what takes some values only, and take back what is not needed."""
        starts = self._apart(met)
        ends = retreated(self.judge, self.space, starts, _ROUNDS) if self._sloped else starts
        if self._sloped and self.space.norm == "l1":
            retreated(self.judge, self.space, self._sparser(ends), _ROUNDS)
        if bool(self.space.discrete.any()):
            self._settle(torch.cat([ends, starts]))
        for _ in range(_REPEATS):
            before, best = self.judge.best.cost, self.judge.best.offsets
            if best is None:
                return
            best = taken_back(self.judge, self.space, best)
            if bool(self.space.discrete.any()):
                self._settle(best[None])
            if self.judge.best.cost >= before * (1 - 1e-4):
                return

    def _sparser(self, ends: Tensor) -> Tensor:
        """Ends with their largest changes only, 1, 2, 4, … of them, where these suffice or do when they are larger."""
        rank = ends.abs().argsort(dim=1, descending=True, stable=True).argsort(dim=1, stable=True)
        most = int((ends != 0).sum(1).max())
        counts = [2**power for power in range(most.bit_length())]
        offsets, gaps = reached(self.judge, self.space, torch.cat([torch.where(rank < k, ends, 0.0) for k in counts]))
        return self._met(offsets, gaps, _CANDIDATES // 2)

    def _settle(self, ends: Tensor) -> None:
        """Make choices of what is between them, search the numbers beside each pattern of choices anew, and round these."""
        snapped = torch.cat([self.space.snapped(ends), self.space.snapped(ends, outwards=True)]).unique(dim=0)
        gaps = self._gaps(snapped)
        known: set[bytes] = set()
        for row in torch.where(self.judge.goal.met(gaps), self.space.cost(snapped), torch.inf).argsort(stable=True):
            beside = self.space.beside(snapped[row])
            pattern = beside.origin.numpy().tobytes()
            if pattern in known or len(known) == _CANDIDATES or not bool(beside.movable.any()):
                continue
            known.add(pattern)
            start = torch.where(beside.movable, snapped[row], torch.zeros_like(snapped[row]))[None]
            tried, found = reached(self.judge, beside, walked(self.judge, beside, torch.cat([start, start * 0])))
            tried = tried[self.judge.goal.met(found)]
            if len(tried):
                tried = retreated(self.judge, beside, tried, _ROUNDS // 4)
                whole = torch.cat([beside.snapped(tried, outwards=True), beside.snapped(tried)]).unique(dim=0)
                self.judge.gaps(beside, whole)

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
