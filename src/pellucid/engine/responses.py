"""How an explained quantity responds to variables: set in every case, or moved within the bins of a grid."""

import math
from typing import Literal

import numpy as np
import torch
from scipy.stats import rankdata
from scipy.stats import t as student
from torch import Generator, Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.batching import evaluate
from pellucid.engine.targets import Target
from pellucid.engine.variables import Variable

_WORTH_TELLING = 0.15
Form = Literal["plain", "centred", "derivative"]


class Asked:
    """Cases, and the explained quantity of them with variables set: everything that is asked of the model."""

    def __init__(self, subject: Subject, inputs: Inputs, target: Target, what: str) -> None:
        self._subject, self.inputs, self._target, self._what = subject, inputs, target, what

    def __call__(self, cases: Tensor, *settings: tuple[Variable, Tensor]) -> Tensor:
        """The quantity of ``cases`` ``[n]`` (numbers, repeated at will), each variable set to its values ``[n]``: ``[n]``."""

        def points(part: slice) -> Tensor:
            point = self.inputs.value[cases[part]]
            for variable, values in settings:
                point = variable.replaced(point, values[part])
            return point

        return evaluate(self._subject, self.inputs, self._target, cases, points, self._what)


class Bootstrap:
    """How often each of ``cases`` is drawn in each of ``replicates`` draws of as many, with replacement
    (efron1979bootstrap). Row 0 of ``weights`` ``[1 + replicates, cases]`` are the cases as they are."""

    def __init__(self, cases: int, replicates: int, source: Generator) -> None:
        self.cases = cases
        drawn = [torch.randint(cases, (cases,), generator=source).bincount(minlength=cases) for _ in range(replicates)]
        self.weights = torch.stack([torch.ones(cases, dtype=torch.long), *drawn]).double()

    def interval(self, statistics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the cases say (row 0 of ``statistics`` ``[1 + replicates, …]``) with its 95 % interval by Student's t."""
        # Draws from n cases vary as if there were n − 1: that is made up for here.
        deviation = statistics[1:].std(0) * math.sqrt(self.cases / (self.cases - 1))
        half = float(student.ppf(0.975, self.cases - 1)) * deviation
        return statistics[0], statistics[0] - half, statistics[0] + half


def even_grid(variable: Variable, values: Tensor, points: int) -> Tensor:
    """All values of a choice, the different values of a number that has few, else evenly from the lowest to the highest."""
    if variable.labels is not None:
        return torch.arange(len(variable.labels), dtype=torch.float64)
    known = _different(variable, values)
    if len(known) <= points:
        return known
    return torch.linspace(float(known[0]), float(known[-1]), points, dtype=torch.float64)


def quantile_grid(variable: Variable, values: Tensor, points: int) -> Tensor:
    """Borders of bins with about as many cases each; the different values of a number that has few."""
    if variable.labels is not None:
        raise NotAnswerable(
            f"the values of {variable.name} have no order to accumulate effects along; ask kind='partial-dependence'"
        )
    known = _different(variable, values)
    if len(known) <= points:
        return known
    return values.quantile(torch.linspace(0, 1, points, dtype=torch.float64), interpolation="lower").unique()


def counts_around(values: Tensor, grid: Tensor) -> Tensor:
    """How many values are nearer to each point of an ascending grid than to the others."""
    return torch.bincount(_nearest(values, grid), minlength=len(grid))


def pairs_around(values: tuple[Tensor, Tensor], grids: tuple[Tensor, Tensor]) -> Tensor:
    """How many pairs of values are nearest to each pair of points of two grids."""
    first, second = (_nearest(one, grid) for one, grid in zip(values, grids, strict=True))
    size = len(grids[0]), len(grids[1])
    return torch.bincount(first * size[1] + second, minlength=size[0] * size[1]).view(size)


def conditional_expectation(ask: Asked, *settings: tuple[Variable, Tensor]) -> Tensor:
    """The quantity of each case at every combination of the variables' grids: ``[cases, points, …]``
    (goldstein2015peeking). Its mean over the cases is the partial dependence (friedman2001greedy)."""
    cases = torch.arange(len(ask.inputs))
    places = torch.meshgrid(cases, *(torch.arange(len(grid)) for _, grid in settings), indexing="ij")
    pairs = zip(settings, places[1:], strict=True)
    answers = ask(places[0].flatten(), *((variable, grid[place.flatten()]) for (variable, grid), place in pairs))
    return answers.view(places[0].shape)


def accumulated_effects(ask: Asked, variable: Variable, edges: Tensor, weights: Tensor) -> Tensor:
    """The accumulated local effects at the borders of bins, for every row of case ``weights``: ``[rows, borders]``.

    Each case moves from one border of its own bin to the other, and is never put where it could not be
    (apley2020visualizing). The mean over the cases is 0.
    """
    cases, bins = torch.arange(len(ask.inputs)), _bins(variable.values(ask.inputs.value), edges)
    low, high = (ask(cases, (variable, edges[bins + side])) for side in (0, 1))
    means, sizes = _bin_means(high - low, bins, len(edges) - 1, weights)
    rising = torch.nn.functional.pad(means.cumsum(1), (1, 0))
    return rising - ((rising[:, 1:] + rising[:, :-1]) / 2 * sizes).sum(1, keepdim=True) / sizes.sum(1, keepdim=True)


def accumulated_interaction(
    ask: Asked, pair: tuple[Variable, Variable], edges: tuple[Tensor, Tensor], weights: Tensor
) -> Tensor:
    """What two variables do together beyond what each does alone, at the borders of both: ``[rows, first, second]``."""
    cases = torch.arange(len(ask.inputs))
    bins = [_bins(one.values(ask.inputs.value), borders) for one, borders in zip(pair, edges, strict=True)]
    corners = [
        [ask(cases, (pair[0], edges[0][bins[0] + i]), (pair[1], edges[1][bins[1] + j])) for j in (0, 1)] for i in (0, 1)
    ]
    twist = corners[1][1] - corners[1][0] - corners[0][1] + corners[0][0]
    sizes = len(edges[0]) - 1, len(edges[1]) - 1
    means, counts = _bin_means(twist, bins[0] * sizes[1] + bins[1], sizes[0] * sizes[1], weights)
    counts = counts.view(-1, *sizes)
    height = torch.nn.functional.pad(means.view(-1, *sizes).cumsum(1).cumsum(2), (1, 0, 1, 0))
    height = height - _main_effect(height, counts) - _main_effect(height.mT, counts.mT).mT
    middle = (height[:, 1:, 1:] + height[:, 1:, :-1] + height[:, :-1, 1:] + height[:, :-1, :-1]) / 4
    return height - ((middle * counts).sum((1, 2)) / counts.sum((1, 2)))[:, None, None]


def interaction_strength(joint: Tensor, first: Tensor, second: Tensor, counts: Tensor) -> Tensor:
    """Friedman's H for each row: the deviation of the joint partial dependence ``[rows, first, second]`` from the sum of the
    two, over that of the joint one, where the pairs of points count as many times as cases are near them
    (friedman2008predictive)."""
    shares = counts.double() / counts.sum()

    def centred(values: Tensor) -> Tensor:
        return values - (values * shares).sum((1, 2), keepdim=True)

    joint, alone = centred(joint), centred(first[:, :, None] + second[:, None, :])
    apart, whole = (((part.square()) * shares).sum((1, 2)) for part in (joint - alone, joint))
    return torch.where(whole > 0, (apart / whole).sqrt(), 0.0)


def formed(curves: Tensor, form: Form, grid: Tensor) -> Tensor:
    """Curves ``[n, points]`` as they are, from 0 on, or their change per unit of the grid."""
    match form:
        case "centred":
            return curves - curves[:, :1]
        case "derivative":
            return torch.gradient(curves, spacing=(grid,), dim=1)[0]
    return curves


def largest_changes(curve: Tensor, seen: Tensor) -> list[tuple[int, int]]:
    """Start and stop of the largest rise and of the largest fall of a curve among the points that are ``seen``, in their
    order; one that is small beside the whole range is left out."""
    places = seen.nonzero().flatten()
    height = curve[places]
    if len(places) < 2 or not float(height.max() - height.min()):
        return []
    found = []
    for sign in (1, -1):
        rise = sign * (height[None, :] - height[:, None]).triu()
        start, stop = divmod(int(rise.argmax()), len(places))
        if float(rise.max()) >= _WORTH_TELLING * float(height.max() - height.min()):
            found.append((int(places[start]), int(places[stop])))
    return sorted(found)


def companion(values: Tensor, others: Tensor) -> tuple[int, float]:
    """Which column of ``others`` ``[cases, columns]`` has the largest rank correlation with ``values``, and that."""
    ranks = torch.from_numpy(rankdata(np.column_stack([values.numpy(), others.double().numpy()]), axis=0))
    ranks = ranks - ranks.mean(0)
    lengths = ranks.square().sum(0).sqrt()
    known = (ranks[:, :1] * ranks[:, 1:]).sum(0) / (lengths[0] * lengths[1:]).clamp(min=1e-12)
    best = int(known.abs().argmax())
    return best, float(known[best])


def _different(variable: Variable, values: Tensor) -> Tensor:
    known = values.unique()
    if len(known) < 2:
        raise NotAnswerable(f"{variable.name} has the same value in all cases; there is nothing to compare")
    return known


def _nearest(values: Tensor, grid: Tensor) -> Tensor:
    return torch.bucketize(values, (grid[1:] + grid[:-1]) / 2)


def _bins(values: Tensor, edges: Tensor) -> Tensor:
    """The bin of each value: from above its lower border to its upper one, the lowest value included."""
    return (torch.bucketize(values, edges) - 1).clamp(0, len(edges) - 2)


def _bin_means(effects: Tensor, bins: Tensor, number: int, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The mean effect of each bin for each row of weights, and the weight of the bin: ``[rows, bins]`` each.

    A bin that a row gives no weight keeps its mean over the cases as they are; one without cases has none.
    """
    member = torch.nn.functional.one_hot(bins, number).double()
    sizes, sums = weights @ member, weights @ (member * effects[:, None])
    plain = member.T @ effects / member.sum(0).clamp(min=1)
    return torch.where(sizes > 0, sums / sizes.clamp(min=1), plain), sizes


def _main_effect(height: Tensor, counts: Tensor) -> Tensor:
    """The accumulated local effect along the first axis of a surface, ``[rows, first, 1]``."""
    rise = height.diff(dim=1)
    mean = ((rise[:, :, 1:] + rise[:, :, :-1]) / 2 * counts).sum(2) / counts.sum(2).clamp(min=1)
    return torch.nn.functional.pad(mean.cumsum(1), (1, 0))[:, :, None]
