"""A folder run with a perturbation method that is killed again and again ends like one that was not."""

import multiprocessing
import os
import random
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import pellucid as pl
from pellucid.core.meter import reporting
from pellucid.reports.folder import explain_folder, pictures_in

PICTURES = 12
METHODS = [{"method": "lime", "samples": 200, "segments": 16}, {"method": "occlusion", "window": 6}]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill a process at once"),
]


def _explain(data, out, explained=None):
    """The run, in a process of its own; it says how many pictures it has begun."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 22 * 22, 3)).eval()
    subject = pl.wrap(layers, pl.tasks.Image(24, labels=("a", "b", "c")), name="network")

    def say(done, total, what):
        if explained is not None and total == PICTURES:
            explained.value = done

    with reporting(say):
        return explain_folder(subject, pictures_in(data), out, methods=METHODS, budget=20)


def _killed(data, out, source):
    """Whether the run was killed before it ended: while it explains the next picture or the one after, whenever."""
    context = multiprocessing.get_context("spawn")
    finished = len([*out.glob("*/asked.json")])
    explained = context.Value("i", -1)
    process = context.Process(target=_explain, args=(data, out, explained))
    process.start()
    while explained.value <= finished and process.is_alive():
        process.join(0.005)
    process.join(source.uniform(0, 0.5))
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode == -signal.SIGKILL


def _files(folder):
    """Every file that a run leaves, without what a killed one had begun to write under a hidden name."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {str(path) for path in paths if not any(part.startswith(".") for part in path.parts)}


def test_a_run_that_is_killed_at_random_moments_leaves_the_files_of_one_that_was_not(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for number in range(PICTURES):
        noise = np.random.default_rng(number).integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((30, 26)).save(data / f"{number:02}.png")
    whole, killed, source = tmp_path / "whole", tmp_path / "killed", random.Random(0)
    expected = _explain(data, whole)
    kills = sum(_killed(data, killed, source) for _ in range(4))
    assert kills >= 2
    for path in killed.rglob("*.pellucid"):
        pl.Result.load(path)  # what is there is whole, also before the run has ended
    resumed = _explain(data, killed)
    assert resumed["explained"] == expected["explained"]
    assert kills <= resumed["reused"] <= PICTURES
    assert _files(killed) == _files(whole)
    for name in _files(whole):
        one, other = whole / name, killed / name
        if name.endswith(".pellucid"):
            ours, theirs = pl.Result.load(one), pl.Result.load(other)
            assert ours.table() == theirs.table()
            if isinstance(ours, pl.Attribution):
                assert torch.equal(ours.scores, theirs.scores)
                assert ours.evaluations == theirs.evaluations
        elif name.endswith(".html") and name != "index.html":
            assert one.read_bytes() == other.read_bytes()
