"""The task of models that read rows of named columns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import BadInput, UsageError, nearest
from pellucid.core.spec import Modality
from pellucid.core.subject import Domain, Edit, Features, Inputs, Origin, OutputKind
from pellucid.tasks.editing import Assignment, assignment, statements
from pellucid.tasks.tensor import as_tensor, elementwise_baseline


class Tabular:
    """Rows of ``columns``, standardised by ``means`` and ``deviations`` (in the columns' own units).

    ``reference`` ``[rows, columns]``, in the columns' own units, is a sample of training rows: surrogate methods draw
    from it. A raw row is a mapping from column to value, a sequence of values, or one line of comma-separated values.
    Points are ``[batch, columns]``. ``integers`` are columns of whole numbers; ``choices`` name groups of columns of which
    one is 1 and the others are 0: ``{"colour": ("colour red", "colour green")}``.
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
        integers: Sequence[str] = (),
        choices: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.columns, self.output = tuple(columns), output
        self.integers = tuple(integers)
        self.choices = {name: tuple(group) for name, group in (choices or {}).items()}
        self.labels = None if labels is None else tuple(labels)
        self.means = torch.zeros(len(columns)) if means is None else torch.as_tensor(means, dtype=torch.float32)
        ones = torch.ones(len(columns))
        self.deviations = ones if deviations is None else torch.as_tensor(deviations, dtype=torch.float32)
        if len(self.means) != len(columns) or len(self.deviations) != len(columns):
            raise UsageError(f"tasks.Tabular: {len(columns)} columns need as many means and deviations")
        if bool((self.deviations <= 0).any()):
            raise UsageError("tasks.Tabular: deviations must be above 0; drop constant columns")
        for name in (*self.integers, *(column for group in self.choices.values() for column in group)):
            if name not in self.columns:
                raise UsageError(f"tasks.Tabular: there is no column {name!r}; {nearest(name, self.columns)}")
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

    def domain(self) -> Domain:
        """The columns' own units, and which of them are whole numbers or choices."""
        whole = torch.tensor([name in self.integers for name in self.columns])
        numbers = {name: tuple(map(self.columns.index, group)) for name, group in self.choices.items()}
        return Domain(self.deviations, self.means, whole, numbers)

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

    def edits(self, raw: Any, script: str) -> tuple[Edit, ...]:
        """``age = 35, hours += 5, colour = red``: columns by name or number, choices by name; ``-=`` and ``*=`` too."""
        row, found = dict(raw), []
        for statement in statements(script, ";,\n"):
            told = assignment(statement, f"{self.columns[0]} = {row[self.columns[0]]:g}")
            chosen = told.place in self.choices
            edit = self._chosen(told) if chosen else _assigned(row, self._column(told.place), told)
            row = edit.apply(row)
            found.append(edit)
        return tuple(found)

    def changes(self, raw: Any, other: Any) -> tuple[Edit, ...]:
        new = self.prepare(other).origins[0].raw
        return tuple(
            _assigned(raw, name, Assignment(name, "=", repr(new[name]))) for name in raw if raw[name] != new[name]
        )

    def describe(self) -> dict[str, Any]:
        return {
            "modality": self.modality.value,
            "columns": self.columns,
            "means": self.means,
            "deviations": self.deviations,
            "reference": self.reference,
            **({"integers": self.integers} if self.integers else {}),
            **({"choices": self.choices} if self.choices else {}),
            "labels": self.labels,
            "output": self.output,
        }

    def _chosen(self, told: Assignment) -> Edit:
        group = self.choices[told.place]
        names = {name.removeprefix(told.place).strip(" =_:"): name for name in group} | {name: name for name in group}
        if told.sign != "=" or told.value not in names:
            raise UsageError(f"{told.place} is not {told.value!r}; {nearest(told.value, names)}")
        row = {name: float(name == names[told.value]) for name in group}
        return Edit(f"{told.place} to {told.value}", lambda raw: {**raw, **row})

    def _column(self, word: str) -> str:
        if word in self.columns:
            return word
        alike = [name for name in self.columns if name.casefold() == word.casefold()]
        if len(alike) == 1:
            return alike[0]
        if word.isdigit() and int(word) < len(self.columns):
            return self.columns[int(word)]
        raise UsageError(f"there is no column {word!r}; {nearest(word, self.columns)}")

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


def _assigned(row: Mapping[str, float], name: str, told: Assignment) -> Edit:
    new = told.number(row[name])
    return Edit(f"{name} from {row[name]:.6g} to {new:.6g}", lambda raw: {**raw, name: told.number(raw[name])})


def _is_row(value: Any) -> bool:
    """Whether a value is a row of its own, not one cell of a row."""
    return "," in value if isinstance(value, str) else isinstance(value, Iterable)
