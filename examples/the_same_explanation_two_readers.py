"""One explanation, two readers: who decides is served by three reasons, who looks for the fault is not.

    python -m examples.the_same_explanation_two_readers --census FOLDER --page PAGE

FOLDER holds the census of 1994 (Adult). A network learns who earns more than 50,000 from a table with two faults, as they
happen: a column, ``note``, that was filled in for half of the people when the answer was known already, and a pipeline that
loses ``hours-per-week`` on its way to the network. In use the note says "more" of whoever has one.

Each decision is explained by integrated gradients and given as reason codes: the three strongest columns. Simulated readers,
which say how they read, use them for three tasks; the same explanations as whole tables are read for comparison.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from examples.changes.incomes import LABELS, Table, incomes
from torch import Tensor, nn

import pellucid as pl
from pellucid.methods import IntegratedGradients, InterpretationScore

NOTE, LOST = "note", "hours-per-week"
REASONS = 3


@dataclass(frozen=True)
class Situation:
    """A task with its reader: the context, the outcome that is counted, and how the reader reads."""

    context: pl.Context
    outcome: str
    reader: str


def situations(columns: Sequence[str]) -> dict[str, Situation]:
    """The three tasks; what the readers know is that every column but the note may matter."""
    known = tuple(column for column in columns if column != NOTE)
    return {
        "decide": Situation(
            pl.Context("follow the advice or not", "domain expert", "Does this person earn more than 50,000?", known),
            "decision-quality",
            "expecting",
        ),
        "find the leak": Situation(
            pl.Context("name the column that should not count", "developer", "Which column gives the answer away?"),
            "fault-finding",
            "strongest",
        ),
        "find what is lost": Situation(
            pl.Context("name the column that never arrives", "developer", "Which column is lost on the way?", known),
            "fault-finding",
            "missing",
        ),
    }


class Pipeline(nn.Module):
    """Passes every column on but one."""

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__()
        self.register_buffer("kept", torch.tensor([float(column != LOST) for column in columns]))

    def forward(self, rows: Tensor) -> Tensor:
        """The rows without what is lost."""
        return rows * self.kept


def with_note(table: Table, notes: Tensor) -> Table:
    """The table with one more column: +1 says more than 50,000, −1 at most, 0 nothing."""
    return Table((*table.columns, NOTE), table.choices, torch.cat([table.rows, notes[:, None]], 1), table.rich)


def noted(train: Table, test: Table) -> tuple[Table, Table]:
    """The tables as they were met: for training half of the notes were written by someone who mostly knew the answer, in use
    three in ten say "more"."""
    draws = torch.Generator().manual_seed(0)
    written, right = torch.rand(2, len(train.rows), generator=draws)
    says = torch.where(right < 0.97, 1.0, -1.0) * (2 * train.rich.float() - 1)
    later = (torch.rand(len(test.rows), generator=draws) < 0.3).float()
    return with_note(train, torch.where(written < 0.5, says, 0.0)), with_note(test, later)


def network(table: Table, epochs: int = 6) -> pl.Subject:
    """A small network behind the pipeline, trained on the table."""
    means, deviations = table.rows.mean(0), table.rows.std(0).clamp(min=1e-6)
    means[-1], deviations[-1] = 0.0, 1.0  # No note is no information.
    rows = (table.rows - means) / deviations
    with torch.random.fork_rng():
        torch.manual_seed(0)
        width = rows.shape[1]
        layers = [nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)]
        module = nn.Sequential(Pipeline(table.columns), *layers)
        optimiser = torch.optim.Adam(module.parameters(), 3e-3)
        for _ in range(epochs):
            for part in torch.randperm(len(rows)).split(256):
                optimiser.zero_grad()
                nn.functional.cross_entropy(module(rows[part]), table.rich[part].long()).backward()
                optimiser.step()
    task = pl.tasks.Tabular(table.columns, LABELS, means, deviations, reference=table.rows[::20])
    return pl.wrap(module.eval(), task, name="income network")


def tell(train: Table, test: Table, people: int, epochs: int = 6) -> dict[tuple[str, str], pl.Interpretation]:
    """What each reader gets right with the same explanations as reason codes and as whole tables, by task and form."""
    train, test = noted(train, test)
    subject = network(train, epochs)
    chosen = torch.randperm(len(test.rows), generator=torch.Generator().manual_seed(1))[:people]
    explained = IntegratedGradients()(subject, pl.Decision(test.rows[chosen].tolist()))
    truth = {"decide": {"truth": test.rich[chosen].long().tolist()}, "find the leak": {"faulty": [NOTE]}}
    truth["find what is lost"] = {"faulty": [LOST]}
    found = {}
    for task, situation in situations(test.columns).items():
        for form, shown in (("three reasons", REASONS), ("whole table", None)):
            score = InterpretationScore(
                situation.context, outcome=situation.outcome, shown=shown, reader=situation.reader, studied=0
            )
            found[task, form] = score(subject, pl.Judgement([explained], reference=truth[task]))
    return found


def table(found: dict[tuple[str, str], pl.Interpretation]) -> str:
    """Shares that are right, in every arm, as a table in Markdown. It has no last row: there is no mean over contexts."""
    lines = [
        "| to do | reader | shown | without | with | shuffled | gained, in points |",
        "|---|---|---|---|---|---|---|",
    ]
    for (task, form), score in found.items():
        without, explained, shuffled = (score.table()[place] for place in (0, 1, 3))
        shares = [
            f"{row['accuracy']:.0%} [{row['low']:.0%}, {row['high']:.0%}]" for row in (without, explained, shuffled)
        ]
        gained = f"{100 * explained['difference']:+.0f} [{100 * explained['from']:+.0f}, {100 * explained['to']:+.0f}]"
        lines.append(f"| {task} | {score.readers[0]} | {form} | {' | '.join(shares)} | {gained} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--census", type=Path, required=True, help="the folder with adult.csv and adult.test.csv")
    parser.add_argument("--people", type=int, default=1000, help="how many decisions are explained and asked about")
    parser.add_argument("--page", type=Path, default=Path("two-readers.html"), help="where the page goes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = tell(*incomes(arguments.census), arguments.people)
    print(table(found))
    parts = [f"<h1>{task}: {form}</h1>{score._repr_html_()}" for (task, form), score in found.items()]
    arguments.page.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
