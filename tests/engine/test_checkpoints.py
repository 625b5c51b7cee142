"""Checkpoints: from files that execute nothing, from dicts and modules, and what does not fit."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import pellucid as pl
from engine.networks import seeded
from pellucid.core.errors import BadInput, UsageError
from pellucid.engine.checkpoints import checkpoint


def made():
    return seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))).float()


def other():
    network = made()
    network[0].weight.data += 1
    return network


def asked(given, number=0):
    subject = pl.wrap(made())
    inputs = subject.prepare(torch.ones(1, 3))
    name, state = checkpoint(subject, inputs, given, number)
    torch.testing.assert_close(subject.module[0].weight, made()[0].weight)
    return name, state.scores(inputs)


def test_all_forms_of_a_state_give_its_scores(tmp_path):
    state, expected = other().state_dict(), other()(torch.ones(1, 3)).detach()
    save_file(state, tmp_path / "epoch-3.safetensors")
    torch.save(state, tmp_path / "plain.pt")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "nested.pt")
    named = {"epoch-3": "epoch-3.safetensors", "plain": "plain.pt", "nested": "nested.pt"}
    for name, file in named.items():
        found, scores = asked(str(tmp_path / file))
        assert found == name
        torch.testing.assert_close(scores, expected)
    for given in (other(), state):
        found, scores = asked(given, 4)
        assert found == "checkpoint 5"
        torch.testing.assert_close(scores, expected)


def test_the_subject_itself_and_one_that_has_learned_nothing():
    plain = made()(torch.ones(1, 3)).detach()
    assert asked("final")[0] == "final"
    torch.testing.assert_close(asked("final")[1], plain)
    assert not torch.allclose(asked("random")[1], plain)
    torch.testing.assert_close(asked("random")[1], asked("random")[1])


def test_what_cannot_be_a_state_is_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (pytest.fail, ("code was executed",))

    (tmp_path / "hostile.pt").write_bytes(pickle.dumps(Hostile()))
    (tmp_path / "damaged.safetensors").write_bytes(b"\x00" * 9)
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "small.pt")
    refused = {
        "hostile.pt": "cannot be read as a state dict without executing code",
        "damaged.safetensors": "cannot be read as a state dict",
        "list.pt": "holds no state dict",
        "small.pt": "does not fit the network",
        "absent.pt": "there is no checkpoint",
    }
    for file, said in refused.items():
        with pytest.raises(BadInput, match=said):
            asked(tmp_path / file)
    with pytest.raises(UsageError, match="not a float"):
        asked(1.5)
