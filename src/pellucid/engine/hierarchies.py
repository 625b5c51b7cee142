"""Hierarchies of features: which two groups are joined, step by step, until all features are one."""

import numpy as np
import torch
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.spec import Modality
from pellucid.core.subject import Features, Inputs, Subject

# The two groups that each step joins, [features − 1, 2]: features are 0 … n − 1, the group of step k is n + k.
Joins = Tensor


def joins(subject: Subject, inputs: Inputs, features: Features, row: int) -> Joins:
    """The hierarchy that suits the kind of input, of one example's features.

    Superpixels are joined by where they lie (Ward's clustering of their centres); columns of a table by how strongly
    they are correlated in the task's reference rows; anything else by halving the order of the features, so that
    neighbouring words stay together.
    """
    number = features.counts()[row]
    if number < 3:
        return halves(number)
    if subject.task.modality is Modality.IMAGE:
        return _merged(linkage(_centres(inputs.value[row], features.segments[row], number), "ward"))
    reference = getattr(subject.task, "reference", None)
    if subject.task.modality is Modality.TABULAR and reference is not None and len(reference) > 1:
        return _merged(linkage(_apart(reference.double(), features.segments[row], number), "average"))
    return halves(number)


def halves(number: int) -> Joins:
    """The balanced binary tree over features in their order."""
    found: list[tuple[int, int]] = []

    def join(start: int, stop: int) -> int:
        if stop - start == 1:
            return start
        middle = (start + stop + 1) // 2
        found.append((join(start, middle), join(middle, stop)))
        return number + len(found) - 1

    join(0, number)
    return torch.tensor(found, dtype=torch.long).view(-1, 2)


def checked(wanted: Tensor, number: int) -> Joins:
    """A hierarchy as users give it: the joins themselves, or a linkage matrix of scipy, whose further columns are left
    out."""
    found = wanted[:, :2].long() if wanted.ndim == 2 and wanted.shape[1] >= 2 else None
    if found is None or len(found) != number - 1:
        raise UsageError(
            f"a hierarchy of {number} features is [{number - 1}, 2], the two groups that each step joins, not "
            f"{tuple(wanted.shape)}"
        )
    for step, pair in enumerate(found.tolist()):
        if not all(0 <= group < number + step for group in pair):
            raise UsageError(f"step {step} of the hierarchy joins {pair}: groups that are not there yet")
    if found.flatten().unique().numel() != 2 * (number - 1):
        raise UsageError("the hierarchy joins a group twice")
    return found


def members(tree: Joins, number: int) -> Tensor:
    """Which features each group holds: ``[2 features − 1, features]``, bool, features first, all of them last."""
    held = torch.eye(2 * number - 1, number, dtype=torch.bool)
    for step, (left, right) in enumerate(tree.tolist()):
        held[number + step] = held[left] | held[right]
    return held


def _merged(found: np.ndarray) -> Joins:
    return torch.from_numpy(found[:, :2].astype(np.int64))


def _centres(point: Tensor, segments: Tensor, number: int) -> np.ndarray:
    """The mean row and column of each feature's elements."""
    groups = segments.expand_as(point)
    inside = groups >= 0
    places = inside.nonzero()[:, -2:].double()
    sums = torch.zeros(number, 2, dtype=torch.float64).index_add_(0, groups[inside], places)
    return (sums / torch.bincount(groups[inside], minlength=number)[:, None]).numpy()


def _apart(reference: Tensor, segments: Tensor, number: int) -> np.ndarray:
    """One minus the absolute correlation of features; several columns of a feature are averaged, constants are apart."""
    inside = segments >= 0
    means = torch.zeros(len(reference), number, dtype=torch.float64)
    means.index_add_(1, segments[inside], reference[:, inside])
    centred = means - means.mean(0)
    length = centred.norm(dim=0).clamp(min=torch.finfo(torch.float64).tiny)
    apart = 1 - ((centred / length).T @ (centred / length)).abs().clamp(max=1)
    return squareform(apart.fill_diagonal_(0).numpy(), checks=False)
