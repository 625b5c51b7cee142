"""``pellucid unit`` and ``pellucid units``: pages on disk, what is said of them, and bad words in one line."""

import json

import numpy as np
import pytest
from PIL import Image

QUICK = ["--starts", "2", "--steps", "2", "--examples", "2"]


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    draws = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(draws.integers(0, 255, (8, 8), dtype=np.uint8)).save(data / f"{number}.png")
    (data / "4.png").write_bytes(b"no picture")
    return data


def test_an_atlas_is_written_and_told(pellucid, model, folder, tmp_path):
    words = ["units", f"{model}:filters", "--layers", "0", "--layers", "3", "--data", folder, "--channels", "0-1"]
    answered = pellucid(*words, "--out", tmp_path / "out", *QUICK)
    assert answered.code == 0, answered.err
    assert "4 pages of units of filters, over 4 examples." in answered.out
    assert "1 of the data could not be read." in answered.out
    assert (tmp_path / "out" / "index.html").is_file()
    told = json.loads(pellucid(*words, "--out", tmp_path / "out", *QUICK, "--json").out)
    assert [unit["unit"] for unit in told["units"]] == ["0/0", "0/1", "3/0 (a)", "3/1 (b)"]
    assert all((tmp_path / "out" / unit["page"]).is_file() for unit in told["units"])


def test_one_unit_or_class_has_a_page_which_a_saved_file_gives_again(pellucid, model, folder, tmp_path):
    words = [f"{model}:filters", "--data", folder, "--limit", "3", "--out", tmp_path / "out", "--no-facets", *QUICK]
    answered = pellucid("unit", words[0], "0/2", *words[1:])
    assert answered.code == 0, answered.err
    assert "0/2 of filters" in answered.out
    told = json.loads(pellucid("unit", *words, "--target", "b", "--json").out)
    assert told["page"] == str(tmp_path / "out" / "3" / "1.html")
    assert told["summary"].startswith("3/1 (b) of filters")
    shown = pellucid("show", tmp_path / "out" / "3" / "1.pellucid", "--page", tmp_path / "again.html")
    assert shown.code == 0, shown.err
    again = (tmp_path / "again.html").read_text(encoding="utf-8")
    assert again.startswith("<!doctype html>")
    assert "<h1>3/1 (b)</h1>" in again


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["unit", "{}", "0"], 2, "'0' is no unit"),
        (["unit", "{}", "0/1,2"], 2, "name a layer and a channel"),
        (["unit", "{}"], 2, "name a unit, such as"),
        (["unit", "{}", "0/1", "--target", "a"], 2, "or a class with --target"),
        (["unit", "{}", "0/9"], 2, "channels 0 to 2, and no unit 9"),
        (["unit", "{}", "7/1"], 2, "has no layer '7'"),
        (["unit", "{}", "--target", "c"], 2, "c"),
        (["units", "{}"], 2, "--layers"),
        (["units", "{}", "--layers", "0", "--channels", "3-1"], 2, "from the smaller number"),
        (["units", "{}", "--layers", "0", "--channels", "one"], 2, "write numbers and ranges"),
        (["units", "{}", "--layers", "0", "--steps", "0"], 2, "steps"),
    ],
)
def test_bad_words_are_answered_in_one_line(pellucid, model, tmp_path, words, code, said):
    answered = pellucid(*[word.format(f"{model}:filters") for word in words], "--out", tmp_path / "out")
    assert answered.code == code
    assert answered.one_line
    assert said in answered.err


def test_only_results_have_a_page_to_write(pellucid, tmp_path):
    answered = pellucid("show", "lime", "--page", tmp_path / "page.html")
    assert answered.code == 2
    assert "--page is for saved results" in answered.err
