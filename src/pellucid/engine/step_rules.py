"""Step rules whose steps depend on how an ascent goes: smaller where a gradient turns back, or such that it rises evenly."""

import torch
from torch import Tensor

from pellucid.engine.optimize import Rule, Step


def turning(rate: float) -> Rule:
    """Steps of length ``rate`` along each row's gradient, halved where it turns against the one before, and longer again by
    a fifth where it does not."""

    def fresh() -> Step:
        size = before = torch.zeros(())

        def step(gradient: Tensor, values: Tensor, number: int) -> Tensor:
            nonlocal size, before
            flat = gradient.flatten(1)
            norm = flat.norm(dim=1, keepdim=True)
            direction = flat / norm.clamp(min=torch.finfo(flat.dtype).tiny)
            if number == 0:
                size = torch.full_like(norm, rate)
            else:
                turned = (direction * before).sum(1, keepdim=True) < 0
                size = torch.where(turned, size / 2, (1.2 * size).clamp(max=rate))
            before = direction
            return (size * direction).view_as(gradient)

        return step

    return fresh


def resilient(rate: float) -> Rule:
    """A step of its own for every element, ``rate`` at first: half where its derivative changes sign, a fifth more where it
    does not (riedmiller1993direct)."""

    def fresh() -> Step:
        size = before = torch.zeros(())

        def step(gradient: Tensor, values: Tensor, number: int) -> Tensor:
            nonlocal size, before
            if number == 0:
                size, before = torch.full_like(gradient, rate), torch.zeros_like(gradient)
            agreement = gradient.sign() * before
            size = torch.where(agreement < 0, size / 2, torch.where(agreement > 0, 1.2 * size, size))
            before = torch.where(agreement < 0, torch.zeros_like(gradient), gradient.sign())
            return size * before

        return step

    return fresh


def rising(progress: float, largest: float, late: float | None = None) -> Rule:
    """The rate by which each row's value would rise by ``progress`` if it were linear, ``progress / ‖gradient‖²``, at most
    ``largest``; with ``late`` by no more than that share of what is missing to 1 (yosinski2015understanding)."""

    def step(gradient: Tensor, values: Tensor, number: int) -> Tensor:
        wanted = torch.full_like(values, progress) if late is None else (late * (1 - values)).clamp(max=progress)
        square = gradient.flatten(1).square().sum(1).clamp(min=torch.finfo(gradient.dtype).tiny)
        return (wanted.to(square) / square).clamp(max=largest).view(-1, *[1] * (gradient.ndim - 1)) * gradient

    return lambda: step
