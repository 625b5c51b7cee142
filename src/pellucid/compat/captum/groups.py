"""Groups of features across all inputs of a call, and one score for each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.compat.captum.asking import Asked, Attribution, per_input
from pellucid.compat.captum.packing import OneAnswer, as_tuple
from pellucid.core.errors import UsageError
from pellucid.core.query import Decision

# What answers about so many features, given as a tensor of group numbers, that a baseline hides.
MakeMethod = Callable[[Tensor, Tensor, int], Any]


@dataclass(frozen=True)
class Groups:
    """A call, the group ``[batch, …point]`` of every element of its point, and the point with everything hidden."""

    asked: Asked
    features: Tensor
    hidden: Tensor


def asked_about_groups(
    attribution: Attribution, inputs: Any, baselines: Any, target: Any, arguments: Any, feature_mask: Any
) -> Groups:
    """The call with one point; where the model answers one number for the whole batch, that is asked about as one."""
    asked = asked_alone_or_together(attribution, inputs, target, arguments)
    layout = asked.layout
    masks = per_input(feature_mask, layout, "feature_mask", None)
    if layout.together and any(isinstance(mask, Tensor) and mask.ndim and len(mask) > 1 for mask in masks):
        raise UsageError(
            "one number for the whole batch has features of the whole batch; give masks whose first axis is 1"
        )
    features = layout.packed(_numbered(masks, asked), torch.long)
    if bool((features < 0).any()):
        raise UsageError("feature_mask numbers groups from 0; give what must not vary as an additional argument")
    return Groups(asked, features, asked.baseline(baselines))


def asked_alone_or_together(
    attribution: Attribution, inputs: Any, target: Any, arguments: Any, place: int = 0
) -> Asked:
    """The call with a row per example, or where the model answers one number for all of them with one row."""
    alike = len({len(tensor) for tensor in as_tuple(inputs, "inputs")}) == 1
    try:
        asked = attribution.asked(inputs, target, arguments, floating=True, place=place, together=not alike)
        if alike and asked.layout.batch == 1:
            asked.subject.run(asked.inputs.rows(torch.tensor([0, 0])))  # one number for one example may be one for all
        return asked
    except OneAnswer:
        return attribution.asked(inputs, target, arguments, floating=True, place=place, together=True)


def by_element(groups: Groups, make: MakeMethod) -> Any:
    """The score of its group for every element, in the shapes of the inputs."""
    scores = torch.zeros(groups.features.shape, dtype=groups.asked.inputs.value.dtype)
    for row, numbers, values in _scored(groups, make):
        scores[row] = values.to(scores)[torch.searchsorted(numbers, groups.features[row].contiguous())]
    return groups.asked.out(scores)


def by_group(groups: Groups, make: MakeMethod) -> Tensor:
    """The scores of groups by their numbers, ``[batch, groups]``."""
    scores = torch.zeros(len(groups.features), int(groups.features.max()) + 1, dtype=groups.asked.inputs.value.dtype)
    for row, numbers, values in _scored(groups, make):
        scores[row, numbers] = values.to(scores)
    return scores.to(groups.asked.device)


def _scored(groups: Groups, make: MakeMethod) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Examples, their group numbers in ascending order, and the score of each; without those that nothing changes.

    Those with equally many groups are asked about together, because that number decides how.
    """
    asked = groups.asked
    changing = (asked.inputs.value != groups.hidden).flatten(1).any(1).nonzero().flatten().tolist()
    numbers = {row: groups.features[row].unique() for row in changing}
    for count in sorted({len(numbers[row]) for row in changing}):
        rows = torch.tensor([row for row in changing if len(numbers[row]) == count])
        method = make(groups.features[rows], groups.hidden[rows], count)
        question = Decision(asked.inputs.rows(rows), target=asked.target.rows(rows))
        for row, values in zip(rows.tolist(), method(asked.subject, question).by_feature(), strict=True):
            yield row, numbers[row], values


def _numbered(masks: tuple[Any, ...], asked: Asked) -> list[Tensor]:
    """Masks as they are given; without any, a group per element, numbered through all inputs."""
    if all(isinstance(mask, Tensor) for mask in masks):
        return list(masks)
    if any(mask is not None for mask in masks):
        raise UsageError("feature_mask: give one tensor per input, or none at all")
    found, first = [], 0
    for shape in asked.layout.shapes:
        one = torch.Size(shape[1:]).numel()
        found.append(torch.arange(first, first + one).view(1, *shape[1:]))
        first += one
    return found
