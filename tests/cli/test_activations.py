"""``pellucid activations``: a data set once through a model, kept, found again, and bad files named."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import pellucid as pl
from pellucid.cli.activations import _bytes
from pellucid.core.errors import UsageError
from pellucid.engine.recording import record
from pellucid.store.activations import ActivationStore


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    draws = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(draws.integers(0, 255, (8, 8), dtype=np.uint8)).save(data / f"{number}.png")
    return data


@pytest.fixture
def words(model, folder, tmp_path):
    return ["activations", f"{model}:filters", folder, "--out", tmp_path / "kept"]


def test_layers_are_kept_and_found_again_from_python_without_a_pass(pellucid, words, model, folder, tmp_path):
    (folder / "2.png").write_bytes(b"no picture")
    answered = pellucid(*words, "--layers", "*", "--keep", "max", "--json")
    assert answered.code == 0, answered.err
    told = json.loads(answered.out)
    assert told["examples"] == ["0", "1", "3"]
    assert list(told["failed"]) == ["2"]
    assert [(row["layer"], row["channels"], row["rows"]) for row in told["layers"][:2]] == [("0", 3, 3), ("1", 3, 3)]
    subject = pl.load(f"{model}:filters")
    paths = [folder / f"{number}.png" for number in (0, 1, 3)]
    found = record(subject, paths, ["0"], ActivationStore(tmp_path / "kept"), keep="max")["0"]
    expected = subject.run(subject.prepare(paths), capture=["0"]).activations["0"].amax((2, 3))
    assert str(found.folder) == told["layers"][0]["folder"]
    assert torch.allclose(found.values(), expected, atol=1e-6)


def test_people_are_told_what_is_kept_what_it_took_and_what_could_not_be_read(pellucid, words, folder):
    (folder / "1.png").unlink()
    (folder / "0.png").write_bytes(b"no picture")
    first = pellucid(*words, "--layers", "0", "--layers", "3")
    assert first.code == 0, first.err
    assert "2 examples" in first.out
    assert "1 could not be read" in first.out
    assert "\n  0:" in first.out
    assert "6 × 6" in first.out
    again = pellucid(*words, "--layers", "0", "--layers", "3")
    assert "no forward pass, because all of it was there" in again.out


def test_a_limit_spaces_the_inputs(pellucid, words):
    told = json.loads(pellucid(*words, "--layers", "0", "--limit", "2", "--json").out)
    assert told["examples"] == ["0", "2"]


@pytest.mark.parametrize(
    ("added", "code", "said"),
    [
        (["--layers", "9"], 2, "has no layer '9'"),
        (["--layers", "9.*"], 2, "no layer of filters matches '9.*'"),
        (["--layers", "0", "--budget", "1kB"], 6, "more than the budget of 1 kB; keep only the max"),
        (["--layers", "0", "--budget", "much"], 2, "write a number of bytes such as 500MB"),
        (["--layers", "0", "--limit", "0"], 2, "--limit 0"),
        (["--layers", "0", "--keep", "some"], 2, "some"),
        ([], 2, "--layers"),
    ],
)
def test_bad_words_are_answered_in_one_line(pellucid, words, added, code, said):
    answered = pellucid(*words, *added)
    assert answered.code == code
    assert answered.one_line, answered
    assert said in answered.err


def test_a_folder_of_which_nothing_can_be_read_is_bad_input(pellucid, words, folder):
    for path in folder.iterdir():
        path.write_bytes(b"no picture")
    answered = pellucid(*words, "--layers", "0")
    assert answered.code == 4
    assert "none of 4 inputs can be read; 0: " in answered.err


def test_a_black_box_has_no_layers(pellucid, model, tmp_path):
    answered = pellucid("activations", f"{model}:black_box", "30,1", "--layers", "*", "--out", tmp_path / "kept")
    assert answered.code == 3
    assert answered.one_line
    assert "outputs only" in answered.err


@pytest.mark.parametrize(
    ("text", "number"), [("1500", 1500), ("20MB", 20_000_000), ("1.5 gb", 1_500_000_000), ("2GiB", 2_000_000_000)]
)
def test_bytes_are_read_as_people_write_them(text, number):
    assert _bytes(text) == number


def test_no_bytes_are_refused():
    with pytest.raises(UsageError, match="500MB"):
        _bytes("-3")
