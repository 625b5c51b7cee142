"""Copies of an example with a little noise: what an explanation is compared over that should be stable."""

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.judged import Case

# The fields that metrics of stability have in common.
Copies = Annotated[int, Ge(1), "disturbed copies of each example"]
Radius = Annotated[float, Gt(0), "how far an element may move, as a share of the range of its values"]


def disturbed(case: Case, copies: int, radius: float) -> Tensor:
    """Copies of an example, uniform in the box of ``radius`` around it: ``[copies, …point]``; padding stays.

    They are the same for every metric and map. Raises ``NotAnswerable`` where the point holds whole numbers.
    """
    return case.inputs.value + noise(case, copies, radius)


def noise(case: Case, draws: int, radius: float) -> Tensor:
    """Uniform noise within ``radius`` of each element's range, ``[draws, …point]``; zero on padding."""
    point = case.inputs.value
    if not point.is_floating_point():
        raise NotAnswerable(
            f"{case.subject.name} reads whole numbers, which cannot move a little; judge faithfulness instead: deletion"
        )
    real = real_elements(case.inputs)
    found = torch.zeros(draws, *point.shape[1:], dtype=torch.float64)
    drawn = torch.rand(draws, int(real.sum()), generator=case.draws("disturbed"), dtype=torch.float64)
    found[:, real] = (2 * drawn - 1) * radius
    return (found * ranges(case.subject, case.inputs)).to(point.dtype)


def ranges(subject: Subject, inputs: Inputs) -> Tensor:
    """How far the values of each element can differ, ``[1, …point]``, float64.

    Where the task does not know it, that is the spread of the example's own values, or 1 where they are all the same.
    """
    bounds = subject.task.bounds(inputs)
    if bounds is not None:
        return (bounds[1] - bounds[0]).double().expand_as(inputs.value)
    values = inputs.value[0][real_elements(inputs)].double()
    spread = float(values.max() - values.min()) if len(values) else 0.0
    return torch.full_like(inputs.value, spread or 1.0, dtype=torch.float64)


def real_elements(inputs: Inputs) -> Tensor:
    """Which elements of one example's point are no padding: ``[…point]``, bool."""
    point = inputs.value[0]
    if inputs.mask is None:
        return torch.ones(point.shape, dtype=torch.bool)
    mask = inputs.mask[0]
    return mask.view(*mask.shape, *[1] * (point.ndim - mask.ndim)).expand(point.shape)
