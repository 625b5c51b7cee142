"""The quiz in the terminal: without a terminal, stopped and gone on with, and as a page."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from pellucid.metrics.forward_simulation import CONTROL

TABLE = "age,dose\n" + "\n".join(f"{(7 * n) % 31},{(11 * n) % 17 - 8}" for n in range(14)) + "\n"
QUIZ = ("--studied", "6", "--questions", "4")


@pytest.fixture
def ward(model, tmp_path, pellucid, monkeypatch):
    """Call the quiz about a table, with lines that someone types."""
    table, saved = tmp_path / "table.csv", tmp_path / "why.pellucid"
    table.write_text(TABLE)
    about = (table, "--subject", f"{model}:rows")
    assert pellucid("run", "input-x-gradient", *about, "--out", saved).code == 0

    def call(verb, *words, typed=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        monkeypatch.chdir(tmp_path)
        return pellucid(*verb.split(), *about, "--result", saved, *words)

    return call


def answers(tmp_path):
    return json.loads((tmp_path / "answers.json").read_text())["answers"]


def test_a_quiz_is_taken_twice_and_scored(ward, tmp_path):
    taken = ward("quiz", *QUIZ, "--name", "Ada", typed="1\n2\nill\nWELL\n" + "1\n" * 4)
    assert taken.code == 0, taken.err
    assert taken.out.count("Question 1 of 4") == 2
    assert "explained by input-x-gradient" in taken.out
    assert "Ada: predicts" in taken.out
    assert "(-" in taken.out
    kept = answers(tmp_path)
    assert list(kept[CONTROL].values()) == ["ill", "well", "ill", "well"]
    assert list(kept["input-x-gradient"].values()) == ["ill"] * 4


def test_a_quiz_that_was_stopped_goes_on_where_it_was(ward, tmp_path):
    stopped = ward("quiz", *QUIZ, typed="1\n2\n")
    assert stopped.code == 0
    assert "the same command goes on" in stopped.out
    assert answers(tmp_path) == {CONTROL: {"0": "ill", "1": "well"}}
    again = ward("quiz", *QUIZ, typed="1\nq\n")
    assert "Question 1 of 4" not in again.out
    assert "Question 3 of 4" in again.out
    finished = ward("quiz", *QUIZ, typed="1\n" * 5)
    assert "predicts" in finished.out
    assert len(answers(tmp_path)[CONTROL]) == 4


def test_what_is_no_answer_is_asked_again(ward):
    taken = ward("quiz", *QUIZ, typed="wel\n3\n1\n")
    assert "there is no answer 'wel'; did you mean 'well'?" in taken.out
    assert taken.out.count("What does the model answer?") == 4


def test_answers_to_another_quiz_are_not_gone_on_with(ward):
    ward("quiz", *QUIZ, typed="1\n")
    other = ward("quiz", "--studied", "6", "--questions", "5", typed="1\n")
    assert other.code == 4
    assert "another quiz" in other.err


def test_the_method_reads_the_answers_again(ward, tmp_path):
    ward("quiz", *QUIZ, "--name", "Ada", typed="1\n" * 8)
    scored = ward("run forward-simulation", *QUIZ, "--answers", tmp_path / "answers.json", "--json")
    assert scored.code == 0, scored.err
    rows = json.loads(scored.out)["table"]
    assert [row["reader"] for row in rows[::2] if "shuffled" not in row["reader"]] == [
        "majority",
        "nearest",
        "linear",
        "Ada",
    ]


def test_a_page_is_written_and_tells_how_it_is_scored(ward, tmp_path):
    page = tmp_path / "quiz.html"
    written = ward("quiz", *QUIZ, "--page", page)
    assert written.code == 0, written.err
    assert "--studied 6 --questions 4 --edited 0.5 --seed 0" in " ".join(written.out.split())
    assert page.read_text().startswith("<!doctype html>")
    assert not (tmp_path / "answers.json").exists()
    assert ward("quiz", *QUIZ, "--page", tmp_path / "quiz.txt").code == 2


def test_pictures_are_asked_about_on_a_page(pellucid, tmp_path, model):
    for number in range(9):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    about = (tmp_path, "--subject", f"{model}:filters")
    saved = tmp_path / "why.pellucid"
    assert pellucid("run", "input-x-gradient", *about, "--out", saved).code == 0
    refused = pellucid("quiz", *about, "--result", saved, "--studied", "3", "--answers", tmp_path / "a.json")
    assert refused.code == 3
    assert "--page quiz.html" in refused.err
