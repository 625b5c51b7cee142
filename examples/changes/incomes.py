"""Incomes of the census of 1994 (Adult) as rows of numbers and choices, and models that guess who earns more than 50,000."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor, nn

import pellucid as pl

NUMBERS = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week")
CHOICES = ("workclass", "marital-status", "occupation", "relationship", "race", "sex")
LABELS = ("at most 50K", "more than 50K")
PERSONAL, CAPITAL = "age, sex, race", "capital-gain, capital-loss"


@dataclass(frozen=True)
class Table:
    """Rows as people would write them: numbers and choices, the columns' names, and whether more than 50K was earned."""

    columns: tuple[str, ...]
    choices: Mapping[str, tuple[str, ...]]
    rows: Tensor
    rich: Tensor


def incomes(folder: Path) -> tuple[Table, Table]:
    """The census as it was split by its authors: for training and held out."""
    train, test = (
        list(csv.DictReader((folder / name).read_text(encoding="utf-8").splitlines()))
        for name in ("adult.csv", "adult.test.csv")
    )
    choices = {name: tuple(f"{name} {value}" for value in sorted({row[name] for row in train})) for name in CHOICES}
    columns = (*NUMBERS, *(column for group in choices.values() for column in group))
    return _table(columns, choices, train), _table(columns, choices, test)


def network(table: Table, epochs: int = 8) -> pl.Subject:
    """A small network, trained on the table."""
    task = _task(table)
    rows = (table.rows - task.means) / task.deviations
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(rows.shape[1], 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
        optimiser = torch.optim.Adam(module.parameters(), 3e-3)
        for _ in range(epochs):
            for part in torch.randperm(len(rows)).split(256):
                optimiser.zero_grad()
                nn.functional.cross_entropy(module(rows[part]), table.rich[part].long()).backward()
                optimiser.step()
    return pl.wrap(module.eval(), task, name="income network")


def trees(table: Table) -> pl.Subject:
    """Boosted trees, trained on the table: a model that can only be asked."""
    forest = HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(table.rows.numpy(), table.rich.numpy())
    task = pl.tasks.Tabular(
        table.columns,
        LABELS,
        reference=_reference(table),
        output="probabilities",
        integers=NUMBERS,
        choices=table.choices,
    )
    return pl.wrap(forest, task, name="income trees")


def accuracy(subject: pl.Subject, table: Table) -> float:
    """The share of rows that the model guesses right."""
    guessed = subject.scores(list(table.rows)).argmax(1)
    return float((guessed == table.rich).float().mean())


def _task(table: Table) -> pl.tasks.Tabular:
    means, deviations = table.rows.mean(0), table.rows.std(0)
    return pl.tasks.Tabular(
        table.columns,
        LABELS,
        means,
        deviations,
        reference=_reference(table),
        integers=NUMBERS,
        choices=table.choices,
    )


def _reference(table: Table) -> Tensor:
    return table.rows[:: max(1, len(table.rows) // 2000)]


def _table(columns: Sequence[str], choices: Mapping[str, tuple[str, ...]], rows: list[dict[str, str]]) -> Table:
    place = {column: number for number, column in enumerate(columns)}
    values = torch.zeros(len(rows), len(columns))
    for row, cells in zip(values, rows, strict=True):
        for name in NUMBERS:
            row[place[name]] = float(cells[name])
        for name in choices:
            row[place[f"{name} {cells[name]}"]] = 1
    rich = torch.tensor([cells["income-per-year"].strip(" .") == ">50K" for cells in rows])
    return Table(tuple(columns), choices, values, rich)
