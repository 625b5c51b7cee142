"""Networks without some of their layers: skipped where a layer keeps the shape of what it reads, else made to say nothing."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.subject import Inputs, Replacement, Run, Subject
from pellucid.engine.averaging import Running

Removal = Literal["auto", "skip", "zero", "mean"]


class Depth:
    """Which layers of a subject can be skipped, and passes without some of them.

    A layer that returns the shape of the first tensor it reads is skipped: what it read goes on. Another one returns its
    ``mean`` activation whatever it reads, or ``zero``. ``removal`` other than ``auto`` forces one of these.
    """

    def __init__(self, subject: Subject, inputs: Inputs, removal: Removal) -> None:
        if subject.module is None:
            raise NotAnswerable(f"{subject.name} has no module whose layers could be left out")
        self._subject, self._module, self._removal = subject, subject.module, removal
        self._keeping, self._returning = _watched(subject, self._module, inputs.rows(slice(0, 1)))

    def candidates(self) -> tuple[str, ...]:
        """The outermost blocks of several layers that can be skipped, else such single layers with weights, else all single
        ones but the last: in the order in which the network holds them."""
        weighted = [
            name
            for name, part in self._module.named_modules()
            if name in self._returning and any(parameter.ndim > 1 for parameter in part.parameters())
        ]
        single = [name for name in weighted if not any(other.startswith(f"{name}.") for other in weighted)]
        kept = [name for name in weighted if name in self._keeping and self._removal in ("auto", "skip")]
        blocks = [name for name in kept if name not in single]
        outermost = [name for name in blocks or kept if not any(name.startswith(f"{other}.") for other in blocks)]
        return tuple(outermost or single[:-1])

    def constant(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of the layers that are not skipped; ``UsageError`` where they must be."""
        if self._removal in ("zero", "mean"):
            return tuple(names)
        found = tuple(name for name in names if name not in self._keeping)
        if found and self._removal == "skip":
            raise UsageError(
                f"layer {found[0]!r} changes the shape of what it reads and cannot be skipped; ask for its mean"
            )
        return found

    def without(self, names: Sequence[str], means: Mapping[str, Tensor]) -> "Shortened":
        """The subject without these layers."""
        constant = self.constant(names)
        skipped = [name for name in names if name not in constant]
        subject = self._subject
        if skipped:
            module = _sharing(self._module)
            for name in skipped:
                module.set_submodule(name, _Skipped())
            subject = subject.with_module(module)
        replace = {name: torch.zeros_like if self._removal == "zero" else _constant(means[name]) for name in constant}
        return Shortened(subject, replace)


@dataclass(frozen=True)
class Shortened:
    """A subject whose layers were skipped, and what takes the place of others that say nothing."""

    subject: Subject
    replace: Mapping[str, Replacement]

    def run(self, inputs: Inputs) -> Run:
        """One pass."""
        return self.subject.run(inputs, replace=self.replace)


def mean_activations(
    subject: Subject, batches: Iterator[tuple[int, Inputs]], names: Sequence[str]
) -> dict[str, Tensor]:
    """The mean output ``[…layer]`` of each layer over all examples."""
    found: dict[str, Running] = {}
    for _, inputs in batches if names else ():
        run = subject.run(inputs, capture=names, partial=True)
        for name, activation in run.activations.items():
            found.setdefault(name, Running(activation[0].cpu())).extend(activation.cpu())
    return {name: running.mean for name, running in found.items()}


class _Skipped(nn.Module):
    """Returns the first tensor that it is given."""

    def forward(self, *given: Any, **named: Any) -> Any:
        return next(value for value in (*given, *named.values()) if isinstance(value, Tensor))


def _sharing(module: nn.Module) -> nn.Module:
    """A copy whose layers can be exchanged, with the very weights of the module."""
    tensors: list[Any] = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def _constant(mean: Tensor) -> Replacement:
    return lambda output: mean.to(output).expand_as(output).clone()


def _watched(subject: Subject, module: nn.Module, one: Inputs) -> tuple[frozenset[str], frozenset[str]]:
    """The layers that return the shape of the first tensor they read, at every call, and those that return a tensor."""
    watched, returning, changing = _sharing(module), set[str](), set[str]()

    def see(name: str, given: tuple[Any, ...], output: Any) -> None:
        first = next((value.shape for value in given if isinstance(value, Tensor)), None)
        if isinstance(output, Tensor):
            returning.add(name)
        if not isinstance(output, Tensor) or output.shape != first:
            changing.add(name)

    for name, part in watched.named_modules():
        if name and not isinstance(part, torch.jit.ScriptModule):
            part.register_forward_hook(lambda _, given, output, name=name: see(name, given, output))
    subject.with_module(watched).run(one, original=True)
    return frozenset(returning - changing), frozenset(returning)
