"""Which few of many examples stand for all of them, and which are the ones that those few do not explain."""

import torch
from torch import Tensor


def squared_distances(rows: Tensor, others: Tensor | None = None) -> Tensor:
    """``[rows, others]``, float64."""
    return torch.cdist(rows.double(), (rows if others is None else others).double()).square()


def kernel(squared: Tensor) -> tuple[Tensor, float]:
    """The Gaussian kernel of squared distances ``[n, n]``, and its width: the median distance between two examples that are
    not the same (gretton2012kernel)."""
    apart = squared[squared.triu(1) > 0]
    width = float(apart.median().sqrt()) if len(apart) else 1.0
    return (-squared / (2 * width**2)).exp(), width


def discrepancy(similar: Tensor, chosen: Tensor) -> float:
    """The squared maximum mean discrepancy between all examples and the ``chosen`` ones, for a kernel ``[n, n]``."""
    within = similar[chosen][:, chosen].mean()
    return float(similar.mean() - 2 * similar[:, chosen].mean() + within)


def greedy_prototypes(similar: Tensor, number: int) -> Tensor:
    """Examples in the order of choice, each the one with which the discrepancy to all is least (kim2016examples)."""
    mean, own = similar.mean(0), similar.diagonal()
    chosen: list[int] = []
    to_chosen, within, covered = torch.zeros_like(mean), 0.0, 0.0
    for size in range(1, min(number, len(similar)) + 1):
        gain = 2 * (covered + mean) / size - (within + 2 * to_chosen + own) / size**2
        gain[chosen] = -torch.inf
        best = int(gain.argmax())
        within += float(2 * to_chosen[best] + own[best])
        covered += float(mean[best])
        to_chosen = to_chosen + similar[best]
        chosen.append(best)
    return torch.tensor(chosen)


def greedy_criticisms(similar: Tensor, prototypes: Tensor, number: int) -> Tensor:
    """Examples where the prototypes' density is furthest from that of the data, and that differ among themselves: greedy for
    the sum of these differences and the log-determinant of their own kernel (kim2016examples)."""
    witness = (similar.mean(0) - similar[prototypes].mean(0)).abs()
    left, basis = similar.diagonal().clone(), similar.new_zeros(0, len(similar))
    chosen: list[int] = []
    for _ in range(min(number, len(similar) - len(prototypes))):
        gain = witness + left.clamp(min=1e-12).log()
        gain[torch.cat([prototypes, torch.tensor(chosen, dtype=torch.long)])] = -torch.inf
        best = int(gain.argmax())
        # One more step of the Cholesky decomposition: ``left`` is what the chosen ones do not determine of each example.
        row = (similar[best] - basis[:, best] @ basis) / left[best].clamp(min=1e-12).sqrt()
        basis = torch.cat([basis, row[None]])
        left = left - row.square()
        chosen.append(best)
    return torch.tensor(chosen, dtype=torch.long)


def greedy_medoids(squared: Tensor, number: int) -> Tensor:
    """Examples in the order of choice, each the one with which all are nearest to a chosen one."""
    distances = squared.sqrt()
    nearest = torch.full((len(squared),), torch.inf, dtype=distances.dtype)
    chosen: list[int] = []
    for _ in range(min(number, len(squared))):
        cost = torch.minimum(nearest[:, None], distances).sum(0)
        cost[chosen] = torch.inf
        best = int(cost.argmin())
        nearest = torch.minimum(nearest, distances[best])
        chosen.append(best)
    return torch.tensor(chosen)


def spread(squared: Tensor, chosen: Tensor) -> float:
    """The mean distance of all examples to the nearest ``chosen`` one, for squared distances ``[n, n]``."""
    return float(squared[:, chosen].amin(1).sqrt().mean())
