"""Class responses: what each of several classes gets from every element of a point, and which class dominates where."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result
from pellucid.core.subject import Features
from pellucid.results.attribution import Attribution


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class ClassResponse(Result):
    """One attribution per class, on the same examples, with one colour scale for all.

    ``responses`` is ``[batch, classes, …point]``, ``classes`` and ``value`` (the explained quantity of each class) are
    ``[batch, classes]``; where outputs have positions, ``position`` ``[batch, …]`` is the one that was asked about. With a
    ``foil`` every response is that of the class rather than the foil. Padding responds with exactly 0.

    How far to trust it: ``residual``, ``reaching`` and ``converged`` are those of the attributions, ``[batch, classes]``.
    """

    responses: Tensor
    classes: Tensor
    value: Tensor
    features: Features
    at: str = "input"
    position: Tensor | None = None
    foil: Tensor | None = None
    labels: tuple[str, ...] = ()
    mask: Tensor | None = None
    residual: Tensor | None = None
    reaching: Tensor | None = None
    converged: Tensor | None = None
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        asked = tuple(self.responses.shape[:2])
        for name in ("classes", "value", "residual", "reaching", "converged"):
            tensor = getattr(self, name)
            if tensor is not None and tuple(tensor.shape) != asked:
                raise ValueError(f"{name} is {tuple(tensor.shape)}, responses are of [batch, classes] = {asked}")
        if asked[1] == 0:
            raise ValueError("there is no class")
        for number in range(asked[1]):
            self.of_class(number)

    def __len__(self) -> int:
        return len(self.responses)

    def of_class(self, number: int) -> Attribution:
        """The attribution of the ``number``-th class of every example, with its sign."""
        target = self.classes[:, number]
        if self.position is not None:
            target = torch.cat([self.position, target[:, None]], 1)
        by_class = {name: getattr(self, name) for name in ("residual", "reaching", "converged")}
        trust: dict[str, Any] = {
            name: None if values is None else values[:, number] for name, values in by_class.items()
        }
        return Attribution(
            scores=self.responses[:, number],
            value=self.value[:, number],
            features=self.features,
            at=self.at,
            target=target,
            foil=self.foil,
            labels=self.labels,
            mask=self.mask,
            notes=self.notes,
            query=self.query,
            **trust,
        )

    def by_feature(self) -> tuple[Tensor, ...]:
        """The responses summed over each feature, ``[classes, features]`` for each example."""
        by_class = [self.features.sums(self.responses[:, number]) for number in range(self.classes.shape[1])]
        return tuple(torch.stack(sums) for sums in zip(*by_class, strict=True))

    @property
    def dominant_response(self) -> Tensor:
        """D, the largest response of each place's feature, in the shape of ``features.segments``; 0 outside of features.

        Where every class is spoken against, it is negative.
        """
        return self._placed([sums.amax(0) for sums in self.by_feature()], 0)

    @property
    def dominant_class(self) -> Tensor:
        """C, the class whose response that is, as an output's number; −1 outside of features. The first of equals."""
        found = zip(self.classes, self.by_feature(), strict=True)
        return self._placed([classes[sums.argmax(0)] for classes, sums in found], -1)

    def shares(self) -> Tensor:
        """``[batch, classes]``: of all positive dominant response, the share where each class dominates."""
        found = []
        for sums in self.by_feature():
            largest = sums.double().amax(0).clamp(min=0)
            owned = torch.zeros(len(sums), dtype=torch.float64).index_add_(0, sums.argmax(0), largest)
            found.append(owned / largest.sum().clamp(min=torch.finfo(torch.float32).tiny))
        return torch.stack(found)

    def name(self, example: int, number: int) -> str:
        """The label of one class, and what it is contrasted with."""
        return self.of_class(number).question(example)

    def table(self) -> list[dict[str, Any]]:
        shares, sums = self.shares(), self.by_feature()
        labelled = self.of_class(0)
        return [
            {
                "example": example,
                "class": self.name(example, number),
                "value": float(self.value[example, number]),
                "dominates": float(shares[example, number]),
                "strongest": labelled.label(example, int(sums[example][number].argmax())),
            }
            for example in range(len(self))
            for number in range(self.classes.shape[1])
        ]

    def summary(self) -> str:
        lines = []
        for example, owned in enumerate(self.shares()):
            order = owned.argsort(descending=True, stable=True)[:3].tolist()
            told = [f"{self.name(example, number)} in {owned[number]:.0%}" for number in order if owned[number] > 0]
            lines.append("Of what speaks for any of the classes, most speaks for " + ", ".join(told or ["none"]))
        return "\n".join([*lines, *self.notes])

    def _placed(self, values: list[Tensor], outside: float) -> Tensor:
        pairs = zip(values, self.features.segments, strict=True)
        return torch.stack([known[at.clamp(min=0)].masked_fill(at < 0, outside) for known, at in pairs])
