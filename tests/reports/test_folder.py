"""Many pictures in one run: bad files are named, a killed run goes on, the index tells the truth."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import pellucid as pl
from pellucid.core.errors import BadInput
from pellucid.core.meter import reporting
from pellucid.reports.folder import explain_folder, pictures_in, truths_of

QUICK = [{"method": "gradient"}]


class Killed(BaseException):
    """Stands for a signal that no handler catches."""


@pytest.fixture
def subject():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    return pl.wrap(net, pl.tasks.Image(8, mean=(0.0,), deviation=(1.0,), labels=("dark", "bright")), name="light")


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 255, (12, 12), dtype=np.uint8)
        Image.fromarray(noise).save(data / f"{number}.png")
    (data / "broken.png").write_bytes(b"<html>")
    (data / "index.csv").write_text("file,class_index\n0.png,0\n1.png,1\n2.png,0\n")
    return data


def ask(subject, folder, out):
    return explain_folder(subject, pictures_in(folder), out, methods=QUICK, budget=40, truths=truths_of(folder))


def test_unreadable_files_are_named_and_do_not_stop_the_run(subject, folder, tmp_path):
    summary = ask(subject, folder, tmp_path / "out")
    assert [row["file"] for row in summary["explained"]] == ["0.png", "1.png", "2.png"]
    assert list(summary["failed"]) == ["broken.png"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert "broken.png" in page
    assert "0/report.html" in page


def test_the_agreement_counts_the_known_classes(subject, folder, tmp_path):
    summary = ask(subject, folder, tmp_path / "out")
    right = sum(row["index"] == row["truth"] for row in summary["explained"])
    assert summary["agreement"]["right"] == right
    assert summary["agreement"]["low"] <= right / 3 <= summary["agreement"]["high"]


def test_a_killed_run_goes_on_and_ends_like_one_that_was_not(subject, folder, tmp_path):
    whole = ask(subject, folder, tmp_path / "whole")

    def kill(done, total, what):
        if what == "2.png":
            raise Killed

    with pytest.raises(Killed), reporting(kill):
        ask(subject, folder, tmp_path / "killed")
    assert not (tmp_path / "killed" / "index.html").exists()
    resumed = ask(subject, folder, tmp_path / "killed")
    assert resumed["reused"] == 2
    assert resumed["explained"] == whole["explained"]
    for name in ("0", "1", "2"):
        pages = [(tmp_path / run / name / "report.html").read_bytes() for run in ("whole", "killed")]
        assert pages[0] == pages[1]


def test_other_settings_are_asked_again(subject, folder, tmp_path):
    ask(subject, folder, tmp_path / "out")
    changed = explain_folder(subject, pictures_in(folder), tmp_path / "out", methods=QUICK, budget=41)
    assert changed["reused"] == 0


def test_the_index_is_plain_data(subject, folder, tmp_path):
    summary = ask(subject, folder, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "index.json").read_text()) == json.loads(json.dumps(summary))


def test_a_limit_takes_pictures_evenly_and_an_empty_folder_is_refused(folder, tmp_path):
    assert [path.name for path in pictures_in(folder, 2)] == ["0.png", "2.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no picture"):
        pictures_in(tmp_path / "empty")
