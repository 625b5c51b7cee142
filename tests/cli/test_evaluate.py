"""``pellucid evaluate`` over folders, texts and tables: a report that says what Python says; bad input is named."""

import json

import numpy as np
import pytest
from PIL import Image

import pellucid as pl


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    draws = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(draws.integers(0, 255, (8, 8), dtype=np.uint8)).save(data / f"{number}.png")
    return data


def test_a_folder_becomes_a_report_a_result_and_an_index(pellucid, model, folder, tmp_path):
    out = tmp_path / "out"
    words = [
        "--method",
        "gradient",
        "--method",
        "occlusion",
        "--metric",
        "deletion",
        "--metric",
        "entropy",
        "--out",
        out,
    ]
    answered = pellucid("evaluate", "--subject", f"{model}:filters", "--data", folder, *words)
    assert answered.code == 0, answered.err
    ranking = pl.Result.load(out / "ranking.pellucid")
    assert ranking.examples == ("0", "1", "2")
    assert ranking.methods == ("gradient", "occlusion")
    assert ranking.verdict() in " ".join(answered.out.split())
    assert "Which explanation to believe" in (out / "report.html").read_text()
    assert json.loads((out / "index.json").read_text())["statements"] == ranking.statements()
    with Image.open(out / "ranking.png") as picture:
        assert picture.size[0] > 100
    subject = pl.load(f"{model}:filters")
    expected = pl.evaluate(subject, sorted(folder.iterdir()), ["gradient", "occlusion"], ["deletion", "entropy"])
    assert expected.values.tolist() == ranking.values.tolist()


def test_the_same_command_again_measures_nothing_and_says_the_same(pellucid, model, folder, tmp_path):
    words = [
        "evaluate",
        "--subject",
        f"{model}:filters",
        "--data",
        folder,
        "--method",
        "gradient",
        "--metric",
        "entropy",
    ]
    first = pellucid(*words, "--out", tmp_path / "out", "--json")
    again = pellucid(*words, "--out", tmp_path / "out", "--json")
    assert first.code == 0, first.err
    assert json.loads(first.out) == json.loads(again.out)


def test_masks_are_found_by_name_and_a_missing_one_is_named(pellucid, model, folder, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for number in range(2):
        Image.fromarray(np.full((8, 8), 255, np.uint8)).save(masks / f"{number}.png")
    words = [
        "evaluate",
        "--subject",
        f"{model}:filters",
        "--data",
        folder,
        "--method",
        "gradient",
        "--metric",
        "pointing-game",
    ]
    answered = pellucid(*words, "--masks", masks, "--out", tmp_path / "out")
    assert answered.code == 4
    assert answered.one_line
    assert "no mask for 2" in answered.err
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(masks / "2.png")
    answered = pellucid(*words, "--masks", masks, "--out", tmp_path / "out", "--json")
    assert answered.code == 0, answered.err
    rows = {row["row"]: row["mean"] for row in json.loads(answered.out)["table"]}
    assert rows["gradient"] == 1.0


def test_the_lines_of_a_table_are_the_inputs(pellucid, model, tmp_path):
    table = tmp_path / "people.csv"
    table.write_text("age,dose\n30,1\n40,2\n50,0.5\n")
    words = ["--method", "gradient", "--method", "occlusion", "--metric", "deletion", "--limit", "2", "--json"]
    answered = pellucid("evaluate", "--subject", f"{model}:rows", "--data", table, *words, "--out", tmp_path / "out")
    assert answered.code == 0, answered.err
    ranking = pl.Result.load(tmp_path / "out" / "ranking.pellucid")
    assert ranking.examples == ("people-row-0", "people-row-1")
    assert ranking.controls == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--data", "nowhere", "--metric", "entropy"], 4, "nowhere"),
        (["--metric", "entropy"], 2, "name an input"),
        (["--data", "{folder}", "--metric", "entropie"], 2, "entropy"),
        (["--data", "{folder}", "--metric", "gradient"], 2, "not a metric"),
        (["--data", "{folder}", "--limit", "0"], 2, "at least one"),
        (["--data", "{folder}", "--metric", "entropy", "--masks", "nowhere"], 4, "no folder nowhere"),
    ],
)
def test_what_cannot_be_asked_is_one_line_and_the_documented_code(pellucid, model, folder, tmp_path, words, code, said):
    words = [word.format(folder=folder) for word in words]
    answered = pellucid(
        "evaluate", "--subject", f"{model}:filters", "--method", "gradient", *words, "--out", tmp_path / "out"
    )
    assert answered.code == code
    assert answered.one_line
    assert said in answered.err
