"""Copies of an example with a little noise: what an explanation is compared over that should be stable."""

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.judged import Case
from pellucid.engine.perturb import with_padding

# The fields that metrics of stability have in common.
Copies = Annotated[int, Ge(1), "disturbed copies of each example"]
Radius = Annotated[float, Gt(0), "how far an element may move, as a share of the range of its values"]


def disturbed(case: Case, copies: int, radius: float) -> Tensor:
    """Copies of an example, uniform in the box of ``radius`` around it: ``[copies, …point]``; padding stays.

    They are the same for every metric and map. Raises ``NotAnswerable`` where the point holds whole numbers.
    """
    return moving(case) + noise(case, copies, radius)


def noise(case: Case, draws: int, radius: float) -> Tensor:
    """Uniform noise within ``radius`` of each element's range, ``[draws, …point]``; zero on padding."""
    point, real = moving(case), real_elements(case.inputs)
    found = torch.zeros(draws, *point.shape[1:], dtype=torch.float64)
    drawn = torch.rand(draws, int(real.sum()), generator=case.draws("disturbed"), dtype=torch.float64)
    found[:, real] = (2 * drawn - 1) * radius
    return (found * ranges(case.subject, case.inputs)).to(point.dtype)


def moving(case: Case) -> Tensor:
    """The point of an example, ``[1, …point]``; ``NotAnswerable`` where it holds whole numbers."""
    if not case.inputs.value.is_floating_point():
        raise NotAnswerable(
            f"{case.subject.name} reads whole numbers, which cannot move a little; judge faithfulness instead: deletion"
        )
    return case.inputs.value


def redrawn(case: Case, draws: int) -> Tensor:
    """The example with every element drawn anew, uniform in the range of its values: ``[draws, …point]``.

    Where the task does not know this range, an element moves by up to the spread of the example's own values instead.
    """
    bounds = case.subject.task.bounds(case.inputs)
    if bounds is None:
        return disturbed(case, draws, 1.0)
    middle = (bounds[0] + bounds[1]).to(case.inputs.value) / 2
    return with_padding(case.inputs, middle + noise(case, draws, 0.5))


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
