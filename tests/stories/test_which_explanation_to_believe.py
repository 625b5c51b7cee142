"""Which explanation to believe: every method and metric can be built, and what is not a picture becomes a plain file."""

import csv
import json

import pytest
from examples import which_explanation_to_believe as story
from examples.changes.incomes import CHOICES, NUMBERS

import pellucid as pl
from pellucid.cli.app import main as pellucid

COLUMNS = (*NUMBERS, *CHOICES, "income-per-year")


def described(words, option):
    found = [word for before, word in zip(words, words[1:], strict=False) if before == option]
    return [json.loads(word) if word.startswith("{") else {"method": word} for word in found]


@pytest.fixture
def census(tmp_path):
    """Forty people, of whom those with a high age earn more."""
    for name in ("adult.csv", "adult.test.csv"):
        with (tmp_path / name).open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(COLUMNS)
            for number in range(40):
                rich = ">50K" if number % 4 == 0 else "<=50K"
                lines.writerow(
                    [
                        30 + number,
                        9 + number % 3,
                        number % 5,
                        number % 7,
                        40 + number % 2,
                        *(f"kind {number % 2}" for _ in CHOICES),
                        rich,
                    ]
                )
    return tmp_path


def test_photographs_ask_twelve_methods_and_ten_metrics(tmp_path):
    words = story.photographs(tmp_path, tmp_path / "out")
    methods, metrics = described(words, "--method"), described(words, "--metric")
    assert len({json.dumps(entry) for entry in methods}) == 12
    assert len({json.dumps(entry) for entry in metrics}) == 10
    assert all(pl.build(entry).spec.id == entry["method"] for entry in (*methods, *metrics))


def test_sentences_are_written_one_to_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(story, "SENTENCES", 2)
    tree = "(3 (2 A) (3 (4 warm) (2 film)))\n(1 (1 Dull) (2 .))\n(2 (2 Never) (2 seen))\n(2 (2 So) (2 so))\n"
    (tmp_path / "test.txt").write_text(tree)
    words = story.sentences(tmp_path, tmp_path)
    assert (tmp_path / "sentences.txt").read_text() == "A warm film\nNever seen\n"
    assert words[: words.index("--method")][-1] == str(tmp_path)
    assert all(pl.build(entry) for entry in (*described(words, "--method"), *described(words, "--metric")))


def test_the_command_for_people_runs(census, monkeypatch, tmp_path):
    monkeypatch.setattr(story, "ROWS", 2)
    monkeypatch.setattr(story, "ON_COLUMNS", ["gradient", "occlusion"])
    out = tmp_path / "out"
    out.mkdir()
    words = story.people(census, out)
    assert pellucid(words) == 0
    ranking = pl.Result.load(out / "ranking.pellucid")
    assert ranking.methods == ("gradient", "occlusion")
    assert len(ranking.examples) == 2
    assert len(ranking.metrics) == 9
