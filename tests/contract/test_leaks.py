"""Hundreds of explanations in one process leave nothing behind; ``benchmarks/leaks.py`` does the same ten thousand times."""

import sys

import pytest
import torch
from benchmarks.leaks import MEBIBYTE, alive, questions, resident, tensors_left, watched
from torch import nn

from contract.asking import pairs, question, quick
from contract.cases import CASES

EXPLANATIONS = 300
SMALL = [pair for pair in pairs(fitting=True) if pair[1] in ("small-cnn", "reused-relu", "wine-mlp", "char-lstm")]


@pytest.mark.parametrize(("method", "case"), SMALL, ids=[f"{method}-{case}" for method, case in SMALL])
def test_no_tensor_waits_for_a_collection(method, case, subject_of):
    # Python collects cycles by the number of objects, not by their bytes: on large networks it would be too late.
    subject = subject_of(case)
    asked = question(method, subject, CASES[case].inputs)
    assert tensors_left(lambda: quick(method, case)(subject, asked)) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_many_explanations_leave_no_memory_tensors_or_hooks_behind():
    asked = questions()
    watched(asked, len(asked), len(asked))  # what is made once
    found = watched(asked, EXPLANATIONS, 50)
    assert len(found.by_method) >= 6
    assert found.finally_["tensors"] <= found.before["tensors"]
    assert found.finally_["hooks"] == found.before["hooks"] == 0
    assert found.finally_["objects"] - found.before["objects"] <= EXPLANATIONS
    assert found.memory[-1] - found.memory[0] <= 16 * MEBIBYTE


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_what_is_left_behind_would_be_seen():
    def cycle():
        first, second = [torch.zeros(1)], [torch.zeros(1)]
        first.append(second)
        second.append(first)

    assert tensors_left(cycle) == 2
    module = nn.Linear(2, 2)
    before = alive([module])
    handle = module.register_forward_hook(lambda module, given, answer: None)
    kept = [nn.Linear(2, 2) for _ in range(10)]
    after = alive([module])
    handle.remove()
    assert after["hooks"] == before["hooks"] + 1
    assert after["tensors"] == before["tensors"] + 2 * len(kept)
    held = resident()
    large = torch.ones(64 * MEBIBYTE // 4)  # larger than what any allocator keeps for later
    assert resident() - held >= 60 * MEBIBYTE
    assert len(large) > 0
