"""The story of people and digits: the table is read right, answers keep what they say, and the shares are met."""

import csv
from pathlib import Path

import pytest
import torch
from examples.changes.incomes import CHOICES, LABELS, NUMBERS, PERSONAL, accuracy, incomes, network, trees
from examples.changes.story import SETTINGS, Story, page, picture, refused, stacked, statements, tally
from PIL import Image

import pellucid as pl
from pellucid.methods import Counterfactual

DATA = Path(__file__).resolve().parents[2] / "../shared/data"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small census of our own: who works long hours with much schooling earns more; the rest is noise."""
    made = tmp_path_factory.mktemp("census")
    draws = torch.Generator().manual_seed(0)
    values = {"workclass": ("Private", "State-gov"), "marital-status": ("Married", "Never-married"), "race": ("A", "B")}
    values |= {"occupation": ("Sales", "Craft"), "relationship": ("Wife", "Husband"), "sex": ("Female", "Male")}
    for name, count in (("adult.csv", 800), ("adult.test.csv", 200)):
        numbers = torch.randint(0, 2**31 - 1, (count, len(NUMBERS) + len(CHOICES)), generator=draws)
        rows = []
        for drawn in numbers.tolist():
            row = {"age": 20 + drawn[0] % 45, "education-num": 1 + drawn[1] % 16, "hours-per-week": 10 + drawn[4] % 60}
            row |= {"capital-gain": drawn[2] % 5000, "capital-loss": drawn[3] % 500}
            row |= {name: values[name][drawn[5 + n] % 2] for n, name in enumerate(CHOICES)}
            rich = 4 * row["education-num"] + row["hours-per-week"] > 85
            rows.append(row | {"income-per-year": ">50K." if rich else "<=50K"})
        with (made / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return made


@pytest.fixture(scope="module")
def tables(folder):
    return incomes(folder)


@pytest.fixture(scope="module")
def subject(tables):
    return network(tables[0], epochs=60)


def test_rows_hold_numbers_and_one_of_each_choice(tables):
    train, test = tables
    assert train.columns[: len(NUMBERS)] == NUMBERS
    assert train.rows.shape == (800, 5 + 12)
    for group in train.choices.values():
        place = [train.columns.index(column) for column in group]
        assert bool((train.rows[:, place].sum(1) == 1).all() & (test.rows[:, place].sum(1) == 1).all())
    long_hours = 4 * test.rows[:, 1] + test.rows[:, 4] > 85
    assert torch.equal(test.rich, long_hours)


def test_both_models_learn_it(tables, subject):
    assert accuracy(subject, tables[1]) > 0.85
    assert accuracy(trees(tables[0]), tables[1]) > 0.85


def test_answers_about_people_keep_what_must_not_change(tables, subject):
    asked = refused(subject, tables[1], 3)
    assert bool((subject.scores(asked).argmax(1) == 0).all())
    fields = SETTINGS["only work, hours and more schooling"]
    found = Counterfactual(**fields, budget=4000, seconds=None)(subject, pl.Decision(asked))
    assert bool(found.found.all())
    assert bool((subject.scores(found.points[:, 0]).argmax(1) == 1).all())
    own = found.points[:, 0].double() * subject.task.deviations + subject.task.means
    stays = [n for n, column in enumerate(subject.task.columns) if column.split()[0] in PERSONAL.split(", ")]
    given = torch.tensor(asked).double()
    assert torch.allclose(own[:, stays], given[:, stays], atol=1e-3)
    schooling = subject.task.columns.index("education-num")
    assert bool((own[:, schooling] >= given[:, schooling] - 1e-3).all())
    counted = tally("network", "work", found)
    assert (counted.asked, counted.found, counted.kept) == (3, 3, True)
    assert counted.row()[2].startswith("100% [")


def test_the_page_tells_the_story_without_a_network(tables, subject):
    found = Counterfactual(budget=1500, seconds=None)(subject, pl.Decision(refused(subject, tables[1], 1)))
    tallies = tuple(tally("network", setting, found) for setting in SETTINGS)
    drawn = {"wachter": Image.new("RGB", (300, 200)), "region-swap": Image.new("RGB", (200, 100))}
    story = Story(tallies, (found,) * len(SETTINGS), dict.fromkeys(drawn, found), drawn, {"network": 0.9})
    html = page(story)
    assert all(setting in html for setting in SETTINGS)
    assert html.count("<img") == 2
    assert "src='http" not in html
    assert LABELS[1] in html
    assert len(statements(story)) == 1 + 2 * len(SETTINGS) + 2
    assert picture(story).size == (500, 200)
    assert stacked([drawn["wachter"]] * 3).size == (600, 400)


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "fairness-tabular").is_dir(), reason="the census data are not beside the repository")
def test_for_most_people_of_the_census_something_else_would_have_helped():
    train, test = incomes(DATA / "fairness-tabular")
    subject = network(train)
    assert accuracy(subject, test) > 0.84
    asked = refused(subject, test, 5)
    for setting, fields in list(SETTINGS.items())[:3]:
        found = Counterfactual(**fields, seconds=None)(subject, pl.Decision(asked))
        assert bool(found.kept[found.found].all())
        assert float(found.found.float().mean()) >= (1 if "capital" not in setting else 0.4)
