"""Weights as rows, one per unit: how many of them differ, which are alike, and in which order they can be read."""

import numpy as np
import torch
from scipy.cluster.hierarchy import leaves_list, linkage
from torch import Tensor

_BLOCK = 1024
_CLUSTERED = 2000


def effective_rank(rows: Tensor) -> float:
    """The exponential of the entropy of the singular values (roy2007effective): k for k equal ones, 0 for none."""
    values = torch.linalg.svdvals(rows.double())
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float((-(shares * shares.log()).sum()).exp()) if len(shares) else 0.0


def unit_rows(rows: Tensor) -> Tensor:
    """The rows divided by their norms, float64; rows of zeros stay zeros."""
    rows = rows.double()
    norms = rows.norm(dim=1, keepdim=True)
    return rows / norms.where(norms > 0, torch.ones_like(norms))


def alike(rows: Tensor, above: float) -> tuple[Tensor, Tensor]:
    """Pairs ``[pairs, 2]`` of rows whose cosine is larger than ``above``, and their cosines ``[pairs]``, largest first."""
    directions = unit_rows(rows)
    pairs, cosines = [], []
    for start in range(0, len(rows), _BLOCK):
        product = directions[start : start + _BLOCK] @ directions.T
        first, second = (product > above).nonzero(as_tuple=True)
        later = second > first + start
        pairs.append(torch.stack([first[later] + start, second[later]], 1))
        cosines.append(product[first[later], second[later]])
    found, values = torch.cat(pairs), torch.cat(cosines)
    order = values.argsort(descending=True, stable=True)
    return found[order], values[order]


def by_likeness(rows: Tensor) -> Tensor:
    """An order in which similar rows are neighbours: that of average linkage over their cosines, or along the first
    principal axis where there are very many. Rows of zeros come last."""
    directions = unit_rows(rows)
    living = directions.norm(dim=1).nonzero().flatten()
    zeros = (directions.norm(dim=1) == 0).nonzero().flatten()
    if len(living) < 3:
        return torch.cat([living, zeros])
    known = directions[living]
    if len(living) <= _CLUSTERED:
        tree = linkage(np.ascontiguousarray(known.numpy()), "average", metric="cosine")
        order = torch.from_numpy(leaves_list(tree).astype(np.int64))
    else:
        order = principal(known, 1)[0][:, 0].argsort(stable=True)
    return torch.cat([living[order], zeros])


def principal(rows: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Coordinates ``[rows, number]`` along the first principal axes, and each axis' share of the variance; of each axis
    the sign is that which makes its largest coordinate positive."""
    centred = rows.double() - rows.double().mean(0)
    values, axes = torch.linalg.eigh(centred.T @ centred)
    number = min(number, len(values))
    axes, values = axes.flip(1)[:, :number], values.flip(0).clamp(min=0)
    places = centred @ axes
    largest = places.gather(0, places.abs().argmax(0, keepdim=True))
    shares = values[:number] / values.sum() if bool(values.sum() > 0) else torch.zeros(number, dtype=torch.float64)
    return places * torch.where(largest < 0, -1.0, 1.0), shares
