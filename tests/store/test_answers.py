"""Answers on disk come back bit for bit, whole or not at all."""

import multiprocessing
import os
import signal
import sqlite3

import pytest
import torch

from pellucid.core.errors import BadInput, CannotWrite
from pellucid.store.answers import Answers

TENSORS = {
    "single": torch.tensor([0.1, float("nan"), -0.0]),
    "double": torch.tensor([[1e-300], [2.0]], dtype=torch.float64),
    "one number": torch.tensor(3.5),
}


@pytest.mark.parametrize("name", TENSORS)
def test_what_was_kept_comes_back_bit_for_bit(tmp_path, name):
    Answers(tmp_path).keep({name: TENSORS[name]})
    (found,) = Answers(tmp_path).known([name, "another"]).values()
    assert found.dtype == TENSORS[name].dtype
    assert found.shape == TENSORS[name].shape
    assert found.numpy().tobytes() == TENSORS[name].numpy().tobytes()


def test_more_keys_than_a_statement_takes_are_found(tmp_path):
    kept = {str(number): torch.tensor([float(number)]) for number in range(2500)}
    answers = Answers(tmp_path)
    answers.keep(kept)
    assert {key: float(value) for key, value in answers.known([*kept]).items()} == {
        k: float(v) for k, v in kept.items()
    }


def test_an_interrupted_keeping_keeps_nothing(tmp_path):
    answers = Answers(tmp_path)
    with pytest.raises(AttributeError):
        answers.keep({"first": torch.ones(2), "second": "no tensor"})
    assert answers.known(["first", "second"]) == {}


def _keep_for_ever(folder, begun):
    answers = Answers(folder)
    for number in range(10**6):
        answers.keep({f"{number}-{part}": torch.full((50,), float(number)) for part in range(20)})
        begun.set()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill a process at once")
def test_a_killed_process_leaves_whole_answers(tmp_path):
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    process = context.Process(target=_keep_for_ever, args=(tmp_path, begun))
    process.start()
    assert begun.wait(60)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    answers, number = Answers(tmp_path), 0
    while found := answers.known([f"{number}-{part}" for part in range(20)]):
        assert len(found) == 20
        assert all(torch.equal(value, torch.full((50,), float(number))) for value in found.values())
        number += 1
    assert number > 0
    with sqlite3.connect(answers.path) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    file.close()


def test_a_damaged_file_is_refused_with_the_way_out(tmp_path):
    answers = Answers(tmp_path)
    answers.path.write_bytes(b"no database at all, whatever its name may say" * 100)
    with pytest.raises(BadInput, match="delete it"):
        Answers(tmp_path)


def test_a_cut_answer_is_refused(tmp_path):
    answers = Answers(tmp_path)
    answers.keep({"key": torch.ones(3)})
    with sqlite3.connect(answers.path) as file:
        file.execute("UPDATE answers SET content = substr(content, 1, 5)")
    file.close()
    with pytest.raises(BadInput, match="damaged"):
        answers.known(["key"])


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="another folder"):
        Answers(tmp_path / "file" / "answers")
