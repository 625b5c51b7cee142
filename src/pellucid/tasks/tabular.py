"""The task of models that read rows of named columns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import BadInput, UsageError, nearest
from pellucid.core.spec import Modality
from pellucid.core.subject import Features, Inputs, Origin, OutputKind
from pellucid.tasks.tensor import as_tensor, elementwise_baseline


class Tabular:
    """Rows of ``columns``, standardised by ``means`` and ``deviations`` (in the columns' own units).

    ``reference`` ``[rows, columns]``, in the columns' own units, is a sample of training rows: surrogate methods draw
    from it. A raw row is a mapping from column to value, a sequence of values, or one line of comma-separated values.
    Points are ``[batch, columns]``.
    """

    modality = Modality.TABULAR

    def __init__(
        self,
        columns: Sequence[str],
        labels: Sequence[str] | None = None,
        means: Sequence[float] | Tensor | None = None,
        deviations: Sequence[float] | Tensor | None = None,
        reference: Tensor | None = None,
        output: OutputKind = "logits",
    ) -> None:
        self.columns, self.output = tuple(columns), output
        self.labels = None if labels is None else tuple(labels)
        self.means = torch.zeros(len(columns)) if means is None else torch.as_tensor(means, dtype=torch.float32)
        ones = torch.ones(len(columns))
        self.deviations = ones if deviations is None else torch.as_tensor(deviations, dtype=torch.float32)
        if len(self.means) != len(columns) or len(self.deviations) != len(columns):
            raise UsageError(f"tasks.Tabular: {len(columns)} columns need as many means and deviations")
        if bool((self.deviations <= 0).any()):
            raise UsageError("tasks.Tabular: deviations must be above 0; drop constant columns")
        self.reference = None if reference is None else (reference - self.means) / self.deviations

    def prepare(self, raw: Any) -> Inputs:
        if isinstance(raw, Tensor):
            point = as_tensor(raw, "row tensor")
            point = point[None] if point.ndim == 1 else point
            if point.ndim != 2 or point.shape[1] != len(self.columns):
                raise BadInput(f"rows have {len(self.columns)} columns; this tensor has shape {tuple(point.shape)}")
            return Inputs({"row": point}, "row", None, tuple(Origin(self.row(example), "row") for example in point))
        rows = raw if isinstance(raw, list) and raw and _is_row(raw[0]) else [raw]
        values = torch.tensor([self._values(row) for row in rows])
        origins = tuple(Origin(dict(zip(self.columns, row.tolist(), strict=True)), "row") for row in values)
        return Inputs({"row": (values - self.means) / self.deviations}, "row", None, origins)

    def example(self) -> Inputs:
        return self.prepare(torch.zeros(1, len(self.columns)))

    def row(self, point: Tensor) -> dict[str, float]:
        """The inverse of the preparation: one example's point as column → value in its own unit."""
        return dict(zip(self.columns, (point.cpu() * self.deviations + self.means).tolist(), strict=True))

    def bounds(self, inputs: Inputs) -> tuple[Tensor, Tensor] | None:
        if self.reference is None:
            return None
        return self.reference.amin(0, keepdim=True), self.reference.amax(0, keepdim=True)

    def baselines(self) -> tuple[str, ...]:
        return ("mean", "zero", "uniform")

    def baseline(self, inputs: Inputs, name: str, seed: int = 0) -> Tensor:
        """``mean`` is the mean of the training rows: 0 after standardisation."""
        if name == "mean":
            mean = torch.zeros(len(self.columns)) if self.reference is None else self.reference.mean(0)
            return mean.to(inputs.value).expand_as(inputs.value).clone()
        return elementwise_baseline(self, inputs, name, seed)

    def groupings(self) -> tuple[str, ...]:
        return ("columns",)

    def features(self, inputs: Inputs, grouping: str, number: int | None = None) -> Features:
        segments = torch.arange(len(self.columns)).expand(len(inputs), -1)
        return Features("column", segments, (self.columns,) * len(inputs))

    def describe(self) -> dict[str, Any]:
        return {
            "modality": self.modality.value,
            "columns": self.columns,
            "means": self.means,
            "deviations": self.deviations,
            "reference": self.reference,
            "labels": self.labels,
            "output": self.output,
        }

    def _values(self, row: Any) -> list[float]:
        if isinstance(row, str):
            row = [cell.strip() for cell in row.split(",")]
        if isinstance(row, Mapping):
            unknown = [str(name) for name in row if name not in self.columns]
            missing = [name for name in self.columns if name not in row]
            if missing:
                hint = f"; {nearest(missing[0], unknown)}" if unknown else ""
                raise BadInput(f"the row has no column {missing[0]!r}{hint}")
            row = [row[name] for name in self.columns]
        if not isinstance(row, Iterable):
            raise BadInput(f"a row is a mapping, a sequence or text, not a {type(row).__name__}")
        cells = list(row)
        if len(cells) != len(self.columns):
            raise BadInput(f"a row has {len(self.columns)} values ({', '.join(self.columns[:4])}, …), not {len(cells)}")
        values = []
        for name, cell in zip(self.columns, cells, strict=True):
            try:
                values.append(float(cell))
            except (TypeError, ValueError) as error:
                raise BadInput(f"column {name!r} holds {cell!r}, which is not a number") from error
            if values[-1] != values[-1] or abs(values[-1]) == float("inf"):
                raise BadInput(f"column {name!r} holds {cell!r}; fill it in")
        return values


def _is_row(value: Any) -> bool:
    """Whether a value is a row of its own, not one cell of a row."""
    return "," in value if isinstance(value, str) else isinstance(value, Iterable)
