"""Groups of features across all inputs of a call, and one score for each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.compat.captum.asking import Asked, Attribution, per_input
from pellucid.compat.captum.packing import OneAnswer
from pellucid.core.errors import UsageError
from pellucid.core.query import Decision

# What answers about features, given as a tensor of group numbers, that a baseline hides.
MakeMethod = Callable[[Tensor, Tensor], Any]


@dataclass(frozen=True)
class Groups:
    """A call, the group ``[batch, …point]`` of every element of its point, and the point with everything hidden."""

    asked: Asked
    features: Tensor
    hidden: Tensor

    @property
    def most(self) -> int:
        """The largest number of groups of an example."""
        return max(len(example.unique()) for example in self.features)


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
    features = layout.packed(_numbered(masks, asked)).long()
    return Groups(asked, features, asked.baseline(baselines))


def asked_alone_or_together(
    attribution: Attribution, inputs: Any, target: Any, arguments: Any, place: int = 0
) -> Asked:
    """The call with a row per example, or where the model answers one number for all of them with one row."""
    try:
        return attribution.asked(inputs, target, arguments, floating=True, place=place)
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


def _scored(groups: Groups, make: MakeMethod) -> Any:
    """Examples, their group numbers in ascending order, and the score of each; without those that nothing changes."""
    asked = groups.asked
    changing = (asked.inputs.value != groups.hidden).flatten(1).any(1).nonzero().flatten()
    if not len(changing):
        return
    method = make(groups.features[changing], groups.hidden[changing])
    question = Decision(asked.inputs.rows(changing), target=asked.target.rows(changing))
    for row, values in zip(changing.tolist(), method(asked.subject, question).by_feature(), strict=True):
        yield row, groups.features[row].unique(), values


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
