"""A model whose input is shifted before it is read: what answers a shifted input as the model answers the plain one."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.spec import Access, Structure
from pellucid.core.subject import Inputs, Layer, Replacement, Run, Subject
from pellucid.engine.batching import in_batches


class Shifted:
    """``f'(x) = f(x − shift)``, exactly and for every kind of subject: its layers, weights and gradients are those of ``f``.

    ``shift`` ``[1, …point]`` is zero where there is padding. Nothing is added to a bias of the first layer, which could
    not make up for a shift next to zero padding.
    """

    def __init__(self, subject: Subject, shift: Tensor) -> None:
        self.name, self.task = subject.name, subject.task
        self._subject, self._shift = subject, shift
        # A function that holds the shift, by which those who follow a pass know it for a constant of the model.
        self._back = lambda point: point - shift

    @property
    def offers(self) -> frozenset[Access]:
        return self._subject.offers

    @property
    def structure(self) -> frozenset[Structure]:
        return self._subject.structure

    @property
    def fingerprint(self) -> str:
        return digest(["shifted", self._subject.fingerprint, self._shift])

    @property
    def module(self) -> torch.nn.Module | None:
        return self._subject.module

    def with_module(self, module: torch.nn.Module) -> "Shifted":
        return Shifted(self._subject.with_module(module), self._shift)

    def prepare(self, raw: object) -> Inputs:
        return self._subject.prepare(raw)

    def scores(self, inputs: Inputs) -> Tensor:
        return in_batches(len(inputs), self.batch_size(inputs), lambda rows: self.run(inputs.rows(rows)).scores)

    def run(
        self,
        inputs: Inputs,
        *,
        capture: Sequence[str] = (),
        replace: Mapping[str, Replacement] | None = None,
        differentiable: bool | str = False,
        original: bool = False,
        partial: bool = False,
    ) -> Run:
        plain = inputs.at(self._back(inputs.value))
        return self._subject.run(
            plain,
            capture=capture,
            replace=replace,
            differentiable=differentiable,
            original=original,
            partial=partial,
        )

    def layers(self, inputs: Inputs | None = None) -> tuple[Layer, ...]:
        return self._subject.layers(inputs)

    def batch_size(self, inputs: Inputs) -> int:
        return self._subject.batch_size(inputs)
