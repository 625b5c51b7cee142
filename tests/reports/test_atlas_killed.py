"""An atlas that is killed again and again ends like one that was not."""

import multiprocessing
import os
import random
import signal

import pytest

import pellucid as pl
from pellucid.core.meter import reporting

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill a process at once"),
]


def _made(out, steps=None):
    """The run, in a process of its own; it counts the steps of its ascents."""

    def say(done, total, what):
        if steps is not None and what == "feature-image":
            steps.value += 1

    with reporting(say):
        return pl.units(pl.load("digits-cnn"), ["pool", "classifier"], out=out, most=12, starts=2, steps=12, examples=3)


def _killed(out, source):
    """Whether the run was killed before it ended, some steps after its first ascent began."""
    context = multiprocessing.get_context("spawn")
    steps = context.Value("i", 0)
    process = context.Process(target=_made, args=(out, steps))
    process.start()
    wait = source.randrange(1, 14)
    while steps.value < wait and process.is_alive():
        process.join(0.002)
    process.join(source.uniform(0, 0.1))
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode == -signal.SIGKILL


def _files(folder):
    """Every file that a run leaves, without what a killed one had begun to write under a hidden name."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {str(p): (folder / p).read_bytes() for p in paths if not any(part.startswith(".") for part in p.parts)}


def test_an_atlas_that_is_killed_at_random_moments_has_the_files_of_one_that_was_not(tmp_path):
    whole, killed, source = tmp_path / "whole", tmp_path / "killed", random.Random(0)
    kills = sum(_killed(killed, source) for _ in range(5))
    assert kills >= 3
    for path in killed.rglob("*.pellucid"):
        pl.Result.load(path)  # what is there is whole, also before the run has ended
    assert _made(killed) == _made(whole)
    assert _files(killed) == _files(whole)
