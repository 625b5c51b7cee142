"""The parameters of a network, unit by unit, on a copy that may be changed: the network itself stays as it is."""

import contextlib
import copy
import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pellucid.core import meter
from pellucid.core.errors import NotAnswerable, UsageError, nearest
from pellucid.core.meter import report
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.gradients import settled
from pellucid.engine.targets import Target

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that belong together, of ``units``: of each the axis along which its units lie."""

    name: str
    kind: str
    units: int
    members: tuple[tuple[Tensor, int], ...]


class ParameterUnits:
    """A copy of the subject's network whose parameters fall into units: filters with their bias, rows of a matrix, gates.

    A module's weight and its other parameters of as many rows are one group, under the module's name; any further parameter
    is a group of its own name. ``patterns`` (``blocks.3*``) choose groups; all where there are none.
    """

    def __init__(self, subject: Subject, patterns: Sequence[str] = ()) -> None:
        module = copied(subject)
        for parameter in module.parameters():
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
        self._subject = subject.with_module(module)
        known = {group.name: group for group in _groups(module)}
        if not known:
            raise NotAnswerable(f"{subject.name} has no parameters")
        for pattern in patterns:
            if not fnmatch.filter(known, pattern):
                raise UsageError(f"{subject.name} has no parameters in {pattern!r}; {nearest(pattern, list(known))}")
        chosen = [name for name in known if not patterns or any(fnmatch.fnmatchcase(name, one) for one in patterns)]
        self.groups = {name: known[name] for name in chosen}

    def products(self, inputs: Inputs, target: Target) -> tuple[Tensor, dict[str, Tensor]]:
        """The explained quantity ``[batch]``, and by group what each unit's parameters times their gradients sum to,
        ``[batch, units]``; float64. Groups that the quantity does not depend on at all are left out."""
        values, found = [], []
        for row in range(len(inputs)):
            rows = slice(row, row + 1)
            value, products = self._products(inputs.rows(rows), target.rows(rows))
            values.append(value)
            found.append(products)
            report(row + 1, len(inputs), "gradients of weights")
        used = [name for name in self.groups if any(name in products for products in found)]
        nothing = {name: torch.zeros(self.groups[name].units, dtype=torch.float64) for name in used}
        scores = {name: torch.stack([of.get(name, nothing[name]) for of in found]) for name in used}
        return torch.cat(values), scores

    def without(self, inputs: Inputs, target: Target, units: Sequence[tuple[str, int]]) -> Tensor:
        """The explained quantity ``[batch]``, float64, where the parameters of ``units`` (group, unit) are all zero."""
        with self._zeroed(units):
            run = self._subject.run(inputs, capture=target.capture, original=True)
            return settled(target(run)).double()

    def _products(self, inputs: Inputs, target: Target) -> tuple[Tensor, dict[str, Tensor]]:
        held = [parameter for group in self.groups.values() for parameter, _ in group.members]
        with torch.enable_grad():
            value = target(self._subject.run(inputs, capture=target.capture, differentiable=True))
        if not value.requires_grad:
            raise NotAnswerable(f"the score of {self._subject.name} does not depend differentiably on its parameters")
        given = iter(torch.autograd.grad(value.sum(), held, allow_unused=True))
        meter.count(backward=1)
        found = {}
        for name, group in self.groups.items():
            pairs = [(parameter, axis, next(given)) for parameter, axis in group.members]
            parts = [
                _by_unit(parameter.detach().double() * gradient.double(), axis)
                for parameter, axis, gradient in pairs
                if gradient is not None
            ]
            if parts:
                found[name] = torch.stack(parts).sum(0).cpu()
        return settled(value).double(), found

    @contextlib.contextmanager
    def _zeroed(self, units: Sequence[tuple[str, int]]) -> Iterator[None]:
        with torch.no_grad():
            places = [
                parameter.select(axis, unit) for group, unit in units for parameter, axis in self.groups[group].members
            ]
            kept = [place.clone() for place in places]
            for place in places:
                place.zero_()
            try:
                yield
            finally:
                for place, values in zip(places, kept, strict=True):
                    place.copy_(values)


def copied(subject: Subject) -> nn.Module:
    """A deep copy of the subject's module, to be changed; ``NotAnswerable`` where it cannot be copied."""
    try:
        found: nn.Module = copy.deepcopy(subject.module)  # type: ignore[assignment]
    except Exception as error:  # Anything may refuse to be copied, in its own words.
        raise NotAnswerable(f"{subject.name} cannot be copied, so its weights cannot be changed: {error}") from error
    return found


def _by_unit(values: Tensor, axis: int) -> Tensor:
    return values.movedim(axis, 0).flatten(1).sum(1) if values.ndim > 1 else values


def _groups(module: nn.Module) -> Iterator[ParameterGroup]:
    seen: set[int] = set()
    for path, part in module.named_modules():
        own = {
            name: parameter
            for name, parameter in part.named_parameters(recurse=False)
            if parameter.is_floating_point() and parameter.ndim and id(parameter) not in seen
        }
        seen.update(map(id, own.values()))
        axes = {name: 1 if isinstance(part, _TRANSPOSED) and name == "weight" else 0 for name in own}
        kind = type(part).__name__
        together: list[str] = []
        if "weight" in own:
            size = own["weight"].shape[axes["weight"]]
            together = [name for name in own if own[name].shape[axes[name]] == size]
            members = tuple((own[name], axes[name]) for name in together)
            yield ParameterGroup(path or "weight", kind, size, members)
        for name in own:
            if name not in together:
                members = ((own[name], axes[name]),)
                yield ParameterGroup(f"{path}.{name}".lstrip("."), kind, own[name].shape[axes[name]], members)
