"""The story: people of a census and handwritten digits, what would have to change for each, and how often that is found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from examples.changes.drawn import four, nine, three
from examples.changes.incomes import CAPITAL, PERSONAL, Table, accuracy, incomes, network, trees
from PIL import Image
from scipy.stats import binomtest
from scripts.train_mnist import held_out_digits

import pellucid as pl
from pellucid.methods import Counterfactual
from pellucid.render.fragments import STYLE
from pellucid.render.heatmap import data_uri, png

# What may change, from everything to what a person could do about it.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "anything": {},
    "not age, sex or race": {"immutable": PERSONAL},
    "neither these nor capital": {"immutable": f"{PERSONAL}, {CAPITAL}"},
    "neither these nor capital, at most two columns": {"immutable": f"{PERSONAL}, {CAPITAL}", "max_changes": 2},
    "only work, hours and more schooling": {
        "immutable": f"{PERSONAL}, {CAPITAL}, marital-status, relationship",
        "increasing": "education-num",
    },
}

_DIGITS = 7


@dataclass(frozen=True)
class Tally:
    """How the search went for several people: how many were found, and of those columns changed, distance, cost."""

    model: str
    setting: str
    asked: int
    found: int
    kept: bool
    columns: float
    distance: float
    seconds: float
    passes: float

    def row(self) -> tuple[str, ...]:
        """The tally as cells of a table."""
        share = binomtest(self.found, self.asked).proportion_ci(method="wilson")
        return (
            self.model,
            self.setting,
            f"{self.found / self.asked:.0%} [{share.low:.0%}, {share.high:.0%}]",
            f"{self.columns:.2f}",
            f"{self.distance:.2f}",
            f"{self.passes:,.0f}",
            f"{self.seconds:.1f}",
        )


@dataclass(frozen=True)
class Story:
    """The tallies, the answers about one person, those about digits, and how right the models are."""

    tallies: tuple[Tally, ...]
    person: tuple[pl.Counterfactuals, ...]
    digits: Mapping[str, pl.Counterfactuals]
    drawn: Mapping[str, Image.Image]
    accuracies: Mapping[str, float]


def tell(folder: Path, people: int = 8, fewer: int = 5) -> Story:
    """Train the models, ask about held-out people and about digits of the test set."""
    train, test = incomes(folder / "fairness-tabular")
    models = {"network": (network(train), people), "trees": (trees(train), fewer)}
    tallies, shown = [], ()
    for name, (subject, count) in models.items():
        asked = refused(subject, test, count)
        for setting, fields in SETTINGS.items():
            found = Counterfactual(**fields, seconds=None)(subject, pl.Decision(asked))
            tallies.append(tally(name, setting, found))
            shown += (found,) if name == "network" else ()
    accuracies = {name: accuracy(subject, test) for name, (subject, _) in models.items()}
    reader = pl.load("mnist-cnn")
    written = held_out_digits(folder / "mnist-20k")[0][:_DIGITS]
    tallies.append(tally("digits", "any pixel", Counterfactual(seconds=None)(reader, pl.Decision(written))))
    digits, drawn = of_digits(reader)
    return Story(tuple(tallies), shown, digits, drawn, accuracies)


def refused(subject: pl.Subject, table: Table, count: int) -> list[list[float]]:
    """The first rows that the model guesses to earn at most 50K."""
    rows = [row.tolist() for row in table.rows[: 4 * count]]
    guessed = subject.scores(rows).argmax(1)
    return [row for row, guess in zip(rows, guessed.tolist(), strict=True) if guess == 0][:count]


def tally(model: str, setting: str, found: pl.Counterfactuals) -> Tally:
    """What a result says of all its examples together."""
    good, asked = found.found[:, 0], len(found)
    cost = found.provenance.cost if found.provenance else {}
    return Tally(
        model=model,
        setting=setting,
        asked=asked,
        found=int(good.sum()),
        kept=bool(found.kept[good].all()),
        columns=float(found.changes[:, 0][good].double().mean()),
        distance=float(found.distance[:, 0][good].mean()),
        seconds=cost.get("cpu_seconds", 0.0) / asked,
        passes=sum(found.evaluations.values()) / asked,
    )


def of_digits(subject: pl.Subject) -> tuple[dict[str, pl.Counterfactuals], dict[str, Image.Image]]:
    """A three that should be an eight, and a four: what it lacks of a nine, what of it suffices, what of a nine to take."""
    asked: dict[str, tuple[Counterfactual, pl.Decision]] = {
        "wachter": (Counterfactual(seconds=None), pl.Decision(three(), foil="8")),
        "pertinent-negative": (Counterfactual(kind="pertinent-negative", kappa=1.0), pl.Decision(four(), foil="9")),
        "pertinent-positive": (Counterfactual(kind="pertinent-positive", kappa=1.0), pl.Decision(four())),
        "region-swap": (Counterfactual(kind="region-swap", distractor=nine()), pl.Decision(four(), foil="9")),
    }
    found = {name: method(subject, decision) for name, (method, decision) in asked.items()}
    drawn = {name: one.plot(**({"distractor": nine()} if name == "region-swap" else {})) for name, one in found.items()}
    return found, drawn


def statements(story: Story) -> list[str]:
    """The numbers as lines of a table, the sentences about a person and about the digits."""
    lines = [f"{name}: {share:.1%} of held-out people guessed right" for name, share in story.accuracies.items()]
    lines += [" | ".join(one.row()) for one in story.tallies]
    lines += [f"{setting}: {found.sentence(0)}" for setting, found in zip(SETTINGS, story.person, strict=True)]
    return lines + [f"{name}: {found.sentence(0)}" for name, found in story.digits.items()]


def picture(story: Story) -> Image.Image:
    """The digits, one below the other."""
    return stacked(list(story.drawn.values()))


def stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures one below the other, two in a row."""
    rows = [pictures[start : start + 2] for start in range(0, len(pictures), 2)]
    width = max(sum(one.width for one in row) for row in rows)
    whole = Image.new("RGB", (width, sum(max(one.height for one in row) for row in rows)), "white")
    top = 0
    for row in rows:
        left = 0
        for one in row:
            whole.paste(one, (left, top))
            left += one.width
        top += max(one.height for one in row)
    return whole


def page(story: Story) -> str:
    """The story as one page that needs no network."""
    heads = ("model", "what may change", "found", "columns", "distance", "passes", "CPU seconds")
    head = "".join(f"<th>{name}</th>" for name in heads)
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in one.row()) + "</tr>" for one in story.tallies
    )
    person = "".join(
        f"<li><b>{escape(setting)}</b>: {escape(found.sentence(0))}</li>"
        for setting, found in zip(SETTINGS, story.person, strict=True)
    )
    shown = "".join(
        f"<figure><img alt='{escape(story.digits[name].sentence(0), quote=True)}' src='{data_uri(png(drawn, 900))}'></figure>"
        for name, drawn in story.drawn.items()
    )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>What would have to change?</title>"
        f"<div class='pellucid'><style>{STYLE}</style><h1>What would have to change?</h1><h2>One person</h2><ul>{person}</ul>"
        f"<h2>Several people</h2><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table><h2>Digits</h2>{shown}"
        "</div></html>"
    )
