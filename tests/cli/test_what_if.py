"""Edits from the command line: rows, pictures, and errors that name the nearest column."""

import json

import numpy as np
import pytest
from PIL import Image

import pellucid as pl


def test_a_row_is_edited_and_the_shares_are_those_of_python(pellucid, model, tmp_path):
    saved = tmp_path / "what.pellucid"
    asked = ("run", "what-if", "40,2", "--subject", f"{model}:rows", "--edit", "age = 20, dose += 1.5", "--out", saved)
    answered = pellucid(*asked, "--target", "well", "--json")
    assert answered.code == 0, answered.err
    table = json.loads(answered.out)["table"]
    weights = pl.load(f"{model}:rows").module.weight[1].tolist()
    assert [row["share"] for row in table] == [pytest.approx(-20 * weights[0]), pytest.approx(1.5 * weights[1])]
    assert [row["edit"] for row in table] == ["age from 40 to 20", "dose from 2 to 3.5"]
    assert pl.Result.load(saved).table() == table


def test_a_picture_is_edited_and_drawn(pellucid, model, picture, tmp_path):
    drawn = tmp_path / "what.png"
    asked = (
        "run",
        "what-if",
        picture,
        "--subject",
        f"{model}:pictures",
        "--edit",
        "box 0,0,8,8 black",
        "--plot",
        drawn,
    )
    answered = pellucid(*asked)
    assert answered.code == 0, answered.err
    assert "the box from 0,0 to 8,8 filled with black" in " ".join(answered.out.split())
    with Image.open(drawn) as shown:
        assert shown.width > 400


def test_another_picture_can_stand_instead(pellucid, model, picture, tmp_path):
    other = tmp_path / "other.png"
    Image.fromarray(np.zeros((16, 16), dtype=np.uint8)).save(other)
    answered = pellucid("run", "what-if", picture, "--subject", f"{model}:pictures", "--instead", other)
    assert answered.code == 0, answered.err
    assert "another picture" in answered.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--edit", "dosis = 3"), "no column 'dosis'; did you mean 'dose'"),
        (("--edit", "dose"), "write it as age = 40"),
        (("--edit", ""), "the edit is empty"),
        ((), "one of the two"),
        (("--edit", "age = 1", "--instead", "1,2"), "one of the two"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(pellucid, model, words, said):
    answered = pellucid("run", "what-if", "40,2", "--subject", f"{model}:rows", *words)
    assert answered.code == 2
    assert answered.one_line
    assert said in answered.err
